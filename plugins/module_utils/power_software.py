"""What director and SUT of a power measurement share: a Python that power-dev starts with, its sources, the clock.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_store, packages_command, time_measure
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

# power-dev compares the bytes of its modules with what `inspect` says of them; for an empty file Python 3.13 says a
# line break, and the program ends. Its files are checked, so it cannot be mended.
OLDEST, NEWEST = (3, 7), (3, 12)
PACKAGE = "ptd_client_server"
_PROBE = "import sys; print('%d %d %d' % sys.version_info[:3])"
_PROBE_SECONDS = 20
_NTP_PORT = 123
_NTP_SECONDS = 5.0  # as power-dev's own client waits
_NTP_BYTES = 48
_NTP_REQUEST = bytes([4 << 3 | 3]) + bytes(_NTP_BYTES - 1)  # version 4, a client
_NTP_SERVER_MODE, _NTP_STRATA = 4, range(1, 16)
_NTP_EPOCH_SECONDS = 2208988800  # 1900 to 1970
_PTS = "install python3.12 beside the system's own (packages of deadsnakes, `uv python install 3.12`, pyenv)"


class Python(NamedTuple):
    """An interpreter that power-dev starts with."""

    path: str
    version: str


def find_python(wanted: str, variable: str, *, for_others: bool) -> Python:
    """Return the interpreter for power-dev.

    Args:
        wanted: A path or name; empty prefers the distribution's own, then the newest that fits.
        variable: Where the user names one.
        for_others: Whether an account without rights of its own has to run it.

    Raises:
        HostError: None fits; names what was found.
    """
    minors = range(NEWEST[1], OLDEST[1] - 1, -1)
    own = str(getattr(sys, "_base_executable", "") or sys.executable)
    names = [wanted] if wanted else ["/usr/bin/python3", own, *(f"python3.{minor}" for minor in minors), "python3"]
    seen = []
    for name in names:
        path = shutil.which(os.path.expanduser(name))
        version = _version(path) if path else None
        if path is None or version is None:
            continue
        told = ".".join(map(str, version))
        if not OLDEST <= version[:2] <= NEWEST:
            seen.append(f"{path} {told}")
        elif for_others and (closed := _closed_folder(path)):
            seen.append(f"{path} {told}, which other accounts cannot reach because of {closed}")
        else:
            return Python(path, told)
    found = "; ".join(dict.fromkeys(seen)) or (f"'{wanted}' does not work" if wanted else "none")
    raise HostError(
        f"power-dev needs Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}, as its check of its own files "
        f"fails from 3.13 on; found: {found}",
        f"{_PTS} and name it by {variable}",
    )


def _version(path: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(int(part) for part in done.stdout.split())


def _closed_folder(path: str) -> str:
    """Return the first folder on the way to a program that only its owner may pass; empty when there is none."""
    for way in (Path(os.path.abspath(path)), Path(os.path.realpath(path))):
        for folder in reversed(way.parents):
            if not folder.stat().st_mode & 0o001:
                return str(folder)
    return ""


def is_whole(folder: Path, sha256: str) -> bool:
    """Whether the software is there as it was brought, read in full: it is small, and the checker is strict."""
    return folder.is_dir() and host_store.sha256_path(folder) == sha256


def start_problem(python: Python, folder: Path, program: str) -> str:
    """Let the software start, so that it checks its own files; return what it said, empty when all is well."""
    argv = [python.path, "-B", str(folder / PACKAGE / program), "--help"]
    done = packages_command.run(argv)
    return "" if done.code == 0 else packages_command.last_error(done)


def clock_problem(server: str, limit_ms: float) -> str:
    """Judge the clock as power-dev will, without ntpdate: by the time daemon, and by the time server's own answer.

    Args:
        server: Name or address of the time server that power-dev asks.
        limit_ms: Largest offset.

    Returns:
        One sentence; empty when all is well.
    """
    problem = time_measure.judge(time_measure.measure_when_synchronised(0), limit_ms)
    if problem:
        return problem
    try:
        socket.getservbyname("ntp", "udp")
    except OSError:
        return "this host does not know the service 'ntp', by whose name power-dev asks (install netbase)"
    try:
        offset_ms = ask_time(server)
    except OSError as error:
        why = "does not answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return f"time server {server}: {why}, and power-dev ends where it has no answer within {_NTP_SECONDS:.0f} s"
    if abs(offset_ms) > limit_ms:
        return f"the clock is {abs(offset_ms):.0f} ms off time server {server}, more than {limit_ms:g} ms"
    return ""


def ask_time(server: str) -> float:
    """Ask a time server once, as power-dev does; return by how many ms this clock is behind it.

    Raises:
        OSError: It does not answer, or with no time.
    """
    address = socket.getaddrinfo(server, _NTP_PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(address[0], socket.SOCK_DGRAM) as query:
        query.settimeout(_NTP_SECONDS)
        query.connect(address[4])
        sent = time.time()
        query.send(_NTP_REQUEST)
        try:
            answer = query.recv(512)
        except socket.timeout:  # noqa: UP041  # another class before Python 3.10
            raise TimeoutError("no answer") from None
        received = time.time()
    if len(answer) < _NTP_BYTES or answer[0] & 7 != _NTP_SERVER_MODE or answer[1] not in _NTP_STRATA:
        raise OSError(f"{server} answers, but is not synchronised itself")
    theirs = [_seconds(answer[at : at + 8]) for at in (32, 40)]
    return (theirs[0] - sent + theirs[1] - received) / 2 * 1e3


def _seconds(stamp: bytes) -> float:
    whole, part = struct.unpack("!II", stamp)
    return float(whole - _NTP_EPOCH_SECONDS + part / (1 << 32))


def listening(ports: Iterable[int], proc: str = "/proc") -> list[int]:
    """Return which TCP ports somebody on this host listens on; asks nobody, as a meter's daemon has one client."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(proc, "net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        fields: list[Any] = [line.split() for line in lines]
        found |= {int(one[1].rpartition(":")[2], 16) for one in fields if one[3] == "0A"}
    return sorted(found & set(ports))
