"""How far a host's clock is off, as the time daemon that runs there says. Only reads.

Runs on a host's own Python (3.8 or newer), standard library only. Offsets are in milliseconds, positive when the
host's clock is ahead of its reference.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

CHRONY, TIMESYNCD, NTPD = "chronyd", "systemd-timesyncd", "ntpd"
# Name of a process, of which Linux keeps 15 characters -> daemon.
_COMMS = {"chronyd": CHRONY, "systemd-timesyn": TIMESYNCD, "ntpd": NTPD, "openntpd": NTPD}
_TIMEOUT_SECONDS = 10
_PAUSE_SECONDS = 0.5
_TRACKING_FIELDS = 14
_SOURCE_FIELDS = 10
_LOCAL_REFERENCE = "7F7F0101"  # 127.127.1.1: the directive "local"
_MILLI = {"us": 1e-3, "ms": 1.0, "s": 1e3, "min": 60e3, "h": 3600e3}
_SECONDS = 1e3


class Measurement(NamedTuple):
    """What is known of a clock."""

    daemon: str  # "" when none runs
    synchronised: bool
    offset_ms: float | None
    error_ms: float | None  # how wrong the offset may be: half the root delay and the root dispersion
    stratum: int | None
    source: str  # what the clock follows, "" when it follows nothing
    reason: str  # why it is not synchronised, or why the offset is not known

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(self._asdict())


def _unknown(daemon: str, reason: str) -> Measurement:
    return Measurement(
        daemon, synchronised=False, offset_ms=None, error_ms=None, stratum=None, source="", reason=reason
    )


def parse_tracking(text: str) -> Measurement:
    """Read `chronyc -n -c tracking`.

    Raises:
        ValueError: It has another form.
    """
    fields = text.strip().split(",")
    if len(fields) != _TRACKING_FIELDS:
        raise ValueError(f"expected {_TRACKING_FIELDS} fields, found {len(fields)}")
    reference, name, leap = fields[0], fields[1], fields[13]
    if leap == "Not synchronised" or set(reference) == {"0"}:
        return _unknown(CHRONY, "chronyd has not chosen a source yet")
    # chronyc counts a slow clock as positive.
    return Measurement(
        daemon=CHRONY,
        synchronised=True,
        offset_ms=round(-float(fields[4]) * _SECONDS, 6) + 0.0,
        error_ms=round((float(fields[10]) / 2 + float(fields[11])) * _SECONDS, 6),
        stratum=int(fields[2]),
        source=name or ("its own clock" if reference == _LOCAL_REFERENCE else reference),
        reason="",
    )


def parse_sources(text: str) -> list[dict[str, Any]]:
    """Read `chronyc -n -c sources`: name, state, stratum and whether the last eight polls were answered.

    Raises:
        ValueError: It has another form.
    """
    found = []
    for line in text.split():
        fields = line.split(",")
        if len(fields) != _SOURCE_FIELDS:
            raise ValueError(f"expected {_SOURCE_FIELDS} fields, found {len(fields)}")
        found.append(
            {
                "name": fields[2],
                "selected": fields[1] == "*",
                "state": fields[1],
                "stratum": int(fields[3]),
                "answers": bin(int(fields[5], 8)).count("1"),  # noqa: FURB161  # int.bit_count is of Python 3.10
            }
        )
    return found


def parse_timesync_status(text: str) -> Measurement:
    """Read `timedatectl timesync-status`."""
    fields = dict(re.findall(r"^\s*([A-Z][\w ]*): (.+)$", text, re.MULTILINE))
    offset = _milliseconds(fields.get("Offset", ""))
    distance = _milliseconds(fields.get("Root distance", "").partition(" (")[0])
    stratum = fields.get("Stratum", "")
    if offset is None:
        return _unknown(TIMESYNCD, "systemd-timesyncd has no answer of a server yet")
    server = fields.get("Server", "").partition(" ")[0]
    return Measurement(
        daemon=TIMESYNCD,
        synchronised=True,
        offset_ms=-offset + 0.0,
        error_ms=distance,
        stratum=int(stratum) if stratum else None,
        source=server,
        reason="",
    )


def _milliseconds(text: str) -> float | None:
    """Read a time span of systemd: "+1.234ms", "-1min 2.5s"."""
    parts = re.findall(r"([\d.]+)(us|ms|min|s|h)", text)
    if not parts:
        return None
    total = sum(float(number) * _MILLI[unit] for number, unit in parts)
    return round(-total if text.lstrip().startswith("-") else total, 6)


def parse_ntpq(text: str) -> Measurement:
    """Read `ntpq -c rv`; its times are milliseconds."""
    fields = dict(re.findall(r"(\w+)=([^,\s]+)", text))
    if "leap_alarm" in text or "sync_unspec" in text or "offset" not in fields:
        return _unknown(NTPD, "ntpd has not chosen a source yet")
    error = float(fields.get("rootdelay", 0)) / 2 + float(fields.get("rootdisp", 0))
    stratum = int(fields["stratum"]) if "stratum" in fields else None
    return Measurement(
        daemon=NTPD,
        synchronised=True,
        offset_ms=-float(fields["offset"]) + 0.0,
        error_ms=error,
        stratum=stratum,
        source=fields.get("refid", ""),
        reason="",
    )


def running_daemons(proc: str = "/proc") -> list[str]:
    """Return the time daemons that run, by the names of the processes."""
    found = set()
    for pid in filter(str.isdigit, os.listdir(proc)):
        path = os.path.join(proc, pid, "comm")
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            found.add(_COMMS.get(stream.read().strip(), ""))  # it may have just ended
    return sorted(found - {""})


_QUESTIONS: dict[str, tuple[list[str], Callable[[str], Measurement]]] = {
    CHRONY: (["chronyc", "-n", "-c", "tracking"], parse_tracking),
    TIMESYNCD: (["timedatectl", "timesync-status"], parse_timesync_status),
    NTPD: (["ntpq", "-c", "rv"], parse_ntpq),
}


def measure(proc: str = "/proc") -> Measurement:
    """Ask the daemon that runs; of several, one that is synchronised."""
    answers = [_ask(daemon) for daemon in running_daemons(proc)]
    answers.sort(key=lambda one: not one.synchronised)
    if answers:
        return answers[0]
    return _unknown("", "no time daemon runs on this host")


def _ask(daemon: str) -> Measurement:
    argv, parse = _QUESTIONS[daemon]
    try:
        done = packages_command.run(argv, _TIMEOUT_SECONDS)
    except (HostError, TimeoutError) as error:
        return _unknown(daemon, str(error))
    if done.code != 0:
        return _unknown(daemon, packages_command.last_error(done))
    try:
        return parse(done.out)
    except (ValueError, IndexError) as error:
        return _unknown(daemon, f"{' '.join(argv)} gave an unexpected answer: {error}")


def measure_when_synchronised(wait_seconds: float, proc: str = "/proc") -> Measurement:
    """Measure, and wait for the first synchronisation of a daemon that runs.

    Args:
        wait_seconds: How long at most; a daemon that has just started needs a few seconds.
        proc: Where processes are listed.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        found = measure(proc)
        if found.synchronised or time.monotonic() >= deadline or not found.daemon:
            return found if found.daemon != CHRONY or found.synchronised else _with_sources(found)
        time.sleep(_PAUSE_SECONDS)


def _with_sources(found: Measurement) -> Measurement:
    """Name the sources of chrony that do not answer."""
    silent = []
    with contextlib.suppress(HostError, TimeoutError, ValueError):
        done = packages_command.run(["chronyc", "-n", "-c", "sources"], _TIMEOUT_SECONDS)
        silent = [one["name"] for one in parse_sources(done.out) if not one["answers"]]
    told = f"; no answer of {', '.join(silent)}" if silent else ""
    return found._replace(reason=found.reason + told)


def judge(found: Measurement, limit_ms: float) -> str:
    """Say what is wrong with a clock; empty when nothing is."""
    if not found.synchronised:
        return f"the clock is not synchronised: {found.reason}"
    if found.offset_ms is None:
        return f"the clock's offset is not known: {found.reason}"
    if abs(found.offset_ms) > limit_ms:
        way = "ahead" if found.offset_ms > 0 else "behind"
        return f"the clock is {abs(found.offset_ms):g} ms {way}, more than {limit_ms:g} ms"
    return ""
