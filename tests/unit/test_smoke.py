"""Smoke runs: a plan of their own that no real one equals, and a verdict of every cell."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mlperf_ops.campaign.model import Status
from mlperf_ops.campaign.read import find_run, flags_of, run_id
from mlperf_ops.campaign.show import show
from mlperf_ops.campaign.summary import status_of
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker.model import CheckedResult, CheckReport, Finding
from mlperf_ops.collected import Earlier, read_collection
from mlperf_ops.commands.smoke import _text
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, write_json
from mlperf_ops.harness.verdicts import judge as judge_cell
from mlperf_ops.matrix import MatrixCell, MatrixRow
from mlperf_ops.model import Failure, LoadgenOutcome, Result, Spec
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import CollectedCell, Plan
from mlperf_ops.smoke import Seen, SmokeVerdict, judge
from mlperf_ops.smoke_files import LACKING, without_inputs
from mlperf_ops.typed import dump, load
from tests.support.earlier import leave_attempt, leave_host

CATALOGUE = load_catalogue()
_NAME = "efficientnet-lite0"
_KEYS = (f"a/{_NAME}/Offline/accuracy", f"a/{_NAME}/Offline/performance")


def plan(**changes: Json) -> Plan:
    given: dict[str, Json] = {
        "round": "v6.1",
        "division": "open",
        "submitter": "Example",
        "home": "/srv/mlperf",
        "system_type": "edge",
        "run_style": "valid",
        "benchmarks": [{"benchmark": _NAME, "scenarios": ["Offline"]}],
        "smoke": True,
    }
    variables = {f"mlperf_{name}": value for name, value in {**given, **changes}.items()}
    return make_plan({"a": variables}, CATALOGUE, "inventory/lab", lambda *_: "")[0]


def spec(made: Plan, number: int = 0) -> Spec:
    return load(Spec, made.cells[number].request or {}, "request")


def test_a_smoke_run_is_short_and_has_a_folder_and_specs_of_its_own() -> None:
    made = plan(adjust_targets=True)
    assert (made.run_id, made.run_style, made.smoke) == ("lab-smoke", "test", True)
    assert all(spec(made, number).smoke for number in range(2))
    assert {spec(made, number).dataset.total_count for number in range(2)} == {8}
    assert "Offline.min_query_count = 8\n" in spec(made, 1).loadgen.user_conf
    assert all(one.adjustable is None for one in made.cells)
    real = plan(smoke=False, run_style="test", test_query_count=8)
    assert real.run_id == "lab"
    assert "smoke" not in (real.cells[0].request or {})
    for one, other in zip(made.cells, real.cells, strict=True):
        assert one.request_sha256 != other.request_sha256


def test_a_benchmark_s_own_style_and_a_smaller_data_set_are_no_way_out() -> None:
    entry: dict[str, Json] = {"benchmark": _NAME, "scenarios": ["Offline"], "run_style": "valid", "sample_count": 3}
    made = plan(benchmarks=[entry], run_id="mine")
    assert made.run_id == "mine-smoke"
    assert (spec(made).run_style, spec(made).dataset.total_count) == ("test", 3)


@pytest.mark.parametrize(("text", "found"), [("true", "lab-smoke"), ("false", "lab"), ("yes", "lab-smoke")])
def test_the_commands_find_the_folder_of_an_inventory_that_says_smoke(tmp_path: Path, text: str, found: str) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "hosts.yml").write_text(f"all:\n  vars:\n    mlperf_smoke: {text}\n")
    assert run_id(folder) == found


def attempt(made: Plan, number: int, **changes: Any) -> Earlier:  # noqa: ANN401  # fields of several types
    one = made.cells[number]
    result = Result(
        cell=one.cell,
        spec_sha256="s",
        request_sha256=one.request_sha256 or "",
        verdict="valid",
        reasons=(),
        simulated=False,
        started_at="2026-11-28T15:00:00+00:00",
        elapsed_seconds=1.0,
        loadgen=None,
        accuracy=None,
        failure=None,
        effective={},
    )
    result = replace(result, **changes)
    key, sha256 = one.cell.key, one.request_sha256 or ""
    cell = CollectedCell(key, "s", sha256, "attempt_1", "x/attempt_1", result.verdict, simulated=False)
    return Earlier("a", cell, Path(), spec(made, number), result)


def matrix(*cells: MatrixCell) -> tuple[MatrixRow, ...]:
    return (MatrixRow("open", "a", _NAME, "Offline", "planned", (), None, cells),)


def finding(rule: str, affects: str, because: str | None) -> Finding:
    return Finding(rule, "official", affects, affects, f"{rule} is broken", None, None, "", "mend it", because)


def checks(*findings: Finding) -> CheckReport:
    place = f"open/Example/results/a/{_NAME}/Offline"
    result = CheckedResult(
        location=place, division="open", submitter="Example", system="a", benchmark=_NAME, model="resnet",
        scenario="Offline", measured_scenario="Offline", metric=1.0, unit="Samples/s", accuracy={}, validity="VALID",
        inferred=False, verdict="expected", has_power=False, power=None, power_unit=None,
    )  # fmt: skip
    return CheckReport("tree", "v6.1", "demonstration", findings, (result,))


def verdict(made: Plan, **changes: Any) -> SmokeVerdict:  # noqa: ANN401  # fields of several types
    good = [attempt(made, 0), attempt(made, 1)]
    stands = matrix(*(MatrixCell(mode, "valid", ("a",), "") for mode in ("accuracy", "performance")))
    seen = Seen(earlier=good, lacking={}, dropped={}, matrix=stands, checks=checks())
    return judge(made, replace(seen, **changes))


def test_cells_that_ran_up_to_the_check_would_run_and_what_is_not_judged_is_named() -> None:
    place = f"open/Example/results/a/{_NAME}/Offline"
    found = verdict(plan(), checks=checks(finding("min-duration", place, "a smoke run is short")))
    assert found.ready
    assert [(one.key, one.state, one.not_judged) for one in found.cells] == [
        (key, "runs", ("min-duration",)) for key in _KEYS
    ]


def test_an_invalid_run_of_seconds_is_no_failure() -> None:
    made = plan()
    assert verdict(made, earlier=[attempt(made, 0), attempt(made, 1, verdict="invalid", reasons=("short",))]).ready


def test_what_was_left_out_is_no_failure_unless_its_host_dropped_out() -> None:
    made = plan()
    held = [attempt(made, 0)]
    found = verdict(made, earlier=held, left_out={"a": {_KEYS[1]}})
    assert found.ready
    assert [(one.state, one.reason) for one in found.cells] == [("runs", ""), ("left out", "--only left it out")]
    assert "SMOKE: 1 cell would run, 0 would fail, 1 left out, of which nothing is known\n" in _text(found)
    dropped = verdict(made, earlier=held, left_out={"a": {_KEYS[1]}}, dropped={"a": "it dropped out"})
    assert (dropped.cells[1].state, dropped.cells[1].reason) == ("would fail", "it dropped out")


def test_a_reason_is_told_once() -> None:
    lacks = {"a": {_NAME: "the model is not at /x (put it there)"}}
    told = _text(verdict(plan(), earlier=[], lacking=lacks, checks=None))
    assert told.count("the model is not at /x") == 1
    assert told.splitlines()[1] == f"would fail  a  {_KEYS[1]} (at: load): the same"


def test_a_cell_of_a_smoke_run_needs_no_valid_result() -> None:
    made = spec(plan(), 1)
    outcome = LoadgenOutcome("INVALID", {"early_stopping_met": False, "result_query_count": 8}, (), 0)
    assert judge_cell(made, outcome, None) == ("valid", ())
    state, reasons = judge_cell(replace(made, smoke=False), outcome, None)
    assert state == "invalid"
    assert reasons


def _status(run: Path, made: Plan, **more: Any) -> tuple[Status, str]:  # noqa: ANN401  # options of several types
    status = status_of(made, str(run), read_collection(run), inventory="lab", **more)
    screen = io.StringIO()
    show(status, Console(file=screen, width=200), now=dt.datetime.now().astimezone())
    return status, screen.getvalue()


def test_status_of_a_smoke_run_says_that_it_is_one_and_offers_its_rest_before_the_real_run(tmp_path: Path) -> None:
    made = plan()
    held = leave_attempt(tmp_path, made.cells[0])
    leave_host(tmp_path, "a", held)
    write_json(tmp_path / "hosts" / "a" / LACKING, {"components": {_NAME: "the model is not at /x"}})
    status, said = _status(tmp_path, made, waiting=without_inputs(tmp_path, made))
    assert "a smoke run, of which nothing counts, round v6.1: 1 of 2 cells ran" in said
    assert "1 ran, 1 blocked" in said
    assert f"{_KEYS[1]}: the model is not at /x" in said
    assert "valid" not in said
    assert [one.command for one in status.next] == [f"mlperf-ops smoke {tmp_path}", "mlperf-ops run -i lab --smoke"]
    leave_host(tmp_path, "a", held, leave_attempt(tmp_path, made.cells[1]))
    status, said = _status(tmp_path, made)
    assert [one.command for one in status.next] == [f"mlperf-ops smoke {tmp_path}", "mlperf-ops run -i lab"]
    assert "the real run" in said
    assert without_inputs(tmp_path, plan(smoke=False)) == {}


def test_commands_for_a_run_that_was_found_name_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab").mkdir()
    Path("lab/hosts.yml").write_text("all: {}\n")
    smoke = Path("results/lab-smoke")
    assert flags_of(smoke, "lab", None) == ("--results", "results/lab-smoke")
    assert flags_of(Path("results/lab"), "lab", None) == ()
    assert flags_of(smoke, "lab", Path("x")) == ("--results", "x")
    write_json(smoke / "plan.json", dump(plan()))
    with pytest.raises(ConfigError) as refused:
        find_run("lab", None)
    assert "its smoke run is shown by --results results/lab-smoke" in str(refused.value)


def test_each_step_that_fails_says_what_is_missing() -> None:
    made = plan()
    lacks = verdict(made, earlier=[], lacking={"a": {_NAME: "the model is not at /x (put it there)"}}, checks=None)
    assert {(one.state, one.step, one.reason) for one in lacks.cells} == {
        ("would fail", "load", "the model is not at /x (put it there)")
    }
    dropped = verdict(made, earlier=[], dropped={"a": "it dropped out at 'Tune': no"})
    assert dropped.cells[0].reason == "it dropped out at 'Tune': no"
    failure = Failure("crash", "it died", "look at it", ())
    ran = verdict(made, earlier=[attempt(made, 0), attempt(made, 1, verdict="failed", failure=failure)])
    assert [(one.state, one.step, one.reason) for one in ran.cells] == [
        ("runs", "", ""),
        ("would fail", "run", "it died (look at it)"),
    ]
    refused = verdict(made, matrix=matrix(MatrixCell("accuracy", "refused", ("a",), "no labels")))
    assert (refused.cells[0].step, refused.cells[0].reason) == ("aggregate", "refused: no labels")
    place = f"open/Example/results/a/{_NAME}/Offline"
    objected = verdict(made, checks=checks(finding("missing-file", place, None)))
    assert objected.cells[1].reason == "missing-file: missing-file is broken (mend it)"
    wide = verdict(made, checks=checks(finding("system-field-missing", "open/Example/systems", None)))
    assert [one.state for one in wide.cells] == ["runs", "runs"]
    assert not wide.ready
    assert not verdict(made, checks=None, problem="there is no checked tree").ready
