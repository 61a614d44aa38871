"""What a detail log shows of the run that it is of: the settings of a compliance test, and which run it was.

Source: the tests' pages in mlcommons/inference, compliance/ ("Verification that audit.config was properly read can be
done by checking … mlperf_log_detail.txt"). What a test asks for is the round's data (`ComplianceRun.settings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlperf_ops.files import Json, JsonObject

_MODES = {0: "SubmissionRun", 1: "AccuracyOnly", 2: "PerformanceOnly"}
_SHOWN_AS = {
    "mode": "effective_test_mode",
    "accuracy_log_rng_seed": "effective_accuracy_log_rng_seed",
    "accuracy_log_sampling_target": "effective_accuracy_log_sampling_target",
    "performance_issue_unique": "effective_performance_issue_unique",
    "performance_issue_same": "effective_performance_issue_same",
    "performance_issue_same_index": "effective_performance_issue_same_index",
    "sample_concatenate_permutation": "effective_sample_concatenate_permutation",
    "min_query_count": "requested_min_query_count",
    "min_duration": "effective_min_duration_ms",
}
# More of these proves as much. The other counts are those that the run was asked for.
_AT_LEAST = frozenset({"accuracy_log_sampling_target"})
# How long a run is and in which order it asks, which do not tell a run of the test from another.
_OF_ANY_RUN = frozenset({"sample_concatenate_permutation", "min_query_count", "min_duration"})
TIME_OF_START = "test_datetime"
_OF_ONE_RUN = (TIME_OF_START, "power_begin")
LOG_KEYS = frozenset({*_SHOWN_AS.values(), *_OF_ONE_RUN})
"""Keys of the detail log that are looked at here."""


@dataclass(frozen=True, slots=True)
class Unmet:
    """A setting that a log does not show.

    Attributes:
        key: Key of the log.
        found: What the log says; None: nothing.
        expected: What the test asks for, in words.
    """

    key: str
    found: Json
    expected: str


def unmet_settings(log: JsonObject, asked: Mapping[str, int], *, telling_only: bool = False) -> Iterator[Unmet]:
    """Yield the settings of a test that a run's log does not show.

    Args:
        log: Values of the detail log.
        asked: The test's settings, as audit.config names them.
        telling_only: Leave out those that another run may have as well.
    """
    for setting, value in asked.items():
        key = _SHOWN_AS.get(setting)
        if key is None or (telling_only and setting in _OF_ANY_RUN):
            continue
        found = log.get(key)
        if setting in _AT_LEAST:
            if not isinstance(found, (int, float)) or found < value:
                yield Unmet(key, found, f"at least {value}")
            continue
        expected: Json = _MODES.get(value) if setting == "mode" else value
        if found is None or found != expected:  # True is 1 here
            yield Unmet(key, found, str(expected))


def keys_of(asked: Mapping[str, int]) -> frozenset[str]:
    """Return the keys of the detail log that show a test's settings."""
    return frozenset(_SHOWN_AS[setting] for setting in asked if setting in _SHOWN_AS)


def same_run(log: JsonObject, other: JsonObject) -> bool:
    """Whether two logs are of one run: LoadGen writes these keys once per run, with the time of day."""
    return all(log.get(key) is not None and log[key] == other.get(key) for key in _OF_ONE_RUN)
