"""Compliance tests in the plan: where they are demanded, asked for and left out."""

from __future__ import annotations

import pytest

from mlperf_ops.files import Json
from mlperf_ops.model import LoadgenRequest
from mlperf_ops.plan_model import Plan
from mlperf_ops.typed import dump
from tests.unit.test_plan import LITE0, OWN_FILES, RESNET, cell, host, keys, plan, reasons, refused, spec


def closed(*benchmarks: dict[str, Json], **more: Json) -> Plan:
    return plan(a=host(*benchmarks, division="closed", run_style="valid", components=OWN_FILES, **more))


def modes(made: Plan, scenario: str = "Offline") -> list[str]:
    return [key.split("/")[3] for key in keys(made) if key.split("/")[2] == scenario]


def test_closed_runs_the_benchmarks_tests_after_the_runs_that_they_are_compared_with() -> None:
    made = closed(RESNET)
    for scenario in ("SingleStream", "MultiStream", "Offline"):
        assert modes(made, scenario) == ["accuracy", "performance", "TEST01", "TEST04"]
    assert made.limits == ()


def test_open_runs_none_unless_asked_for() -> None:
    assert modes(plan(a=host())) == ["accuracy", "performance"]
    assert modes(plan(a=host({**LITE0, "compliance": True}))) == ["accuracy", "performance", "TEST01", "TEST04"]
    assert modes(plan(a=host({**LITE0, "compliance": ["TEST04"]}))) == ["accuracy", "performance", "TEST04"]
    assert modes(plan(a=host({**LITE0, "modes": ["compliance"]}))) == ["TEST01", "TEST04"]
    assert modes(plan(a=host({**LITE0, "modes": ["accuracy"]}))) == ["accuracy"]


def test_what_the_inventory_leaves_out_is_expected_of_the_check() -> None:
    entries: list[dict[str, Json]] = [
        {"compliance": False},
        {"compliance": []},
        {"modes": ["accuracy", "performance"]},
    ]
    for entry in entries:
        made = closed({**RESNET, **entry})
        assert modes(made) == ["accuracy", "performance"]
        (limit,) = made.limits
        assert (limit.rule, limit.because) == ("missing-compliance", "the inventory leaves TEST01, TEST04 out")
    (limit,) = closed({**RESNET, "compliance": ["TEST01"]}).limits
    assert limit.because == "the inventory leaves TEST04 out"


def test_tests_may_run_on_other_hosts_of_the_system() -> None:
    first = host({**RESNET, "compliance": False}, division="closed", components=OWN_FILES, system="one")
    second = host({**RESNET, "modes": ["compliance"]}, division="closed", components=OWN_FILES, system="one")
    made = plan(a=first, b=second)
    assert {one.host for one in made.cells if one.cell.mode.startswith("TEST")} == {"b"}
    assert "missing-compliance" not in {limit.rule for limit in made.limits}


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("TEST1", "unknown compliance test 'TEST1'; expected one of TEST01, TEST04"),
        ("TEST05", "TEST05 (proof that other seeds make no difference) is no test of round v6.1: v4.1 is the last"),
        ("TEST04-A", "TEST04 has taken its place"),
    ],
)
def test_an_unknown_test_is_a_mistake_with_its_place(named: str, says: str) -> None:
    message = refused(a=host({**LITE0, "compliance": ["TEST01", named]}))
    assert "mlperf_benchmarks[0].compliance[1]" in message
    assert says in message


def test_a_test_of_other_benchmarks_is_an_impossible_cell() -> None:
    made = plan(a=host({**LITE0, "compliance": ["TEST01", "TEST06"]}))
    assert modes(made) == ["accuracy", "performance", "TEST01"]
    assert reasons(made) == {"round v6.1 asks resnet for TEST01, TEST04, not for TEST06"}


def test_a_tests_request_is_the_performance_runs_with_an_audit_config() -> None:
    made = closed(RESNET)
    performance, test = spec(made, "Offline/performance"), spec(made, "Offline/TEST01")
    assert test.loadgen.user_conf == performance.loadgen.user_conf
    assert test.loadgen.mode == "PerformanceOnly"
    assert test.loadgen.audit_conf == (
        "*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n*.*.accuracy_log_sampling_target = 4096\n"
    )
    assert test.loadgen.expect["effective_accuracy_log_sampling_target"] == 4096
    assert performance.loadgen.expect["effective_accuracy_log_sampling_target"] == 0
    assert cell(made, "SingleStream/TEST04").expected == cell(made, "SingleStream/performance").expected


def test_ordinary_requests_are_as_they_were_before_there_were_tests() -> None:
    assert "audit_conf" not in dump(LoadgenRequest("m", "Offline", "PerformanceOnly", "", {}))
    request = cell(plan(a=host()), "Offline/performance").request
    assert request is not None
    assert "audit_conf" not in str(request)
    with_tests = cell(plan(a=host({**LITE0, "compliance": True})), "Offline/performance")
    assert with_tests.request == request


def test_a_longer_second_try_is_of_the_tests_alone() -> None:
    once, again = closed(RESNET), closed({**RESNET, "compliance_min_duration_ms": 990_000})
    for end in ("SingleStream/accuracy", "SingleStream/performance"):
        assert cell(once, end).request == cell(again, end).request
    conf = spec(again, "SingleStream/TEST04").loadgen.user_conf
    assert "min_duration = 990000" in conf
    assert "max_duration" not in conf
