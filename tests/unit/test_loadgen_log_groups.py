"""Logs whose lists are followed by the same lines again and again, whole and odd in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlperf_ops.errors import ResultError
from mlperf_ops.loadgen_log import read_detail

GROUP = ("loaded_qsl_set", "generated_query_count", "power_begin", "power_end")
LOADED_SETS = 6
SETS = {"effective_test_mode": "AccuracyOnly", "qsl_reported_total_count": 6, "effective_performance_sample_count": 1}
ODD: dict[str, Callable[[list[str]], list[str]]] = {
    "nothing": lambda lines: lines,
    "a new key": lambda lines: [*lines[:2], line("late_key", "late"), *lines[2:]],
    "an error": lambda lines: [*lines[:3], line("error_runtime", "it broke", is_error=True), *lines[3:]],
    "an error by a usual key": lambda lines: [*lines[:3], line("power_end", "", is_error=True)],
    "a warning": lambda lines: [*lines[:1], line("warning_generic_message", "slow"), *lines[1:]],
    "no end of the set": lambda lines: lines[:3],
    "two ends of the set": lambda lines: [*lines, lines[-1]],
    "no list": lambda lines: lines[1:],
    "another order": lambda lines: [lines[0], *reversed(lines[1:])],
    "an empty line": lambda lines: [*lines[:2], "", *lines[2:]],
    "a line that ends with CR": lambda lines: [*lines[:2], lines[2] + "\r", *lines[3:]],
    "a line of another program": lambda lines: [*lines[:2], "hello", *lines[2:]],
    "a line without its end": lambda lines: [*lines[:2], lines[2][:-2], *lines[3:]],
    "a line without its beginning": lambda lines: [*lines[:2], lines[2][1:], *lines[3:]],
}


def line(key: str, value: object, *, is_error: bool = False) -> str:
    metadata = {"is_error": is_error, "is_warning": False, "file": "x.cc", "line_no": 1, "pid": 1, "tid": 1}
    return ":::MLLOG " + json.dumps({"key": key, "value": value, "time_ms": 0.1, "metadata": metadata})


def group(number: int) -> list[str]:
    values = (list(range(number * 300)), number, f"begin {number}", f"end {number}")
    return [line(key, value) for key, value in zip(GROUP, values, strict=True)]


def read_simply(text: str, keys: frozenset[str] | None) -> tuple[object, ...]:
    """Decode every line, as slowly as it gets; the number of the first line that is none of LoadGen's where one is."""
    first: dict[str, object] = {}
    errors: list[str] = []
    ended = 0
    for number, one in enumerate(text.splitlines(), start=1):
        if not one.strip():
            continue
        if not (one.startswith(':::MLLOG {"key": "') and one.rstrip().endswith("}")):
            return (number,)
        message = json.loads(one.removeprefix(":::MLLOG "))
        key = message["key"]
        ended += key == "power_end"
        if key in keys if keys is not None else key != "loaded_qsl_set":
            first.setdefault(key, message["value"])
        if message["metadata"]["is_error"]:
            errors.append(f"{key}: {message['value']}")
    return first, errors, ended >= LOADED_SETS


def read_quickly(path: Path, keys: frozenset[str] | None) -> tuple[object, ...]:
    try:
        log = read_detail(path, keys)
    except ResultError as error:
        return (int(error.message.split(":")[1]),)
    assert log.error_count == len(log.errors)
    return log.values, list(log.errors), log.complete


@pytest.mark.parametrize("odd", ODD)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, LOADED_SETS - 1),
    keys=st.sampled_from([None, frozenset({"late_key", "power_begin"}), frozenset({"loaded_qsl_set"})]),
    ends=st.booleans(),
)
def test_groups_are_read_as_line_by_line(
    odd: str, place: int, keys: frozenset[str] | None, tmp_path: Path, *, ends: bool
) -> None:
    lines = [line(key, value) for key, value in SETS.items()]
    for number in range(LOADED_SETS):
        lines += ODD[odd](group(number)) if number == place else group(number)
    text = "\n".join([*lines, line("logger_end", 1)] if ends else lines) + "\n"
    path = tmp_path / "mlperf_log_detail.txt"
    path.write_text(text)
    assert read_quickly(path, keys) == read_simply(text, keys)
