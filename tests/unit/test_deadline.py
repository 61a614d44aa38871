"""Deadlines: what counts as one, what fits, and what decides about the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mlperf_ops.campaign.durations import shown_seconds
from mlperf_ops.collected import read_collection
from mlperf_ops.commands import plan_deadline
from mlperf_ops.deadline import Deadline, Forecast, as_json, campaign_end, forecast, parse_deadline
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.outlook import outlook
from mlperf_ops.plan_model import Plan, PlannedCell, Seconds
from tests.support.earlier import cell, leave_attempt, leave_host, plan

NOW = datetime(2027, 1, 29, 8, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone that is not UTC, without a database of zones."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc_hour", "zone"),
    [
        ("2027-01-29T13:00", 12, "CET, this machine's zone"),
        (" 2027-01-29 13:00 ", 12, "CET, this machine's zone"),
        ("2027-01-29T13:00+00:00", 13, "UTC"),
        ("2027-01-29T13:00Z", 13, "UTC"),
        ("2027-01-29T13:00:00-05:00", 18, "UTC-05:00"),
    ],
)
def test_a_deadline_without_an_offset_is_in_this_machines_zone(text: str, utc_hour: int, zone: str) -> None:
    found = parse_deadline(text, NOW)
    assert found.at == NOW.replace(hour=utc_hour)
    assert found.zone == zone


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Friday", "--deadline Friday: this is no date and time in ISO 8601"),
        ("", "--deadline : this is no date and time in ISO 8601"),
        ("2027-02-30T13:00", "this is no date and time in ISO 8601"),
        ("2027-01-29T13:00+99:00", "this is no date and time in ISO 8601"),
        ("2027-01-29", "a date alone; at what time of day?"),
        ("2027-01-29T08:59", "2027-01-29 08:59 (CET, this machine's zone) is past, it is 2027-01-29 09:00"),
        ("2027-01-29T08:00Z", "is past"),
        ("0001-01-01T00:00+14:00", "is past"),
    ],
)
def test_what_is_no_deadline_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_deadline(text, NOW)
    assert sentence in caught.value.message
    assert "\n" not in str(caught.value)


_OWN: Mapping[str, Json] = {
    "benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Server"]}],
    "components": {"imagenet": {"path": "/data/imagenet"}},
    "targets": {"efficientnet-lite0": {"Server": {"target_qps": 10}}},
    "run_style": "valid",
}


def test_what_is_assumed_of_a_data_set_of_unknown_size_is_said_and_is_no_certainty(tmp_path: Path) -> None:
    made = plan(**_OWN)
    accuracy = next(one for one in made.cells if one.cell.mode == "accuracy")
    only = replace(made, cells=(accuracy,))
    soon = parse_deadline("2027-01-29T08:40Z", NOW)
    seen = outlook(only, ())
    assert forecast(only, seen, soon, NOW).fit == "may not fit"
    (told,) = plan_deadline.guesses(one.expected for one in seen)
    assert told.startswith(
        "nobody knows yet how many samples your imagenet has: the durations of 1 accuracy cell assume"
    )

    # Any run of the whole data set on this host has counted it.
    performance = next(one for one in made.cells if one.cell.mode == "performance")
    held = leave_attempt(tmp_path, performance, fields={"qsl_reported_total_count": 20})
    leave_host(tmp_path, "a", held)
    earlier = read_collection(tmp_path).earlier
    known = outlook(only, earlier)
    assert list(plan_deadline.guesses(one.expected for one in known)) == []
    (one,) = known
    assert one.expected is not None
    assert one.expected.why == "20 samples, as an earlier run has counted"
    assert (one.expected.low, one.expected.high) == pytest.approx((2.8, 33.2), abs=0.2)  # 20 at 10 per second
    assert forecast(only, known, soon, NOW).fit == "fits"
    # Another folder, or a run of a part of it, says nothing.
    moved: Json = {"imagenet": {"path": "/data/other"}}
    other = plan(**(dict(_OWN) | {"components": moved}))
    assert list(plan_deadline.guesses(one.expected for one in outlook(other, earlier)))
    limited: Json = [{"benchmark": "efficientnet-lite0", "sample_count": 5}]
    part = plan(**(dict(_OWN) | {"benchmarks": limited}))
    assert list(plan_deadline.guesses(one.expected for one in part.cells)) == []


def timed(made: Plan, durations: Mapping[str, tuple[float, float] | None], holds: tuple[str, ...] = ()) -> Plan:
    """Give the cells of the scenarios durations, and let all hold something; others are left out."""

    def one(planned: PlannedCell, seconds: tuple[float, float] | None) -> PlannedCell:
        expected = None if seconds is None else Seconds(*seconds, "given", "target")
        return replace(planned, expected=expected, holds=holds)

    cells = [one(cell(made, scenario), seconds) for scenario, seconds in durations.items()]
    return replace(made, cells=tuple(cells))


def ready(made: Plan, hours: float, share: float = 0.0) -> Forecast:
    return forecast(made, outlook(made, ()), Deadline(NOW + timedelta(hours=hours), local=False), NOW, share)


HOURS = {"SingleStream": (3600.0, 7200.0), "Server": (3600.0, 7200.0), "Offline": (3600.0, 7200.0)}


@pytest.mark.parametrize(
    ("hours", "fits", "whole"),
    [
        (6.0, ["fits", "fits", "fits"], "fits"),
        (5.9, ["fits", "fits", "may not fit"], "may not fit"),
        (2.9, ["fits", "may not fit", "does not fit"], "does not fit"),
        (0.5, ["does not fit", "does not fit", "does not fit"], "does not fit"),
    ],
)
def test_a_cell_fits_when_its_latest_end_does_and_does_not_when_its_earliest_does_not(
    hours: float, fits: list[str], whole: str
) -> None:
    made = ready(timed(plan(), HOURS), hours)
    assert [one.fit for one in made.cells] == fits
    assert (made.fit, made.met) == (whole, whole == "fits")
    assert (made.end.low, made.end.high) == (3 * 3600.0, 6 * 3600.0)


def test_the_reserve_for_cells_that_run_again_is_in_the_latest_times_only() -> None:
    made = ready(timed(plan(), HOURS), 6.0, share=0.1)
    assert (made.end.low, made.end.high) == pytest.approx((3 * 3600.0, 6.6 * 3600.0))
    assert made.fit == "may not fit"


def test_nothing_left_to_run_is_ready() -> None:
    made = forecast(plan(), (), Deadline(NOW + timedelta(hours=1), local=False), NOW)
    assert (made.cells, made.critical_path, made.met, made.end.high) == ((), (), True, 0.0)
    assert "met, nothing is left to run" in told(made)


def test_a_cell_of_unknown_duration_leaves_it_open_and_is_named() -> None:
    made = ready(timed(plan(), {"SingleStream": (60.0, 70.0), "Server": None, "Offline": (10.0, 20.0)}), 3.0)
    assert [one.fit for one in made.cells] == ["fits", "may not fit", "may not fit"]
    assert made.at_least
    shown = told(made)
    assert "not sure, some durations are not known" in shown
    assert "nobody knows how long a/efficientnet-lite0/Server/performance will take" in shown
    assert "critical path, of a, which is last: at least 1 min 10 s" in shown
    text = json.dumps(as_json(made), allow_nan=False)
    assert json.loads(text)["end"]["high"] is None


def test_hosts_that_share_a_meter_wait_for_one_another_and_the_path_says_so() -> None:
    one = timed(plan(), {"Offline": (3600.0, 3600.0)}, ("meter1",))
    other = replace(one.cells[0], host="b", cell=replace(one.cells[0].cell, system="b"))
    both = replace(one, hosts=(*one.hosts, replace(one.hosts[0], name="b", system="b")), cells=(*one.cells, other))
    made = ready(both, 1.5)
    assert [step.host for step in made.critical_path] == ["a", "b"]
    assert made.critical_path[1].waits_for == "meter1"
    assert [one.fit for one in made.cells] == ["fits", "does not fit"]
    shown = told(made)
    assert "critical path, of b, which is last, held up by a: up to 2 h" in shown
    assert "  09:00           1 h  b/efficientnet-lite0/Offline/performance, once meter1 is free\n" in shown
    assert "1 fits, 1 does not fit" in shown
    assert campaign_end(both, outlook(both, ())).high == 7200.0
    assert plan_deadline.turns(both, outlook(both, ()), shown_seconds) == "2 h in all, with the turns at meter1"
    assert plan_deadline.turns(one, outlook(one, ()), shown_seconds) is None


def test_cells_run_in_the_order_that_the_plan_gives_the_host() -> None:
    made = timed(plan(), HOURS)
    backwards = tuple(one.cell.key for one in reversed(made.cells))
    ordered = replace(made, hosts=(replace(made.hosts[0], order=backwards),))
    assert [step.key for step in ready(ordered, 9.0).critical_path] == list(backwards)


def test_the_screen_says_where_the_durations_come_from() -> None:
    shown = told(ready(plan(run_style="valid"), 1.0, share=0.1))
    assert "deadline 2027-01-29 09:00 (UTC), in 1 h" in shown
    assert "from the rules of the round" in shown
    assert "from published runs of others, which may be far off for this lab" in shown
    assert "a reserve of 10 %" in shown


def told(made: Forecast) -> str:
    console = Console(width=200, soft_wrap=True, highlight=False)
    with console.capture() as captured:
        plan_deadline.show(console, made, shown_seconds)
    return captured.get()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=3, max_size=3),
    st.floats(0.01, 100),
    st.floats(0, 0.5),
)
def test_a_forecast_is_never_kinder_than_its_own_ends(
    durations: list[tuple[float, float]], hours: float, share: float
) -> None:
    ranges = {name: (min(pair), max(pair)) for name, pair in zip(HOURS, durations, strict=True)}
    made = ready(timed(PLAN, ranges), hours, share)
    assert made.met == all(one.fit == "fits" for one in made.cells)
    assert (made.fit == "does not fit") == any(one.fit == "does not fit" for one in made.cells)
    assert made.slack.low <= made.slack.high
    assert made.end.high == max(one.end.high for one in made.cells)
    assert math.isclose(made.critical_path[-1].end, made.end.high)
    for one in made.cells:
        assert one.start.low <= one.start.high <= one.end.high
        assert one.start.low <= one.end.low <= one.end.high


PLAN = plan()
