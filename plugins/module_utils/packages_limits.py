"""Limits of processes in new sessions (memlock, open files, stack): written, and read back from a new session.

`pam_limits` refuses the whole session when the kernel refuses one limit, so that a value too high in limits.d locks
everybody out, over ssh as well. What the kernel would refuse is therefore tried first and never written.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_accounts import find
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Record

PAM_FILE = Path("/etc/security/limits.d/90-mlperf-ops.conf")
_SYSTEMD = Path("/etc/systemd/system")
_DROP_IN = "90-mlperf-ops.conf"
_CAP_SYS_RESOURCE = 24  # linux/capability.h
_SESSION_SECONDS = 20
UNLIMITED = "unlimited"


class Kind:
    """A limit: its option, its names in the files, and its unit there."""

    def __init__(self, option: str, number: int, pam: str, systemd: str, proc: str, pam_unit: int) -> None:
        """Hold the names; `pam_unit` is how many of ours are one of limits.conf's."""
        self.option = option
        self.number = number
        self.pam = pam
        self.systemd = systemd
        self.proc = proc
        self.pam_unit = pam_unit


# limits.conf(5) counts memlock and stack in KiB, systemd.exec(5) and setrlimit(2) in bytes.
KINDS = (
    Kind("memlock_bytes", resource.RLIMIT_MEMLOCK, "memlock", "LimitMEMLOCK", "Max locked memory", 1024),
    Kind("nofile", resource.RLIMIT_NOFILE, "nofile", "LimitNOFILE", "Max open files", 1),
    Kind("nproc", resource.RLIMIT_NPROC, "nproc", "LimitNPROC", "Max processes", 1),
    Kind("stack_bytes", resource.RLIMIT_STACK, "stack", "LimitSTACK", "Max stack size", 1024),
)


def parse_value(option: str, text: str) -> int:
    """Return a limit as setrlimit takes it.

    Raises:
        HostError: It is neither a number nor "unlimited".
    """
    if text == UNLIMITED:
        return resource.RLIM_INFINITY
    if not re.match(r"^\d+$", text):
        raise HostError(f"{option} of host_packages_limits is '{text}'", f"give a whole number or {UNLIMITED}")
    return int(text)


def shown(value: int) -> str:
    """Return a limit as people and limits.conf write it."""
    return UNLIMITED if value == resource.RLIM_INFINITY else str(value)


def parse_proc_limits(text: str) -> dict[str, tuple[int, int]]:
    """Return the option -> (soft, hard) of a `/proc/<pid>/limits`."""
    found = {}
    for kind in KINDS:
        match = re.search(rf"^{kind.proc} +(\S+) +(\S+)", text, re.MULTILINE)
        if match:
            soft, hard = (parse_value(kind.option, value) for value in match.groups())
            found[kind.option] = (soft, hard)
    return found


