"""What `mlperf-ops plan` says of a plan as a whole."""

from __future__ import annotations

import pytest

from mlperf_ops.files import Json
from mlperf_ops.plan import make_plan
from tests.unit.test_plan import CATALOGUE, LITE0, OWN_FILES, RESNET, host


def remarks(**hosts: dict[str, Json]) -> tuple[str, ...]:
    return make_plan(hosts, CATALOGUE, "inventory/lab", lambda _host, _path, _value: "")[1]


def test_a_plan_with_all_that_closed_needs_has_no_remarks() -> None:
    assert remarks(a=host(RESNET, division="closed", run_style="valid", components=OWN_FILES)) == ()
    assert remarks(a=host()) == ()


def test_simulated_cells_are_counted() -> None:
    (said,) = remarks(a=host({**LITE0, "implementation": "dummy"}), b=host(system="b"))
    assert said.startswith("8 of 16 cells are simulated: implementation 'dummy' answers without a model")
    assert said.endswith("are never packed")


def test_tests_that_closed_lacks_are_named_by_scenario() -> None:
    closed: dict[str, Json] = {"division": "closed", "components": OWN_FILES}
    (said,) = remarks(a=host({**RESNET, "compliance": ["TEST01"]}, **closed))
    assert said.startswith("TEST04 of resnet50 (SingleStream, MultiStream, Offline) is not in the plan")
    assert "compliance: true" in said
    (said,) = remarks(a=host({**RESNET, "compliance": False}, **closed))
    assert said.startswith("TEST01, TEST04 of resnet50 (SingleStream, MultiStream, Offline) are not in the plan")
    first: dict[str, Json] = {**RESNET, "scenarios": ["Offline"]}
    two = (
        host(first, system="one", **closed),
        host({**RESNET, "scenarios": ["SingleStream"], "compliance": []}, system="one", **closed),
    )
    (said,) = remarks(a=two[0], b=two[1])
    assert said.startswith("TEST01, TEST04 of resnet50 (SingleStream) are not in the plan")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"scenarios": []}, "its list of scenarios is empty"),
        ({"modes": []}, "its list of modes is empty"),
        ({"modes": ["compliance"], "compliance": False}, "only, and 'compliance' turns them off"),
    ],
)
def test_an_item_without_cells_says_why(entry: dict[str, Json], why: str) -> None:
    (said,) = remarks(a=host({**LITE0, **entry}))
    assert said.startswith("host a: mlperf_benchmarks[0].benchmark: efficientnet-lite0 has no cells: ")
    assert said.endswith(why)


def test_a_host_without_benchmarks_says_so_beside_one_that_has() -> None:
    (said,) = remarks(a=host(), b={**host(system="b"), "mlperf_benchmarks": []})
    assert said == "host b: mlperf_benchmarks: the list is empty, so that host b has no cells"
