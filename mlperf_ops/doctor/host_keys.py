"""Strict host keys: only what known_hosts holds is a host, and a sentence says where it stands and what to do."""

from __future__ import annotations

import shlex
import subprocess
from functools import lru_cache
from pathlib import Path

import paramiko

from mlperf_ops.doctor.ssh_settings import HostProblemError, Target

_CERT_AUTHORITY = b"@cert-authority"
_TIMEOUT_SECONDS = 5


@lru_cache(maxsize=32)
def _host_keys(path: Path, _changed_at: float) -> paramiko.HostKeys:
    return paramiko.HostKeys(str(path))


def known_keys(target: Target) -> list[paramiko.PKey]:
    """Return the keys that known_hosts has for a host; as ssh does, for another port also those of the bare name."""
    for name in dict.fromkeys((target.lookup_name, target.key_name)):
        found = []
        for path in target.known_hosts:
            try:
                entries = _host_keys(path, path.stat().st_mtime).lookup(name)
            except OSError:
                continue
            found += list(entries.values()) if entries is not None else []
        if found:
            return found
    return []


class Unknown(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko is untyped
    """Refuse a host that known_hosts does not know, and say how to make it known."""

    def __init__(self, target: Target) -> None:
        """Keep what ssh says of the host."""
        self._target = target

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002  # the method's signature
        hostname: str,  # noqa: ARG002  # the same
        key: paramiko.PKey,
    ) -> None:
        """Refuse.

        Raises:
            HostProblemError: Always.
        """
        target = self._target
        fingerprint = f"{kind(key)} {key.fingerprint}"
        if any(_CERT_AUTHORITY in content(path) for path in target.known_hosts):
            message = f"its host key ({fingerprint}) may be signed by an authority, which only ssh itself can check"
            raise HostProblemError("host-key", f"{message}, so it was not examined", "", severity="note")
        file = shlex.quote(str(target.known_hosts[0])) if target.known_hosts else "~/.ssh/known_hosts"
        port = f"-p {target.port} " if target.lookup_name != target.key_name else ""
        remedy = f"compare the fingerprint on its console, then: ssh-keyscan {port}{target.hostname} >> {file}"
        if target.accepts_unknown:
            message = f"its host key ({fingerprint}) is unknown, and Ansible would accept any, so it was not examined"
            raise HostProblemError("host-key", message, remedy, severity="warns")
        raise HostProblemError("host-key", f"its host key ({fingerprint}) is unknown", remedy)


def kind(key: paramiko.PKey) -> str:
    """Return the type of a key as ssh-keygen spells it, such as ED25519."""
    return str(key.get_name()).removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper()


def content(path: Path) -> bytes:
    """Return what a file holds; nothing when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def changed_key(target: Target, got: paramiko.PKey) -> HostProblemError:
    """Say in which file and line another key stands."""
    for path in target.known_hosts:
        for name in dict.fromkeys((target.lookup_name, target.key_name)):
            line = _line_of(path, name)
            if line is None:
                continue
            message = f"its host key is {kind(got)} {got.fingerprint}, but {path}:{line} holds another one"
            remedy = (
                "somebody may be in between; when the host was really installed anew: "
                f"ssh-keygen -f {shlex.quote(str(path))} -R {shlex.quote(name)}, then ssh-keyscan"
            )
            return HostProblemError("host-key", message, remedy)
    message = f"its host key is {kind(got)} {got.fingerprint}, and known_hosts holds another one"
    return HostProblemError("host-key", message, "somebody may be in between; ask the owner of the host")


def _line_of(path: Path, name: str) -> int | None:
    """Ask ssh-keygen, which also reads hashed names."""
    try:
        done = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(path)],  # noqa: S607  # beside the ssh that Ansible finds
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    for line in done.stdout.splitlines():
        words = line.split()
        if line.startswith("#") and words[-1].isdigit():
            return int(words[-1])
    return None
