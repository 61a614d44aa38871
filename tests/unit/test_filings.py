"""One run under several names: only where the inventory asks for it and the round allows it, and marked everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.catalogue import load_catalogue, read_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, read_json
from mlperf_ops.filings import lower_targets
from mlperf_ops.merits import token_latency_problem
from mlperf_ops.model import Cell, Division, Result
from mlperf_ops.plan_model import Filing
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.rows import result_rows
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, make_spec, seal
from tests.support.submission_trees import edit_log
from tests.unit.test_plan import OWN_FILES, RESNET, host, keys, plan, refused

CATALOGUE = load_catalogue()
BUILT_IN = Path(__file__).parents[2] / "mlperf_ops/catalogue"
SINGLE: dict[str, Json] = {"benchmark": "efficientnet-lite0", "scenarios": ["SingleStream"]}


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    return Lab(tmp_path / "results" / "demo", real_logs)


def packed(run: Path) -> AggregateReport:
    return aggregate(run, CATALOGUE.round("v6.1"), CATALOGUE)


# --- the plan --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("round_", "pairs"),
    [
        ("v5.1", {"bert-99.9": "bert-99", "dlrm-v2-99.9": "dlrm-v2-99", "llama2-70b-99.9": "llama2-70b-99"}),
        ("v6.1", {"bert-99.9": "bert-99", "3d-unet-99.9": "3d-unet-99", "yolo-99": "yolo-95"}),
    ],
)
def test_what_differs_in_the_accuracy_target_only_may_stand_for_the_lower_one(
    round_: str, pairs: dict[str, str]
) -> None:
    rules = CATALOGUE.round(round_)
    for strict, loose in pairs.items():
        assert lower_targets(rules, strict) == (loose,)
        assert lower_targets(rules, loose) == ()
    assert lower_targets(rules, "resnet") == ()


def test_a_cell_of_the_plan_says_where_else_its_run_goes() -> None:
    made = plan(a=host(SINGLE | {"scenarios_from": {"MultiStream": "SingleStream", "Offline": "SingleStream"}}))
    assert keys(made) == [f"a/efficientnet-lite0/SingleStream/{mode}" for mode in ("accuracy", "performance")]
    assert made.cells[0].also == (
        Filing("efficientnet-lite0", "resnet", "MultiStream"),
        Filing("efficientnet-lite0", "resnet", "Offline"),
    )
    assert plan(a=host(SINGLE)).cells[0].also == ()


@pytest.mark.parametrize(
    ("scenarios_from", "sentence"),
    [
        ({"SingleStream": "SingleStream"}, "SingleStream of efficientnet-lite0 is run itself"),
        ({"Offline": "MultiStream"}, "Offline is to come from MultiStream, which is not run"),
        ({"Server": "SingleStream"}, "round v6.1 does not let Server follow from SingleStream"),
        ({"Interactive": "SingleStream"}, "round v6.1 knows no Interactive scenario for resnet"),
        ({"Offlin": "SingleStream"}, "unknown value 'Offlin'"),
    ],
)
def test_a_scenario_that_cannot_follow_is_refused_with_what_the_round_allows(
    scenarios_from: dict[str, Json], sentence: str
) -> None:
    message = refused(a=host(SINGLE | {"scenarios_from": scenarios_from}))
    assert sentence in message
    assert "mlperf_benchmarks[0].scenarios_from" in message


def test_only_results_of_edge_systems_may_be_inferred(tmp_path: Path) -> None:
    entry: dict[str, Json] = {"scenarios": ["SingleStream"], "scenarios_from": {"Offline": "SingleStream"}}
    (tmp_path / "benchmarks").mkdir()
    like = yaml.safe_load((BUILT_IN / "benchmarks/resnet50.yaml").read_text())
    own = like | {"name": "mine", "aliases": [], "official": False, "maps_to": "llama2-70b-99.9", "directory": "mine"}
    (tmp_path / "benchmarks/mine.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(ConfigError, match="only results of edge systems may be inferred, and this one is datacenter"):
        plan(
            read_catalogue((tmp_path,)),
            a=host(entry | {"benchmark": "mine"}, system_type="datacenter", components=OWN_FILES),
        )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bert-99", "a run of resnet cannot stand for bert-99: their rules differ in more than the accuracy target"),
        ("bert-9", "unknown benchmark of round v6.1 'bert-9'"),
    ],
)
def test_a_benchmark_that_a_run_cannot_stand_for_is_refused(name: str, sentence: str) -> None:
    message = refused(a=host(RESNET | {"also_as": [name]}, division="closed", components=OWN_FILES))
    assert sentence in message
    assert "mlperf_benchmarks[0].also_as[0]" in message


def test_an_own_model_stands_for_no_official_one() -> None:
    assert "is not the official model of resnet" in refused(a=host(SINGLE | {"also_as": ["bert-99"]}))


def test_the_stricter_variant_stands_for_the_looser_one_where_that_one_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    like = yaml.safe_load((BUILT_IN / "benchmarks/resnet50.yaml").read_text())
    strict = like | {"name": "own-yolo", "aliases": [], "maps_to": "yolo-99", "directory": "yolo-99"}
    (tmp_path / "benchmarks/own-yolo.yaml").write_text(yaml.safe_dump(strict))
    made = plan(
        read_catalogue((tmp_path,)),
        a=host({"benchmark": "own-yolo", "also_as": ["yolo-95"]}, division="closed", components=OWN_FILES),
    )
    also = {cell.cell.scenario: cell.also for cell in made.cells}
    assert also == {name: (Filing("yolo-95", "yolo-95", name),) for name in also}
    assert set(also) >= {"SingleStream", "Offline"}


def test_two_divisions_in_one_plan_by_benchmark_and_by_host() -> None:
    made = plan(
        a=host(RESNET | {"division": "closed"}, SINGLE, components=OWN_FILES),
        b=host(RESNET, division="closed", components=OWN_FILES),
    )
    assert made.division == "open"
    assert made.divisions == ("closed", "open")
    found = {(cell.host, cell.cell.benchmark): made.division_of(cell) for cell in made.cells}
    assert found == {
        ("a", "resnet50"): "closed",
        ("a", "efficientnet-lite0"): "open",
        ("b", "resnet50"): "closed",
    }
    assert all((cell.request or {"division": made.division_of(cell)})["division"] == made.division_of(cell)
               for cell in made.cells)  # fmt: skip


def test_hosts_of_a_system_share_cells_only_where_the_best_result_counts() -> None:
    message = refused(a=host(SINGLE, system="twins"), b=host(SINGLE, system="twins"))
    assert "is planned on host a and on host b" in message
    assert "mlperf_on_conflict: best" in message
    made = plan(a=host(SINGLE, system="twins", on_conflict="best"), b=host(SINGLE, system="twins", on_conflict="best"))
    assert made.on_conflict == "best"
    assert [cell.host for cell in made.cells] == ["a", "a", "b", "b"]
    again = refused(
        a=host(SINGLE, system="twins", on_conflict="best"),
        b=host(SINGLE, SINGLE, system="twins", on_conflict="best"),
    )
    assert "is planned twice" in again


# --- the tree --------------------------------------------------------------------------------------------------------


def also(lab: Lab, *filings: Filing) -> None:
    lab.planned = [replace(cell, also=filings) for cell in lab.planned]


def test_an_inferred_result_has_the_logs_of_what_ran_and_is_marked(lab: Lab) -> None:
    lab.scenario("SingleStream")
    also(lab, Filing("efficientnet-lite0", "resnet", "MultiStream"), Filing("efficientnet-lite0", "resnet", "Offline"))
    report = packed(lab.write())
    assert {one.key.rpartition("/")[2]: one.stands_for for one in report.written} == {
        "SingleStream": None,
        "MultiStream": "node1/efficientnet-lite0/SingleStream",
        "Offline": "node1/efficientnet-lite0/SingleStream",
    }
    ran, multi, offline = report.written
    for name in ("performance/run_1/mlperf_log_detail.txt", "accuracy/mlperf_log_accuracy.json", "user.conf"):
        bytes_of = {(report.tree / one.path / name).read_bytes() for one in (ran, multi, offline)}
        assert len(bytes_of) == 1
    assert multi.rule == "inferred from the SingleStream run: 8 * early_stopping_latency_ms / 1e6  (ms)"
    page = (report.tree / multi.path / "README.md").read_text()
    assert page.startswith("# efficientnet-lite0 MultiStream on node1")
    assert "stands on the runs of node1/efficientnet-lite0/SingleStream: inferred from the SingleStream run" in page
    assert "Samples/s (`result_qps_without_loadgen_overhead`)" in (report.tree / offline.path / "README.md").read_text()
    summary: Any = read_json(lab.run / "report/aggregate.json")
    assert [one["stands_for"] for one in summary["written"]][1:] == ["node1/efficientnet-lite0/SingleStream"] * 2
    (row,) = result_rows(read_run(lab.run, CATALOGUE))
    assert "also stands for efficientnet-lite0/MultiStream" in row.notes
    rows = {row.scenario: row for row in report.matrix}
    assert rows["Offline"].stands_on == "node1/efficientnet-lite0/SingleStream"


def test_a_result_that_cannot_be_inferred_is_refused_and_the_measured_one_stays(lab: Lab) -> None:
    lab.scenario("SingleStream")
    also(lab, Filing("efficientnet-lite0", "resnet", "MultiStream"))
    folder = next((lab.run / "hosts/node1/efficientnet-lite0/SingleStream/performance").glob("*/attempt_1"))
    edit_log(folder / "mlperf_log_detail.txt", {"early_stopping_latency_ms": 0})
    seal(folder, load(Result, read_json(folder / "result.json"), "result.json"))
    report = packed(lab.write())
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/SingleStream"]
    assert report.refused[0].key == "node1/efficientnet-lite0/MultiStream/performance"
    assert "gives no MultiStream result (8 * early_stopping_latency_ms" in report.refused[0].reason


def test_a_lower_target_is_filed_under_its_own_name(lab: Lab) -> None:
    lab.division = "closed"
    lab.scenario("Offline", benchmark="resnet50")
    also(lab, Filing("bert-99", "bert-99", "Offline"))
    report = packed(lab.write())
    assert [one.path.split("/")[-2] for one in report.written] == ["resnet50", "bert-99"]
    assert report.written[1].rule == "a run that meets the target of resnet meets this one"


@pytest.mark.parametrize(("division", "other"), [("open", False), ("open", True), ("closed", False)])
def test_a_run_that_misses_its_own_target_stands_for_nothing_that_has_one(
    lab: Lab, division: Division, *, other: bool
) -> None:
    lab.division = division
    benchmark = "efficientnet-lite0" if division == "open" else "resnet50"
    lab.cell("SingleStream", "performance", benchmark=benchmark)
    spec = make_spec(Cell("node1", benchmark, "SingleStream", "accuracy"), division=division, target=99.0)
    lab.cell("SingleStream", "accuracy", benchmark=benchmark, spec=spec)
    also(lab, Filing("bert-99", "bert-99", "SingleStream") if other else Filing(benchmark, "resnet", "Offline"))
    report = packed(lab.write())
    if division == "open" and not other:  # the open division asks for no accuracy
        assert [one.key.rpartition("/")[2] for one in report.written] == ["SingleStream", "Offline"]
        return
    assert [one.key for one in report.written] == [f"node1/{benchmark}/SingleStream"]
    assert "misses its accuracy target, so it stands for nothing else" in report.refused[0].reason


def test_a_place_that_two_runs_want_goes_to_none_of_them(lab: Lab) -> None:
    lab.scenario("SingleStream")
    also(lab, Filing("efficientnet-lite0", "resnet", "Offline"))
    lab.scenario("Offline")
    report = packed(lab.write())
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/SingleStream"]
    assert {cell.key.rpartition("/")[0] for cell in report.refused} == {"node1/efficientnet-lite0/Offline"}
    assert "belongs into open/TEST-ONLY/results/node1/efficientnet-lite0/Offline as well" in report.refused[0].reason


def test_a_server_run_stands_for_interactive_only_below_its_token_latencies() -> None:
    round_ = CATALOGUE.round("v6.1")
    spec = make_spec(Cell("a", "x", "Server", "performance"), official_benchmark="llama2-70b-99.9")
    log: dict[str, Json] = {
        "result_first_token_99.00_percentile_latency_ns": 400_000_000,
        "result_time_per_output_token_99.00_percentile_ns": 30_000_000,
    }
    assert token_latency_problem(log, spec, round_, "Interactive") is None
    slow = log | {"result_time_per_output_token_99.00_percentile_ns": 150_000_000}
    assert "is 150 ms; Interactive must be below 40 ms" in (
        token_latency_problem(slow, spec, round_, "Interactive") or ""
    )
    assert token_latency_problem(slow, spec, round_, "Server") is None
    assert "is missing" in (token_latency_problem({}, spec, round_, "Interactive") or "")


def test_closed_and_open_results_of_one_system_are_one_tree(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.division = "closed"
    lab.scenario("Offline", benchmark="resnet50")
    lab.planned = [
        replace(cell, division="open" if cell.cell.benchmark == "efficientnet-lite0" else None) for cell in lab.planned
    ]
    report = packed(lab.write())
    tree = report.tree
    assert sorted(path.name for path in tree.iterdir()) == ["closed", "open"]
    for division in ("closed", "open"):
        assert read_json(tree / division / "TEST-ONLY/systems/node1.json")["division"] == division
        assert (tree / division / "TEST-ONLY/src").is_dir()
    assert read_json(tree / "open/TEST-ONLY/model_mapping.json") == {"efficientnet-lite0": "resnet"}
    assert (tree / "closed/TEST-ONLY/documentation/calibration.md").is_file()
    assert not (tree / "closed/TEST-ONLY/model_mapping.json").exists()
    origins: Any = read_json(lab.run / "report/system_origins.json")
    assert set(origins["systems"]) == {"closed/node1", "open/node1"}
    assert "open division" in (tree / "open/TEST-ONLY/results/node1/efficientnet-lite0/Offline/README.md").read_text()
    assert not packed(lab.run).changed
