"""What OpenSSH would do for a host: its own answer to `ssh -G`, so that the doctor goes the way that Ansible goes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.doctor.model import Access, Check, Severity

_SSH_PORT = 22
_TIMEOUT_SECONDS = 5
_OFF = frozenset({"", "none", "no", "false"})


class HostProblemError(Exception):
    """What keeps a host from being examined further; becomes a finding."""

    def __init__(self, check: Check, message: str, remedy: str, severity: Severity = "blocks") -> None:
        """Keep the parts of the finding."""
        super().__init__(message)
        self.check = check
        self.message = message
        self.remedy = remedy
        self.severity = severity


@dataclass(frozen=True, slots=True)
class Target:
    """Where and as whom to log in, and what proves that it is the right machine."""

    hostname: str
    port: int
    user: str
    key_name: str  # the name in known_hosts: of the host, or HostKeyAlias
    known_hosts: tuple[Path, ...]
    identities: tuple[Path, ...]
    given_key: Path | None  # the one that the inventory names
    identities_only: bool
    use_agent: bool
    accepts_unknown: bool  # StrictHostKeyChecking is off: Ansible would connect to anybody
    jumps: tuple[str, ...]  # ProxyJump
    unsupported: str  # what only ssh itself can do; "" when there is nothing

    @property
    def lookup_name(self) -> str:
        """The host as known_hosts spells it."""
        return self.key_name if self.port == _SSH_PORT else f"[{self.key_name}]:{self.port}"

    @property
    def shown(self) -> str:
        """The host as a person would type it."""
        return self.hostname if self.port == _SSH_PORT else f"{self.hostname} port {self.port}"


def ask_ssh(access: Access) -> Target:
    """Resolve a host's settings: the inventory's, then those of ssh's own configuration.

    Raises:
        HostProblemError: There is no ssh, or it refuses its configuration.
    """
    argv = [access.ssh, "-G", *access.arguments]
    if access.port is not None:
        argv += ["-o", f"Port={access.port}"]
    if access.key_file:
        argv += ["-o", f'IdentityFile="{os.path.expanduser(access.key_file)}"']
    if access.user:
        argv += ["-o", f"User={access.user}"]
    given = Path(access.key_file).expanduser() if access.key_file else None
    return target(_run([*argv, "--", access.address]), given, host_key_checking=access.host_key_checking)


def ask_ssh_for_jump(access: Access, jump: str) -> Target:
    """Resolve one machine of ProxyJump, "user@host:port"; as for ssh itself only its own configuration counts there.

    Raises:
        HostProblemError: As `ask_ssh`.
    """
    rest, _, port = jump.removeprefix("ssh://").rpartition(":") if _has_port(jump) else (jump, "", "")
    user, _, host = rest.rpartition("@")
    argv = [access.ssh, "-G"]
    argv += ["-o", f"Port={port}"] if port else []
    argv += ["-o", f"User={user}"] if user else []
    return target(_run([*argv, "--", host.strip("[]")]), None, host_key_checking=True)


def _has_port(jump: str) -> bool:
    return jump.rpartition(":")[2].isdigit() and (jump.count(":") == 1 or "]:" in jump)


def _run(argv: Sequence[str]) -> dict[str, list[str]]:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise HostProblemError(
            "address", f"there is no program {argv[0]} on the controller", "install openssh"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostProblemError("address", f"ssh does not say its settings: {error}", "look at ~/.ssh/config") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        remedy = "correct ansible_ssh_common_args, ansible_ssh_extra_args or ~/.ssh/config"
        raise HostProblemError("address", f"ssh refuses its settings: {said}", remedy)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value)
    return found


def target(settings: Mapping[str, Sequence[str]], given_key: Path | None, *, host_key_checking: bool) -> Target:
    """Read what `ssh -G` printed. Pure.

    Args:
        settings: Lower-case option -> its values.
        given_key: The key file of the inventory.
        host_key_checking: Ansible's own switch.
    """

    def one(name: str, default: str = "") -> str:
        return settings.get(name, [default])[0]

    hostname, user = one("hostname"), one("user")
    tokens = {"%h": hostname, "%r": user, "%d": str(Path.home()), "%u": os.environ.get("USER", ""), "%%": "%"}

    def path(text: str) -> Path:
        for token, value in tokens.items():
            text = text.replace(token, value)
        return Path(text.strip('"')).expanduser()

    files = [
        path(word)
        for name in ("userknownhostsfile", "globalknownhostsfile")
        for word in one(name).split()
        if word not in _OFF and word != os.devnull
    ]
    jump, command, pkcs11 = one("proxyjump"), one("proxycommand"), one("pkcs11provider")
    unsupported = [
        name
        for name, value in (("ProxyCommand", command if jump in _OFF else ""), ("PKCS11Provider", pkcs11))
        if value not in _OFF
    ]
    return Target(
        hostname=hostname,
        port=int(one("port", str(_SSH_PORT))),
        user=user,
        key_name=one("hostkeyalias") or hostname,
        known_hosts=tuple(files),
        identities=tuple(path(text) for text in settings.get("identityfile", [])),
        given_key=given_key,
        identities_only=one("identitiesonly") in {"yes", "true"},
        use_agent=one("identityagent", "SSH_AUTH_SOCK") not in _OFF,
        accepts_unknown=not host_key_checking or one("stricthostkeychecking") in {"no", "off", "false", "accept-new"},
        jumps=() if jump in _OFF else tuple(jump.split(",")),
        unsupported=" and ".join(unsupported),
    )
