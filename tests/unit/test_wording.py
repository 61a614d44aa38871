"""Numbers and untrusted text as readers see them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from mlperf_ops import wording
from mlperf_ops.files import Json


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (5.21, "5.210"), (117.24, "117.2"), (1234.56, "1,234.6"), (18342.4, "18,342"), (0, "0.000")],
)
def test_figures_keep_four_digits(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(80.0, "80"), (75.6954, "75.6954"), (0.5, "0.5")])
def test_scores_are_as_exact_as_targets(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (59.6, "1 min"), (605, "10 min 5 s"), (3599.7, "1 h"), (7380, "2 h 3 min")],
)
def test_durations_take_the_unit_that_fits(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("found", "name", "text"),
    [
        (25276502016, "memory_total_bytes", "23.54 GiB"),
        (200, "batch_timeout_us", "200 µs"),
        (None, "x", "not stated"),
        (True, "x", "yes"),
        ([], "accelerators", "none"),
        (["a", "b"], "x", "a, b"),
        ([{"name": "vda", "size_bytes": 1 << 30, "model": None}], "x", "name vda, size 1 GiB"),
        ({"fp32": 18524008}, "weight_bytes", "fp32 17.67 MiB"),
        (1234567, "x", "1,234,567"),
        (0.25, "x", "0.25"),
    ],
)
def test_any_json_value_fits_into_a_line(found: Json, name: str, text: str) -> None:
    assert wording.value(found, name) == text


def test_names_are_in_the_order_of_their_numbers() -> None:
    names = ["h10", "h2", "a", "h1", "10.0.0.9", "10.0.0.10", "h2b"]
    assert sorted(names, key=wording.in_order) == ["10.0.0.9", "10.0.0.10", "a", "h1", "h2", "h2b", "h10"]


def test_keys_become_words() -> None:
    assert wording.title("cpu_cores_per_socket") == "CPU cores per socket"
    assert wording.title("memory_total_bytes") == "Memory total"
    assert wording.title("loadgen_version") == "LoadGen version"


def test_characters_that_act_are_shown_by_their_code() -> None:
    assert wording.visible("ok\n\tok é 计") == "ok\n\tok é 计"
    assert wording.visible("\x1b[0m\r\x00\u200e") == "[U+001B][0m[U+000D][U+0000][U+200E]"
    assert wording.one_line(" a \n b\t") == "a b"


def test_times_are_shown_in_utc() -> None:
    early = wording.moment("2026-11-22T19:00:00+01:00")
    assert early == datetime(2026, 11, 22, 18, 0, tzinfo=timezone.utc)
    assert wording.moment("2026-11-22T18:00:00Z") == early
    assert wording.moment("soon") is None
    assert early is not None
    late = datetime(2026, 11, 23, 1, 0, tzinfo=timezone.utc)
    assert wording.period([late, early]) == "2026-11-22 18:00 to 2026-11-23 01:00 UTC"
    assert wording.period([]) == "nothing ran"
