"""How fast a compliance run may be: both sides of each bound, in each kind of figure."""

from __future__ import annotations

from typing import Literal

import pytest

from mlperf_ops.compliance.bounds import compare, score_delta_perc, usable_score
from mlperf_ops.model import ComplianceTest
from tests.support.submission_trees import round_v61

SHORT_SINGLE_NS, SHORT_MULTI_NS = 200_000, 1_600_000
Run = tuple[ComplianceTest, Literal["SingleStream", "MultiStream", "Server", "Offline"], float, float]

WITHIN: list[Run] = [
    ("TEST01", "Offline", 1000, 900.01),
    ("TEST01", "Offline", 1000, 1099.99),
    ("TEST01", "Offline", 1000, 1000 * (1 + 0.1)),
    ("TEST01", "Server", 1000, 1000),
    ("TEST01", "SingleStream", SHORT_SINGLE_NS, SHORT_SINGLE_NS * 1.199),
    ("TEST01", "SingleStream", SHORT_SINGLE_NS + 1, SHORT_SINGLE_NS * 1.099),
    ("TEST01", "MultiStream", SHORT_MULTI_NS, SHORT_MULTI_NS * 0.801),
    ("TEST04", "Offline", 1000, 1099.99),
    ("TEST04", "Offline", 1000, 1),
    ("TEST04", "SingleStream", 1e7, 1e7 / 1.199),
    ("TEST04", "SingleStream", 1e7, 1e9),
]
BEYOND: list[Run] = [
    ("TEST01", "Offline", 1000, 899.99),
    ("TEST01", "Offline", 1000, 1100.01),
    ("TEST01", "SingleStream", SHORT_SINGLE_NS, SHORT_SINGLE_NS * 1.201),
    ("TEST01", "SingleStream", SHORT_SINGLE_NS + 1, SHORT_SINGLE_NS * 1.101),
    ("TEST01", "MultiStream", SHORT_MULTI_NS, SHORT_MULTI_NS * 0.799),
    ("TEST04", "Server", 1000, 1100.01),
    ("TEST04", "Offline", 1000, 1000 * (1 + 0.1)),
    ("TEST04", "MultiStream", 1e7, 1e7 / 1.201),
]


@pytest.mark.parametrize(("run", "accepted"), [*((run, True) for run in WITHIN), *((run, False) for run in BEYOND)])
def test_a_test_is_as_fast_as_the_performance_run_within_the_rounds_bounds(run: Run, *, accepted: bool) -> None:
    test, scenario, reference, tested = run
    bounds = round_v61().compliance[test].performance
    assert bounds is not None
    assert compare(bounds, scenario, reference, tested).accepted == accepted


@pytest.mark.parametrize(
    ("run", "part", "meant_part"),
    [
        (("TEST04", "SingleStream", 1e7, 9e6), 0.2, 0.1),
        (("TEST04", "SingleStream", SHORT_SINGLE_NS, SHORT_SINGLE_NS), 0.2, 0.2),
        (("TEST01", "SingleStream", 1e7, 9e6), 0.1, 0.1),
        (("TEST04", "Offline", 1000, 1050), 0.1, 0.1),
    ],
)
def test_a_rate_that_is_compared_with_a_latency_lets_streams_be_faster_than_the_rules_mean(
    run: Run, part: float, meant_part: float
) -> None:
    test, scenario, reference, tested = run
    bounds = round_v61().compliance[test].performance
    assert bounds is not None
    found = compare(bounds, scenario, reference, tested)
    assert (found.part, found.meant_part) == (part, meant_part)


def test_faster_is_less_latency_and_more_per_second() -> None:
    as_latency, as_rate = (round_v61().compliance[name].performance for name in ("TEST01", "TEST04"))
    assert as_latency is not None
    assert as_rate is not None
    assert compare(as_latency, "SingleStream", 1000, 900).faster == pytest.approx(0.1)
    assert compare(as_latency, "Offline", 1000, 900).faster == pytest.approx(-0.1)
    assert compare(as_rate, "SingleStream", 1000, 800).faster == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("stated", "score"), [("76.5", 76.5), (76.5, 76.5), ("0", None), ("nan", None), ("inf", None), ("7.6.5", None)]
)
def test_a_score_of_0_or_of_no_finite_number_is_a_missing_one(stated: str | float, score: float | None) -> None:
    assert usable_score(stated) == score


def test_scores_differ_in_percent_of_the_tests_score() -> None:
    assert score_delta_perc(99, 100) == pytest.approx(1)
    assert score_delta_perc(101, 100) == pytest.approx(1)
