"""Log in with the keys that ssh would offer, and say why none of them was of use. Nothing of a key gets into words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.auth_strategy import AuthStrategy, InMemoryPrivateKey, Password

from mlperf_ops.doctor.host_keys import content, kind
from mlperf_ops.doctor.ssh_settings import HostProblemError, Target

_READABLE_BY_OTHERS = 0o077


class Keys(AuthStrategy):  # type: ignore[misc]  # paramiko is untyped
    """The keys that ssh would offer, in its order, and why each of them was of no use."""

    def __init__(self, target: Target, password: str | None) -> None:
        """Look at nothing yet.

        Args:
            target: Whose keys.
            password: ansible_password; tried last, as ssh does.
        """
        super().__init__(ssh_config=None)
        self._target = target
        self._password = password
        self._unusable: list[tuple[str, str]] = []  # what is wrong with a key file, and the remedy
        self._offered: list[tuple[str, str]] = []  # path, or "agent", and fingerprint
        self.begin: Callable[[], None] = lambda: None

    def get_sources(self) -> Iterator[InMemoryPrivateKey | Password]:
        """Yield what to try; Paramiko calls this when the host has proved who it is."""
        self.begin()
        user = self._target.user
        for path in self._target.identities:
            key = self._load(path)
            if key is not None:
                self._offered.append((str(path), f"{kind(key)} {key.fingerprint}"))
                yield InMemoryPrivateKey(user, key)
        for key in self._agent_keys():
            self._offered.append(("the agent's key", f"{kind(key)} {key.fingerprint}"))
            yield InMemoryPrivateKey(user, key)
        if self._password is not None:
            password = self._password
            yield Password(user, lambda: password)

    def _load(self, path: Path) -> paramiko.PKey | None:
        """Load a key file; one of ssh's defaults that is not there is no problem."""
        given = path == self._target.given_key
        try:
            stat = path.stat()
            if stat.st_uid == os.getuid() and stat.st_mode & _READABLE_BY_OTHERS:
                mode = f"{stat.st_mode & 0o777:04o}"
                said = f"ssh does not use the key {path}, which others may read (mode {mode})"
                self._unusable.append((said, f"chmod 600 {shlex.quote(str(path))}"))
                return None
            return paramiko.PKey.from_path(path)
        except FileNotFoundError:
            if given:
                self._unusable.append((f"there is no key file {path}", "correct ansible_ssh_private_key_file"))
        except OSError as error:
            if given:
                self._unusable.append((f"the key file {path} cannot be read: {error.strerror}", "correct its owner"))
        except (TypeError, paramiko.PasswordRequiredException):  # cryptography's way to ask for the passphrase
            remedy = f"ssh-add {shlex.quote(str(path))}"
            self._unusable.append((f"the key {path} has a passphrase and the agent does not hold it", remedy))
        except Exception:  # noqa: BLE001  # cryptography has many names for a file that is no key
            self._unusable.append(
                (f"{path} is not a private key that can be used", "correct ansible_ssh_private_key_file")
            )
        return None

    def _agent_keys(self) -> list[Any]:
        if not self._target.use_agent or not os.environ.get("SSH_AUTH_SOCK"):
            return []
        try:
            keys = list(paramiko.Agent().get_keys())
        except (paramiko.SSHException, OSError):
            return []
        if not self._target.identities_only:
            return keys
        wanted = {_public_part(path) for path in self._target.identities}
        return [key for key in keys if key.get_base64() in wanted]

    def problem(self) -> HostProblemError:
        """Say why the host did not let us in."""
        target = self._target
        who = f"{target.user}@{target.hostname}"
        if self._password is not None:
            return HostProblemError(
                "login", f"{who} does not take ansible_password", "correct ansible_user or the password"
            )
        given_first = sorted(self._unusable, key=lambda one: str(target.given_key) not in one[0])
        if given_first and (
            target.given_key is None or str(target.given_key) in given_first[0][0] or not self._offered
        ):
            return HostProblemError("login", *given_first[0])
        if not self._offered:
            remedy = "ssh-keygen -t ed25519, then ssh-copy-id; or set ansible_ssh_private_key_file"
            return HostProblemError("login", f"there is no key to log in as {who} with", remedy)
        path, fingerprint = next((one for one in self._offered if one[0] == str(target.given_key)), self._offered[0])
        more = f" nor {len(self._offered) - 1} more" if len(self._offered) > 1 else ""
        port = f"-p {target.port} " if target.shown != target.hostname else ""
        file = f"-i {shlex.quote(path)} " if os.path.isabs(path) else ""
        remedy = f"ssh-copy-id {file}{port}{who}, or correct ansible_user and ansible_ssh_private_key_file"
        return HostProblemError("login", f"{who} does not accept the key {path} ({fingerprint}){more}", remedy)


def _public_part(path: Path) -> str:
    words = content(path.with_name(path.name + ".pub")).decode(errors="replace").split()
    return words[1] if len(words) > 1 else ""