def pam_text(accounts: Iterable[str], values: Mapping[str, int]) -> str:
    """Return the file in limits.d."""
    lines = ["# Written by mlperf-ops, role host_packages; its revert removes it. Units: limits.conf(5).\n"]
    for account in accounts:
        for kind in KINDS:
            if kind.option in values:
                value = values[kind.option]
                counted = UNLIMITED if value == resource.RLIM_INFINITY else str(value // kind.pam_unit)
                lines.append(f"{account:<16} -  {kind.pam:<8} {counted}\n")
    return "".join(lines)


def systemd_text(values: Mapping[str, int]) -> str:
    """Return the drop-in of a user manager, which pam_limits does not reach."""
    lines = ["# Written by mlperf-ops, role host_packages; its revert removes it.\n", "[Service]\n"]
    for kind in KINDS:
        if kind.option in values:
            value = values[kind.option]
            lines.append(f"{kind.systemd}={'infinity' if value == resource.RLIM_INFINITY else value}\n")
    return "".join(lines)


def grantable(kind: Kind, asked: int) -> int:
    """Return the most that the kernel lets a new session have of what was asked."""
    soft, hard = resource.getrlimit(kind.number)
    if hard == resource.RLIM_INFINITY or 0 <= asked <= hard:  # infinity is negative
        return asked
    if not _may_raise():
        return hard
    for value in (asked, _nr_open() if kind.option == "nofile" else hard, hard):
        if _accepted(kind.number, value):
            return value
    return soft


def _nr_open() -> int:
    """Return the kernel's own ceiling of open files, which also root cannot pass."""
    try:
        return int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1 << 20


def _accepted(number: int, value: int) -> bool:
    """Try a limit in a child, which ends at once."""
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(number, (value, value))
        except (OSError, ValueError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _may_raise() -> bool:
    """Tell whether sshd, and every other process above this one, may raise a hard limit."""
    pid = os.getpid()
    while pid > 0:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
        parent = re.search(r"^PPid:\s*(\d+)$", status, re.MULTILINE)
        if not bounding or not parent or not int(bounding.group(1), 16) >> _CAP_SYS_RESOURCE & 1:
            return False
        pid = int(parent.group(1))
    return True


class Limits:
    """The limits that new sessions of some accounts should have."""

    def __init__(self, asked: Mapping[str, str | None], accounts: Iterable[str]) -> None:
        """Find what the kernel grants.

        Args:
            asked: Option -> number or "unlimited"; None for those that are left alone.
            accounts: Whose sessions.
        """
        kinds = [kind for kind in KINDS if asked.get(kind.option)]
        self._asked = {kind.option: parse_value(kind.option, str(asked[kind.option])) for kind in kinds}
        self._accounts = sorted(set(accounts)) if self._asked else []
        self._granted = {kind.option: grantable(kind, self._asked[kind.option]) for kind in kinds}

    @property
    def clamped(self) -> list[str]:
        """What the kernel does not grant, one sentence each."""
        return [
            f"{option}: {shown(self._asked[option])} was asked, this kernel grants at most {shown(value)}"
            for option, value in self._granted.items()
            if value != self._asked[option]
        ]

    def unprivileged(self) -> list[str]:
        """Return what the session that we are in lacks, for a host where nothing may be changed."""
        lacking = []
        for kind in KINDS:
            if kind.option in self._asked:
                hard = resource.getrlimit(kind.number)[1]
                wanted = self._asked[kind.option]
                if hard != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > hard):
                    lacking.append(f"limit {kind.option} {shown(wanted)}: this session has at most {shown(hard)}")
        return lacking

    def files(self, record: Record) -> dict[Path, str | None]:
        """Return the files that should be there -> their text; None for one of ours that is wanted no longer."""
        wanted: dict[Path, str | None] = {Path(name): None for name in record.files}
        if self._asked:
            wanted[PAM_FILE] = pam_text(self._accounts, self._granted)
        for name in self._accounts:
            account = find(name)
            if account and _SYSTEMD.is_dir():
                wanted[_SYSTEMD / f"user@{account.pw_uid}.service.d" / _DROP_IN] = systemd_text(self._granted)
        return wanted

    def changes(self, record: Record) -> list[Change]:
        """Return the files that are not as they should be."""
        found = []
        for path, text in self.files(record).items():
            now, wanted = _text(path), _wanted_text(path, text, record)
            if now != wanted:
                found.append(Change(f"file {path}", now or "absent", wanted or "absent"))
        return found

    def apply(self, record: Record) -> None:
        """Write the files; put them back at once when a session is then refused."""
        changed = [path for path, text in self.files(record).items() if _text(path) != _wanted_text(path, text, record)]
        if not changed:
            return
        before = {path: _kept(path) for path in changed}
        for path in changed:
            if str(path) not in record.files:
                record.files[str(path)] = before[path]
        record.save()
        for path, text in self.files(record).items():
            if path in changed:
                _write(path, _wanted_text(path, text, record))
        refused = [name for name in self._accounts if session_limits(name) is None]
        if refused:
            for path, kept in before.items():
                _write(path, kept["text"])
            raise HostError(
                f"with these limits a new session of {', '.join(refused)} is refused, so they were put back at once",
                "ask for less in host_packages_limits",
            )
        for path, text in self.files(record).items():
            if text is None:
                record.files.pop(str(path), None)
        record.save()
        _reload()

    def not_taken(self) -> list[str]:
        """Open a session of each account and return what it was not given, one sentence each."""
        found = []
        for name in self._accounts:
            limits = session_limits(name)
            if limits is None:
                found.append(f"a new session of {name} is refused")
                continue
            for kind in KINDS:
                if kind.option in self._granted:
                    given, wanted = limits[kind.option], self._granted[kind.option]
                    counted = wanted if wanted == resource.RLIM_INFINITY else wanted // kind.pam_unit * kind.pam_unit
                    if given != (counted, counted):
                        found.append(
                            f"{kind.option} of {name} is {shown(given[0])} in a new session, not {shown(counted)}: "
                            "another file in /etc/security sets it"
                        )
        return found


def session_limits(name: str) -> dict[str, tuple[int, int]] | None:
    """Open a new session of an account through PAM and return its limits; None when it is refused."""
    try:
        done = packages_command.run(["runuser", "-s", "/bin/sh", name, "-c", "cat /proc/self/limits"], _SESSION_SECONDS)
    except TimeoutError:
        return None
    return parse_proc_limits(done.out) if done.code == 0 else None


def revert(record: Record) -> None:
    """Put the files back as they were."""
    for name in list(record.files):
        _write(Path(name), record.files[name]["text"])
        del record.files[name]
        record.save()
    _reload()


def planned_revert(record: Record) -> list[Change]:
    """Return what `revert` would change."""
    found = []
    for name, kept in record.files.items():
        now = _text(Path(name))
        if now != kept["text"]:
            found.append(Change(f"file {name}", now or "absent", kept["text"] or "absent"))
    return found


def _wanted_text(path: Path, text: str | None, record: Record) -> str | None:
    if text is not None:
        return text
    kept: str | None = record.files[str(path)]["text"]
    return kept


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HostError(f"{path} cannot be read: {error}") from error


def _kept(path: Path) -> dict[str, Any]:
    return {"text": _text(path), "folder_made": not path.parent.is_dir()}


def _write(path: Path, text: str | None) -> None:
    """Write a file of root's whole or not at all; without a text remove it, and its folder when that is empty."""
    if text is None:
        with contextlib.suppress(OSError):
            path.unlink()
        if path.parent.name.endswith(".service.d"):
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        return
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HostError(f"{path} cannot be written: {error.strerror}") from error


def _reload() -> None:
    """Let systemd read its drop-ins; a host that runs without it has none."""
    if Path("/run/systemd/system").is_dir():
        packages_command.run(["systemctl", "daemon-reload"])
