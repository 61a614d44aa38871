"""Several results for one place: named, never resolved silently, and by a stated rule where the plan allows it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Cell, Result
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.rows import result_rows
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, make_spec, seal
from tests.support.submission_trees import edit_log

KEY = "twins/efficientnet-lite0/Offline"


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    return Lab(tmp_path / "results" / "demo", real_logs)


def packed(run: Path) -> AggregateReport:
    catalogue = load_catalogue()
    return aggregate(run, catalogue.round("v6.1"), catalogue)


def measured(lab: Lab, host: str, **values: Any) -> Path:  # noqa: ANN401  # fields of a result
    """Both cells of Offline on a host of system `twins`; a rate, verdict, start or taint of its own."""
    folder = lab.cell("Offline", "performance", host=host, system="twins")
    lab.cell("Offline", "accuracy", host=host, system="twins")
    change(lab, folder, host, **values)
    return folder


def change(  # a builder of test data, all by name
    lab: Lab,
    folder: Path,
    host: str,
    *,
    rate: float | None = None,
    verdict: str = "valid",
    started_at: str | None = None,
    tainted: tuple[str, ...] = (),
) -> None:
    """EDIT what a performance attempt measured."""
    if rate is not None:
        edit_log(folder / "mlperf_log_detail.txt", {"result_samples_per_second": rate})
    result = load(Result, read_json(folder / "result.json"), "result.json")
    loadgen = result.loadgen
    if rate is not None and loadgen is not None:
        loadgen = replace(loadgen, fields=loadgen.fields | {"result_samples_per_second": rate})
    result = replace(
        result,
        loadgen=loadgen,
        verdict=verdict,  # type: ignore[arg-type]  # one of the words
        reasons=() if verdict == "valid" else ("LoadGen says INVALID",),
        started_at=started_at or result.started_at,
        tainted=tainted,
    )
    seal(folder, result)
    cells = lab.collected[host]
    index = next(index for index, cell in enumerate(cells) if folder.as_posix().endswith(cell.path))
    cells[index] = replace(cells[index], verdict=result.verdict)


def write(lab: Lab, on_conflict: str) -> Path:
    run = lab.write()
    plan: Any = read_json(run / "plan.json")
    write_json(run / "plan.json", plan | {"on_conflict": on_conflict})
    return run


def test_two_results_for_one_place_are_named_with_both_values_and_nothing_is_packed(lab: Lab) -> None:
    measured(lab, "node1", rate=100.0)
    measured(lab, "node2", rate=120.0)
    lab.scenario("Offline", host="node3")
    report = packed(write(lab, "refuse"))
    assert [one.key for one in report.written] == ["node3/efficientnet-lite0/Offline"]
    (conflict,) = report.conflicts
    assert conflict.rule is None
    assert {(one.host, one.value) for one in conflict.contenders} == {
        ("node1", "100 Samples/s"),
        ("node2", "120 Samples/s"),
    }
    assert {cell.key for cell in report.refused} == {f"{KEY}/performance", f"{KEY}/accuracy"}
    assert "2 different results for one place: 100 Samples/s (valid) of host node1" in report.refused[0].reason


def test_best_takes_the_higher_rate_and_says_so_in_the_page_and_the_summary(lab: Lab) -> None:
    measured(lab, "node1", rate=100.0)
    best = measured(lab, "node2", rate=120.0)
    run = write(lab, "best")
    report = packed(run)
    (one,) = report.written
    assert (one.hosts, one.result) == (("node2",), "120 Samples/s")
    folder = report.tree / one.path
    packed_log = folder / "performance/run_1/mlperf_log_detail.txt"
    assert packed_log.read_bytes() == (best / "mlperf_log_detail.txt").read_bytes()
    page = (folder / "README.md").read_text()
    assert "There were several results for this place: of 120 Samples/s (valid) of host node2, attempt_1" in page
    assert "100 Samples/s (valid) of host node1" in page
    summary: Any = read_json(run / "report/aggregate.json")
    assert [one["host"] for one in summary["conflicts"][0]["contenders"]] == ["node2", "node1"]
    assert not packed(run).changed


def test_best_takes_the_lower_latency(lab: Lab) -> None:
    for host, latency_ns in (("node1", 3_000_000), ("node2", 2_000_000)):
        folder = lab.cell("SingleStream", "performance", host=host, system="twins")
        lab.cell("SingleStream", "accuracy", host=host, system="twins")
        edit_log(folder / "mlperf_log_detail.txt", {"early_stopping_latency_ss": latency_ns})
        change(lab, folder, host)
    (one,) = packed(write(lab, "best")).written
    assert (one.hosts, one.result) == (("node2",), "2 Latency (ms)")


@pytest.mark.parametrize(
    "worse", [{"verdict": "invalid"}, {"tainted": ("governor changed from performance to powersave",)}]
)
def test_a_valid_result_beats_a_better_one_that_does_not_count(lab: Lab, worse: dict[str, Any]) -> None:
    measured(lab, "node1", rate=100.0)
    measured(lab, "node2", rate=500.0, **worse)
    (one,) = packed(write(lab, "best")).written
    assert one.hosts == ("node1",)


def test_equal_results_are_decided_by_the_earlier_start(lab: Lab) -> None:
    measured(lab, "node1", rate=100.0, started_at="2026-01-02T05:00:00+00:00")
    later = measured(lab, "node2", rate=100.0)
    edit_log(later / "mlperf_log_detail.txt", {"result_mean_latency_ns": 1})  # another measurement of the same rate
    change(lab, later, "node2", started_at="2026-01-02T04:00:00+00:00")
    (one,) = packed(write(lab, "best")).written
    assert one.hosts == ("node2",)


def test_one_measurement_that_came_in_twice_is_no_conflict(lab: Lab) -> None:
    measured(lab, "node1")
    measured(lab, "node2")
    report = packed(write(lab, "refuse"))
    assert report.conflicts == ()
    assert [one.hosts for one in report.written] == [("node1",)]


def test_best_looks_at_earlier_attempts_of_a_host_and_the_default_does_not(lab: Lab) -> None:
    newest = measured(lab, "node1", rate=100.0)
    earlier = newest.with_name("attempt_0")
    shutil.copytree(newest, earlier)
    edit_log(earlier / "mlperf_log_detail.txt", {"result_samples_per_second": 150.0})
    seal(earlier, load(Result, read_json(earlier / "result.json"), "result.json"))
    (one,) = packed(write(lab, "refuse")).written
    assert one.result == "100 Samples/s"
    report = packed(write(lab, "best"))
    assert report.written[0].result == "150 Samples/s"
    assert [one.attempt for one in report.conflicts[0].contenders] == ["attempt_0", "attempt_1"]


def test_an_earlier_attempt_that_was_changed_does_not_take_part(lab: Lab) -> None:
    newest = measured(lab, "node1", rate=100.0)
    earlier = newest.with_name("attempt_0")
    shutil.copytree(newest, earlier)
    edit_log(earlier / "mlperf_log_detail.txt", {"result_samples_per_second": 150.0})  # and no new manifest
    report = packed(write(lab, "best"))
    assert report.written[0].result == "100 Samples/s"
    assert report.conflicts == ()


def test_the_two_runs_of_a_scenario_are_of_one_host_where_a_host_has_both(lab: Lab) -> None:
    measured(lab, "node1", rate=100.0)
    lab.cell("Offline", "performance", host="node2", system="twins")  # has no accuracy run
    (one,) = packed(write(lab, "best")).written
    assert one.hosts == ("node1",)


def test_a_run_with_the_seeds_of_another_round_is_refused_whatever_its_spec_says(lab: Lab) -> None:
    lab.scenario("Server")
    folder = lab.cell(
        "Offline", "performance", spec=make_spec(Cell("node1", "efficientnet-lite0", "Offline", "performance"))
    )
    lab.cell("Offline", "accuracy")
    seeds = load_catalogue().round("v5.1").seeds
    edit_log(
        folder / "mlperf_log_detail.txt",
        {
            "effective_qsl_rng_seed": seeds.qsl_rng_seed,
            "effective_sample_index_rng_seed": seeds.sample_index_rng_seed,
            "effective_schedule_rng_seed": seeds.schedule_rng_seed,
        },
    )
    seal(folder, load(Result, read_json(folder / "result.json"), "result.json"))
    (refused,) = packed(lab.write()).refused
    assert refused.key == "node1/efficientnet-lite0/Offline/performance"
    assert "its log shows the seeds of round v5.1, and the submission is for v6.1" in refused.reason
    assert "run the cell with the LoadGen of v6.1" in refused.reason


def test_the_report_shows_the_run_that_the_tree_holds(lab: Lab) -> None:
    measured(lab, "node1", rate=120.0)
    measured(lab, "node2", rate=100.0)
    run = write(lab, "best")
    packed(run)
    (row,) = result_rows(read_run(run, load_catalogue()))
    assert row.system == "twins"
    assert row.result == "120.0 Samples/s"
