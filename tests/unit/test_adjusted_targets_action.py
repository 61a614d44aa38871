"""What the play makes of an INVALID cell whose target may be adjusted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.plugins import plugin

next_target = plugin("plugin_utils.adjusted").next_target
_PLANNED = {"adjustable": {"key": "target_qps", "basis": "given 400", "target": 400.0}}
_INVALID = {"verdict": "invalid", "tainted": [], "target": {"key": "target_qps", "value": 200.0, "why": ""}}


def test_the_suggestion_of_the_host_is_taken() -> None:
    assert next_target(_PLANNED, _INVALID) == 200.0


@pytest.mark.parametrize(
    ("planned", "answer"),
    [
        ({}, _INVALID),
        (_PLANNED, {**_INVALID, "verdict": "valid"}),
        (_PLANNED, {**_INVALID, "verdict": "failed", "target": None}),
        (_PLANNED, {**_INVALID, "target": None}),
    ],
)
def test_nothing_is_said_where_nothing_may_be_adjusted(planned: dict[str, Any], answer: dict[str, Any]) -> None:
    assert next_target(planned, answer) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({**_INVALID, "tainted": ["it throttled"]}, "drifted"),
        ({**_INVALID, "target": {"key": None, "value": None, "why": "no lower rate helps"}}, "no lower rate helps"),
        ({**_INVALID, "target": {"key": "target_qps", "value": 400.0, "why": ""}}, "no better target"),
    ],
)
def test_a_cell_that_stays_as_it_is_says_why(answer: dict[str, Any], why: str) -> None:
    assert why in str(next_target(_PLANNED, answer))
