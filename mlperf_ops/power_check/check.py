"""All checks of a power measurement, in the order of the official power checker."""

from __future__ import annotations

from mlperf_ops.catalogue.round import Round
from mlperf_ops.power_check.files import FILES
from mlperf_ops.power_check.meter import as_expected, commands, configuration
from mlperf_ops.power_check.meter_log import errors_and_uncertainty
from mlperf_ops.power_check.model import ExpectedMeter, Measurement, PowerFinding
from mlperf_ops.power_check.readings import one_cause, readings, replies
from mlperf_ops.power_check.session import digests, identity, messages, simulated, sources
from mlperf_ops.power_check.timing import clocks, durations, levels


def check_measurement(
    measured: Measurement, round_: Round, meter: ExpectedMeter | None = None
) -> tuple[PowerFinding, ...]:
    """Apply the official checks and the stricter ones.

    Args:
        measured: What `read_measurement` read.
        round_: Round whose values apply.
        meter: What the inventory says of the meter; None: nothing.
    """
    found = [
        PowerFinding("files", "official", name, f"{name} is missing") for name in FILES if name not in measured.digests
    ]
    found += measured.problems
    found += simulated(measured.marked)
    if measured.client is None or measured.server is None:
        return (*found, *readings(measured, round_.power))
    client, server = measured.client, measured.server
    found += sources(client, server, round_.power)
    found += commands(server, round_.power)
    if meter is not None:
        found += as_expected(server, meter)
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
    found += readings(measured, round_.power)
    found += replies(server, round_.power)
    return one_cause(found)
