"""What a log shows of a compliance test, value by value."""

from __future__ import annotations

import pytest

from mlperf_ops.compliance.logged import same_run, unmet_settings
from mlperf_ops.files import Json, JsonObject
from tests.support.submission_trees import round_v61

ASKED = {"mode": 2, "performance_issue_same": 1, "accuracy_log_sampling_target": 64, "min_query_count": 100}
LOG: JsonObject = {
    "effective_test_mode": "PerformanceOnly",
    "effective_performance_issue_same": True,
    "effective_accuracy_log_sampling_target": 64,
    "requested_min_query_count": 100,
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("effective_test_mode", "AccuracyOnly", "PerformanceOnly"),
        ("effective_test_mode", None, "PerformanceOnly"),
        ("effective_performance_issue_same", False, "1"),
        ("effective_accuracy_log_sampling_target", 63, "at least 64"),
        ("effective_accuracy_log_sampling_target", "64", "at least 64"),
        ("requested_min_query_count", 101, "100"),
    ],
)
def test_a_setting_that_a_log_does_not_show_is_named(key: str, value: Json, expected: str) -> None:
    (unmet,) = unmet_settings({**LOG, key: value}, ASKED)
    assert (unmet.key, unmet.found, unmet.expected) == (key, value, expected)


def test_a_log_that_shows_all_settings_or_samples_more_answers_is_of_the_test() -> None:
    assert not list(unmet_settings(LOG, ASKED))
    assert not list(unmet_settings({**LOG, "effective_accuracy_log_sampling_target": 65}, ASKED))


def test_the_length_of_a_run_can_be_left_out() -> None:
    assert not list(unmet_settings({**LOG, "requested_min_query_count": 5}, ASKED, telling_only=True))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"test_datetime": "2026-07-01T10:00:00Z", "power_begin": "07-01-2026 10:00:01.250"}, True),
        ({"test_datetime": "2026-07-01T10:00:00Z", "power_begin": "07-01-2026 10:00:01.251"}, False),
        ({}, False),
    ],
)
def test_two_logs_are_of_one_run_when_they_began_in_the_same_millisecond(other: JsonObject, *, same: bool) -> None:
    log: JsonObject = {"test_datetime": "2026-07-01T10:00:00Z", "power_begin": "07-01-2026 10:00:01.250"}
    assert same_run(log, other) == same
    assert not same_run({}, other)


def test_seeds_that_are_wrong_or_missing_are_told_with_the_rounds() -> None:
    seeds = round_v61().seeds
    log: JsonObject = {f"effective_{name}": value for name, value in seeds.model_dump().items()}
    assert seeds.wrong_in(log) == {}
    del log["effective_qsl_rng_seed"]
    assert seeds.wrong_in({**log, "effective_schedule_rng_seed": 1}) == {
        "qsl_rng_seed": (None, seeds.qsl_rng_seed),
        "schedule_rng_seed": (1, seeds.schedule_rng_seed),
    }
