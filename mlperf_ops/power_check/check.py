"""All checks of a power measurement, in the order of the official power checker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from mlperf_ops.catalogue.round import Round
from mlperf_ops.power_check.files import FILES
from mlperf_ops.power_check.meter import commands, configuration
from mlperf_ops.power_check.meter_log import errors_and_uncertainty
from mlperf_ops.power_check.model import Measurement, PowerFinding
from mlperf_ops.power_check.session import digests, identity, messages, simulated, sources
from mlperf_ops.power_check.timing import clocks, durations, levels


def check_measurement(measured: Measurement, round_: Round) -> tuple[PowerFinding, ...]:
    """Apply the official checks and the stricter ones.

    Args:
        measured: What `read_measurement` read.
        round_: Round whose values apply.
    """
    found = [
        PowerFinding("files", "official", name, f"{name} is missing") for name in FILES if name not in measured.digests
    ]
    found += measured.problems
    if measured.client is None or measured.server is None:
        return (*found, *_readings(measured, round_))
    client, server = measured.client, measured.server
    found += sources(client, server, round_.power)
    found += commands(server, round_.power)
    found += identity(client, server)
    found += clocks(client, server, measured, round_)
    found += levels(measured, round_)
    found += durations(measured, round_.power)
    found += messages(client, server)
    found += digests(client, server, measured.digests)
    found += errors_and_uncertainty(server, measured, round_.power)
    found += configuration(server, round_.power)
    if server.get("debug", False) is not False:
        found.append(PowerFinding("debug", "official", "power/server.json", "the server ran in debug mode"))
    found += simulated(server, measured.meter_text)
    found += _readings(measured, round_)
    return tuple(found)


def _readings(taken: Measurement, round_: Round) -> Iterator[PowerFinding]:
    """Look at the readings during the run that counts."""
    run = taken.testing
    name = f"{run.folder}/spl.txt"
    if not taken.has(name) or not taken.has(f"{run.folder}/mlperf_log_detail.txt"):
        return  # a missing file is a finding of its own
    if run.problem is not None:
        yield PowerFinding("readings", "official", name, run.problem)
        return
    measured = run.measured
    if run.average_watts is None:
        yield PowerFinding("readings", "official", name, "no reading above 0 W during the run")
        return
    least = round_.power.least_readings_share * run.duration_s
    if len(measured) < least:
        yield PowerFinding(
            "readings",
            "rules",
            name,
            f"{len(measured)} readings in a run of {run.duration_s:.0f} s, one a second is due",
            value=str(len(measured)),
            limit=f"at least {least:.0f}",
        )
        return
    times = [reading.time_s for reading in measured]
    gaps = [(after - before, before) for before, after in itertools.pairwise(times)]
    gap, _ = max(gaps, default=(0.0, 0.0))
    if gap > round_.power.longest_gap_seconds:
        yield PowerFinding(
            "readings",
            "advice",
            name,
            f"no reading for {gap:.1f} s during the run",
            value=f"{gap:.1f} s",
            limit=f"at most {round_.power.longest_gap_seconds:g} s",
        )
