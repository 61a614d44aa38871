"""What the meter's log says of one run: each cause is filed under its own subject, once."""

from __future__ import annotations

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.power_check.meter_log import errors_and_uncertainty
from mlperf_ops.power_check.model import Measurement, PowerFinding, Reading, Run
from tests.support.meter_logs import BEGIN_S, DAY, END_S, HEAD

RULES = load_catalogue().round("v6.1").power
UNCERTAIN = "WARNING: Uncertainty 1.42%, which is above 1.00% limit for the last sample!"
LOST = "ERROR: Bad watts reading nan from WT310"


def findings(*lines: str) -> list[PowerFinding]:
    run = Run("run_1", BEGIN_S, END_S, tuple(Reading(BEGIN_S + second, 40.0, 0.9) for second in range(1, 2100)))
    text = "\n".join((*HEAD, *(f"{DAY} {line}" for line in lines)))
    return list(errors_and_uncertainty({"session_name": "s"}, Measurement({}, {}, run, run, text, {}), RULES))


def test_an_uncertain_reading_that_the_official_checker_sees_is_filed_once_and_as_such() -> None:
    (found,) = findings(f"15:37:30.500: {UNCERTAIN}", f"15:37:31.500: {UNCERTAIN}")
    assert (found.subject, found.objector, found.symptom) == ("uncertainty", "official", None)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (UNCERTAIN, LOST, [("uncertainty", "official", None), ("meter-errors", "rules", "errors")]),
        (LOST, UNCERTAIN, [("meter-errors", "official", "errors"), ("uncertainty", "advice", None)]),
    ],
)
def test_what_the_official_checker_does_not_reach_is_filed_beside_its_objection(
    first: str, second: str, expected: list[tuple[str, str, str | None]]
) -> None:
    found = findings(f"15:37:30.500: {first}", f"15:37:31.500: {second}")
    assert [(one.subject, one.objector, one.symptom) for one in found] == expected
