"""What the rules say of a measured cell as soon as its files are here, in words for the play."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue.one_round import load_round
from mlperf_ops.errors import ResultError
from mlperf_ops.model import SCENARIOS
from mlperf_ops.power.inventory import PowerLab
from mlperf_ops.power_check import ExpectedMeter, PowerSubject, check_measurement, measurement_of, read_measurement
from mlperf_ops.power_check.official import power_checker, run_power_checker
from mlperf_ops.power_results import MeasuredPower, Place, measured_power


def expected_meter(lab: PowerLab, host: str) -> ExpectedMeter | None:
    """Return the meter that the inventory names for a host; None where it is none, or several."""
    sut = lab.sut(host)
    if sut is None or len(sut.uses) != 1:
        return None
    one = lab.analyzer(sut.uses[0].analyzer)
    return ExpectedMeter(one.model or None, one.firmware or None, one.serial_number or None)


_REPEATED: frozenset[PowerSubject] = frozenset(
    {"files", "session", "clock", "level", "messages", "digests", "meter-errors", "uncertainty", "readings"}
)
"""What another measurement may do better; another meter, other software and a stand-in stay what they are."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of a measurement.

    Attributes:
        figures: In words.
        rejected: Why it is rejected.
        repeat: Those of them for which the cell is to be measured again.
        advice: What nobody rejects.
    """

    figures: str
    rejected: list[str]
    repeat: list[str]
    advice: list[str]


def judged(attempt: Path, round_name: str, scenario: str, lab: PowerLab, host: str, official: Path | None) -> Judged:
    """Judge the measurement of an attempt.

    Args:
        attempt: Its folder, on the controller.
        round_name: Whose rules apply.
        scenario: Of the cell.
        lab: The plan's analyzers.
        host: That was measured.
        official: Checkout of mlcommons/inference, whose power_checker.py is asked, too; None: it is not.

    Raises:
        ResultError: The attempt has no measurement.
        ConfigError: There is no such round, or the checkout has no power checker.
        ToolError: The official checker cannot be run.
    """
    folder = measurement_of(attempt)
    if folder is None:
        raise ResultError(f"{attempt} holds no power measurement")
    round_ = load_round(round_name)
    found = check_measurement(read_measurement(folder), round_, expected_meter(lab, host))
    rejected = [one.message for one in found if one.objector != "advice"]
    repeat = [one.message for one in found if one.objector != "advice" and one.subject in _REPEATED]
    advice = [one.message for one in found if one.objector == "advice"]
    known = next((name for name in SCENARIOS if name == scenario), None)
    words = _figures(measured_power(Place(folder, ".", known, None), round_))
    if official is not None:
        told = run_power_checker(power_checker(official), folder)
        passed = sum(one.passed for one in told.checks)
        sentence = f"official power_checker.py: {passed} of {len(told.checks)} checks pass"
        if told.accepted:
            words += f"; {sentence}"
        else:
            failing = [f"{one.name}: {one.note}" for one in told.checks if not one.passed]
            rejected.append("; ".join([sentence, *failing, *([told.problem] if told.problem else [])]))
    return Judged(words, rejected, repeat, advice)


def _figures(found: MeasuredPower) -> str:
    if found.problem is not None:
        return found.problem
    parts = [f"{found.average_watts:.4g} W on average"]
    if found.unit != "Watts":
        parts.append(f"{found.value:.4g} {found.unit} per query")
    if found.efficiency is not None:
        parts.append(f"{found.efficiency:.4g} {found.efficiency_unit}")
    return ", ".join(parts)
