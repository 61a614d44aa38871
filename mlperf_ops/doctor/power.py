"""What is wrong with power on a director or a measured SUT. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from mlperf_ops.doctor.model import Severity
from mlperf_ops.doctor.power_question import MINORS, PowerQuestion, other_digest
from mlperf_ops.power.inventory import CALIBRATED_DAYS


def judge_power(asked: PowerQuestion, facts: Mapping[str, Any], today: date) -> Iterator[tuple[Severity, str, str]]:
    """Yield severity, sentence and remedy of all that is wrong.

    Args:
        asked: What the host was asked.
        facts: What `power_probe.power` said; empty where the host could not tell.
        today: For the age of calibrations.
    """
    if asked.brought[0]:
        yield ("blocks", *asked.brought)
    if facts:
        yield from _software(asked, facts)
        yield from _time(asked, facts)
        yield from _meters(asked, facts)
    for one in asked.meters:
        if one.calibrated is not None and (today - one.calibrated).days > CALIBRATED_DAYS:
            days = (today - one.calibrated).days
            said = f"{one.name} was calibrated on {one.calibrated}, {days} days ago, and reviewers ask for a year"
            yield "warns", said, "have it calibrated, then correct calibration_date"


def _software(asked: PowerQuestion, facts: Mapping[str, Any]) -> Iterator[tuple[Severity, str, str]]:
    python = facts.get("python") or {}
    if not python.get("path"):
        found = "; ".join(python.get("seen", [])) or (f"no {asked.python}" if asked.python else "none")
        yield (
            "blocks",
            f"power-dev needs Python 3.{MINORS[0]} to 3.{MINORS[1]}; found: {found}",
            f"install python3.12 beside the system's own and name it by {asked.part}_python",
        )
    if not asked.ptdaemon:
        return
    found, setting = str(facts.get("ptdaemon")), "power_director_ptdaemon"
    if found == "missing":
        yield "blocks", f"{setting}: there is no file {asked.ptdaemon} on it", "correct it, or put it there"
    elif found == "unreadable":
        yield "note", f"{setting}: {asked.ptdaemon} cannot be read without root, so its digest was not compared", ""
    elif (told := other_digest(f"{setting}: {asked.ptdaemon}", found, asked.sha256))[0]:
        yield ("blocks", *told)


def _time(asked: PowerQuestion, facts: Mapping[str, Any]) -> Iterator[tuple[Severity, str, str]]:
    if not facts.get("knows_ntp") and not asked.brings_netbase:
        yield (
            "warns",
            "it does not know the service 'ntp', by whose name power-dev asks for the time",
            "host_packages_extra: [netbase]",
        )
    if not asked.ntp_server:
        yield "warns", "no time server is named for power-dev to ask", f"time_sync_servers, or {asked.part}_ntp_server"
    elif facts.get("clock"):
        # Before the first provisioning that is as expected; later it is not.
        remedy = (
            "provisioning lets chrony keep the clock; where it was provisioned, look at time_sync_servers"
            if asked.keeps_clock
            else "time_sync_manage: true lets provisioning keep the clock"
        )
        yield "warns", str(facts["clock"]), remedy


def _meters(asked: PowerQuestion, facts: Mapping[str, Any]) -> Iterator[tuple[Severity, str, str]]:
    taken, states = facts.get("ports") or [], facts.get("devices") or {}
    if facts.get("measures"):
        yield "note", "a measurement is going on", ""
    elif taken:
        ports = ", ".join(map(str, taken))
        yield "blocks", f"another program listens on port {ports}", "end it, or give the analyzer another port"
    for one in asked.meters:
        state = states.get(one.name)
        if state == "missing":
            yield "warns", f"{one.name}: there is no {one.place}", "is it switched on, and its cable in?"
        elif state == "silent":
            yield "warns", f"{one.name}: {one.place} does not answer", "is it switched on, and its cable in?"
