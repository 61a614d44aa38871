"""From collected results to a tree, with logs of real LoadGen runs."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.documents import fenced
from mlperf_ops.errors import ConfigError, SubmissionError
from mlperf_ops.files import read_json, sha256_file, write_json
from mlperf_ops.model import Cell, Result, Scenario
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, make_spec, seal, snapshot

BASE = "open/TEST-ONLY/results/node1/efficientnet-lite0"


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    return Lab(tmp_path / "results" / "demo", real_logs)


def packed(run: Path, *, dry_run: bool = False) -> AggregateReport:
    catalogue = load_catalogue()
    return aggregate(run, catalogue.round("v6.1"), catalogue, dry_run=dry_run)


def reasons(report: AggregateReport) -> dict[str, str]:
    return {cell.key: cell.reason for cell in (*report.missing, *report.refused)}


def test_a_tree_has_the_layout_of_the_round_and_nothing_else(lab: Lab) -> None:
    lab.scenario("Offline")
    report = packed(lab.write())
    assert report.changed
    assert [(one.key, one.path) for one in report.written] == [("node1/efficientnet-lite0/Offline", f"{BASE}/Offline")]
    assert set(snapshot(report.tree)) == {
        "open/TEST-ONLY/model_mapping.json",
        "open/TEST-ONLY/src/efficientnet-lite0/README.md",
        "open/TEST-ONLY/systems/node1.json",
        f"{BASE}/Offline/README.md",
        f"{BASE}/Offline/user.conf",
        f"{BASE}/Offline/measurements.json",
        f"{BASE}/Offline/performance/run_1/mlperf_log_summary.txt",
        f"{BASE}/Offline/performance/run_1/mlperf_log_detail.txt",
        f"{BASE}/Offline/accuracy/mlperf_log_summary.txt",
        f"{BASE}/Offline/accuracy/mlperf_log_detail.txt",
        f"{BASE}/Offline/accuracy/mlperf_log_accuracy.json",
        f"{BASE}/Offline/accuracy/accuracy.txt",
    }
    assert read_json(report.tree / "open/TEST-ONLY/model_mapping.json") == {"efficientnet-lite0": "resnet"}


def test_each_log_comes_from_its_own_mode(lab: Lab) -> None:
    performance = lab.cell("SingleStream", "performance")
    accuracy = lab.cell("SingleStream", "accuracy")
    tree = packed(lab.write()).tree / BASE / "SingleStream"
    for name in ("mlperf_log_summary.txt", "mlperf_log_detail.txt"):
        assert (tree / "performance/run_1" / name).read_bytes() == (performance / name).read_bytes()
        assert (tree / "accuracy" / name).read_bytes() == (accuracy / name).read_bytes()
    assert (tree / "user.conf").read_bytes() == (performance / "user.conf").read_bytes()


def test_the_truncated_log_states_its_digest_and_the_full_one_is_kept_outside(lab: Lab) -> None:
    lab.cell("Offline", "performance")
    raw = lab.cell("Offline", "accuracy") / "mlperf_log_accuracy.json"
    report = packed(lab.write())
    tree = report.tree / BASE / "Offline" / "accuracy"
    kept = lab.run / "full_logs" / BASE / "Offline" / "accuracy" / "mlperf_log_accuracy.json"
    assert (tree / "accuracy.txt").read_text().splitlines()[-1] == f"hash={sha256_file(raw)}"
    assert (tree / "mlperf_log_accuracy.json").stat().st_size < raw.stat().st_size
    assert kept.read_bytes() == raw.read_bytes()
    assert not (report.tree / "full_logs").exists()


def test_a_second_aggregation_changes_nothing_and_touches_no_file(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    tree = packed(run).tree
    before, inodes = snapshot(run), {path: path.stat().st_ino for path in run.rglob("*")}
    report = packed(run)
    assert not report.changed
    assert snapshot(run) == before
    assert {path: path.stat().st_ino for path in run.rglob("*")} == inodes
    shutil.rmtree(tree)
    assert packed(run).changed
    assert snapshot(run) == before


def test_raw_results_are_only_read(lab: Lab) -> None:
    for scenario in ("SingleStream", "Offline"):
        lab.scenario(scenario)
    run = lab.write()
    before = snapshot(run / "hosts")
    tree = packed(run).tree
    for path in tree.rglob("*"):
        if path.is_file():
            with path.open("ab") as stream:  # as tools do that work on a submission in place
                stream.write(b"x")
    assert snapshot(run / "hosts") == before


def test_a_dry_run_says_the_same_and_writes_nothing(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    before = snapshot(run)
    dry = packed(run, dry_run=True)
    assert dry.changed
    assert snapshot(run) == before
    assert packed(run) == dry
    assert not packed(run, dry_run=True).changed


def test_an_invalid_run_of_a_demonstration_is_in_the_tree_and_its_page_says_invalid(lab: Lab) -> None:
    spec = make_spec(Cell("node1", "efficientnet-lite0", "Server", "performance"))
    folder = lab.cell("Server", "performance", spec=spec, verdict="invalid")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    seal(folder, replace(result, reasons=("LoadGen says INVALID: shorter than its minimum duration",)))
    lab.cell("Server", "accuracy")
    report = packed(lab.write())
    assert len(report.written) == 1
    page = (report.tree / BASE / "Server" / "README.md").read_text()
    assert "- Not valid (performance): LoadGen says INVALID: shorter than its minimum duration" in page


def invalid_of_style_valid(lab: Lab, scenario: Scenario, benchmark: str) -> None:
    spec = make_spec(Cell("node1", benchmark, scenario, "performance"))
    spec = replace(spec, run_style="valid")
    folder = lab.cell(scenario, "performance", benchmark=benchmark, spec=spec, verdict="invalid")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    seal(folder, replace(result, reasons=("LoadGen says INVALID: the latency constraint was missed",)))
    lab.cell(scenario, "accuracy", benchmark=benchmark)


def test_an_invalid_run_of_a_submission_stays_out_where_the_division_can_do_without(lab: Lab) -> None:
    lab.scenario("Offline")
    invalid_of_style_valid(lab, "Server", "efficientnet-lite0")
    report = packed(lab.write())
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/Offline"]
    assert not (report.tree / BASE / "Server").exists()
    why = (
        "LoadGen says INVALID: the latency constraint was missed; the open division does not require Server, and a "
        "tree with an invalid result is rejected, so it stays out of the tree"
    )
    assert reasons(report) == {"node1/efficientnet-lite0/Server/performance": why}
    cells = {(row.scenario, cell.cell): (cell.state, cell.reason) for row in report.matrix for cell in row.cells}
    assert cells["Server", "performance"] == ("invalid", why)
    assert cells["Server", "accuracy"] == ("valid", "")


def test_an_invalid_run_of_a_required_scenario_is_packed(tmp_path: Path, real_logs: RealLogs) -> None:
    lab = Lab(tmp_path / "results" / "demo", real_logs, division="closed")
    invalid_of_style_valid(lab, "Offline", "resnet50")
    report = packed(lab.write())
    assert [(one.key, one.valid) for one in report.written] == [("node1/resnet50/Offline", False)]


@pytest.mark.parametrize("counts", ["MultiStream", "SingleStream"])
def test_of_scenarios_of_which_one_is_enough_an_invalid_one_stays_out_beside_a_valid_one(
    counts: str, tmp_path: Path, real_logs: RealLogs
) -> None:
    catalogue = load_catalogue()
    round_ = catalogue.round("v6.1")
    resnet = round_.models["resnet"]
    edge = resnet.suites["edge"].model_copy(
        update={"required": ("Offline",), "one_of": ("SingleStream", "MultiStream"), "optional": ()}
    )
    changed = resnet.model_copy(update={"suites": {**resnet.suites, "edge": edge}})
    lab = Lab(tmp_path / "results" / "demo", real_logs, division="closed")
    invalid_of_style_valid(lab, "SingleStream", "resnet50")
    if counts == "MultiStream":
        for mode in ("performance", "accuracy"):
            lab.cell("MultiStream", mode, benchmark="resnet50", verdict="valid")
    report = aggregate(
        lab.write(), round_.model_copy(update={"models": {**round_.models, "resnet": changed}}), catalogue
    )
    assert [one.key for one in report.written] == [f"node1/resnet50/{counts}"]


def test_a_scenario_without_both_modes_is_left_out_and_named(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.cell("Server", "performance")
    lab.cell("Server", "accuracy", collected=False)
    lab.cell("MultiStream", "performance")
    report = packed(lab.write())
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/Offline"]
    assert reasons(report) == {
        "node1/efficientnet-lite0/Server/accuracy": "no result was collected from host node1",
        "node1/efficientnet-lite0/MultiStream/accuracy": "the plan has no such cell",
    }
    assert not (report.tree / BASE / "Server").exists()


def test_a_failed_run_is_missing_with_its_reason(lab: Lab) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance", verdict="failed")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    seal(folder, replace(result, reasons=("the model has no output 'logits'",)))
    lab.cell("Server", "accuracy")
    report = packed(lab.write())
    assert reasons(report) == {
        "node1/efficientnet-lite0/Server/performance": "its run failed: the model has no output 'logits'"
    }


def test_a_result_of_an_earlier_plan_is_not_used(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.scenario("Server")
    lab.planned[-1] = replace(lab.planned[-1], request={**(lab.planned[-1].request or {}), "warmup_seconds": 3.0})
    report = packed(lab.write())
    assert reasons(report) == {
        "node1/efficientnet-lite0/Server/accuracy": "the result on hand answers an earlier plan; run the cell again"
    }


@pytest.mark.parametrize("lie", ["nowhere", "in cells.json", "in cells.json and result.json"])
def test_a_simulated_result_never_gets_in_whatever_the_other_files_say(lab: Lab, lie: str) -> None:
    lab.scenario("Offline")
    cell = Cell("node1", "efficientnet-lite0", "Server", "performance")
    folder = lab.cell("Server", "performance", spec=make_spec(cell, simulated=True))
    lab.cell("Server", "accuracy")
    if lie != "nowhere":
        lab.collected["node1"][2] = replace(lab.collected["node1"][2], simulated=False)
    if lie == "in cells.json and result.json":
        result = load(Result, read_json(folder / "result.json"), "result.json")
        seal(folder, replace(result, simulated=False))
    report = packed(lab.write())
    assert [cell.key for cell in report.refused] == ["node1/efficientnet-lite0/Server/performance"]
    assert report.refused[0].reason == "its result is simulated; a stand-in's results are never packed"
    assert not (report.tree / BASE / "Server").exists()


@pytest.mark.parametrize("inside", [".", "performance"])
def test_power_that_a_stand_in_measured_never_gets_in(lab: Lab, inside: str) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    for name in ("power", "run_1"):
        (folder / inside / name).mkdir(parents=True)
    (folder / inside / "power/ptd_logs.txt").write_text("Analyzer 1\nSIMULATION, SIMULATED: not SPEC PTDaemon\n")
    report = packed(lab.write())
    assert [cell.key for cell in report.refused] == ["node1/efficientnet-lite0/Server/performance"]
    assert report.refused[0].reason == (
        "its power was measured by a stand-in for the meter, as power/ptd_logs.txt says: "
        "a stand-in's results are never packed"
    )
    assert not (report.tree / BASE / "Server").exists()


def test_a_collection_that_calls_a_result_simulated_is_believed(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.scenario("Server")
    lab.collected["node1"][2] = replace(lab.collected["node1"][2], simulated=True)
    assert "simulated" in packed(lab.write()).refused[0].reason


def test_an_implementation_that_the_catalogue_calls_a_stand_in_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    cell = Cell("node1", "efficientnet-lite0", "Server", "performance")
    lab.cell("Server", "performance", spec=make_spec(cell, implementation="dummy", simulated=False))
    lab.cell("Server", "accuracy")
    assert "simulated" in packed(lab.write()).refused[0].reason


@pytest.mark.parametrize(
    "name", ["mlperf_log_detail.txt", "mlperf_log_summary.txt", "user.conf", "spec.json", "console.log"]
)
def test_a_raw_file_that_was_changed_keeps_its_scenario_out_and_is_named(lab: Lab, name: str) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    report = packed(lab.write())
    assert len(report.written) == 1
    assert report.refused[0].key == "node1/efficientnet-lite0/Server/performance"
    assert f"{folder / name} was changed after the run" in report.refused[0].reason


def test_a_raw_file_that_is_gone_is_named(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.cell("Server", "performance")
    folder = lab.cell("Server", "accuracy")
    (folder / "mlperf_log_accuracy.json").unlink()
    report = packed(lab.write())
    assert "mlperf_log_accuracy.json is missing, but manifest.json lists it" in report.refused[0].reason


def test_a_score_of_another_log_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    lab.cell("Server", "performance")
    folder = lab.cell("Server", "accuracy")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    (folder / "mlperf_log_accuracy.json").write_text("[]\n")
    seal(folder, result)
    report = packed(lab.write())
    assert "but the score in result.json is of" in report.refused[0].reason


def test_a_link_in_an_attempt_cannot_bring_a_foreign_file_into_the_tree(lab: Lab, tmp_path: Path) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    secret = tmp_path / "secret.txt"
    secret.write_bytes((folder / "user.conf").read_bytes())
    (folder / "user.conf").unlink()
    (folder / "user.conf").symlink_to(secret)
    report = packed(lab.write())
    assert "names 'user.conf', which is not a plain file of the attempt" in report.refused[0].reason


@pytest.mark.parametrize("how", ["relative", "absolute", "through a link"])
def test_a_host_cannot_point_at_an_attempt_that_was_not_collected_from_it(lab: Lab, how: str) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    elsewhere = lab.run / "elsewhere"
    shutil.move(folder, elsewhere)  # a good attempt, but not below hosts/node1
    (lab.run / "hosts/node1/link").symlink_to(elsewhere)
    path = {"relative": "../../elsewhere", "absolute": str(elsewhere), "through a link": "link"}[how]
    lab.collected["node1"][2] = replace(lab.collected["node1"][2], path=path)
    report = packed(lab.write())
    assert [cell.key for cell in report.refused] == ["node1/efficientnet-lite0/Server/performance"]
    assert f"names the folder '{path}' outside of hosts/node1" in report.refused[0].reason


def test_an_attempt_that_never_ended_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    (folder / "result.json").unlink()
    assert "has no result.json, so the attempt never ended" in packed(lab.write()).refused[0].reason


def test_a_result_of_another_spec_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    result = load(Result, read_json(folder / "result.json"), "result.json")
    seal(folder, replace(result, spec_sha256="d" * 64))
    report = packed(lab.write())
    assert f"result.json: spec_sha256 is {'d' * 64}, expected" in report.refused[0].reason


def test_a_spec_that_was_exchanged_together_with_its_digest_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    folder = lab.cell("Server", "performance")
    lab.cell("Server", "accuracy")
    spec: Any = read_json(folder / "spec.json")
    spec["backend"]["max_batch"] = 8
    write_json(folder / "spec.json", spec)
    seal(folder, load(Result, read_json(folder / "result.json"), "result.json"))
    assert "result.json: spec_sha256 is" in packed(lab.write()).refused[0].reason


def test_one_host_without_results_does_not_stop_the_others(lab: Lab) -> None:
    for host in ("node1", "node2", "node3"):
        lab.scenario("Offline", host=host)
    run = lab.write()
    shutil.rmtree(run / "hosts" / "node2")
    (run / "hosts" / "node3" / "facts.json").unlink()
    report = packed(run)
    assert [one.key for one in report.written] == ["node1/efficientnet-lite0/Offline"]
    assert {cell.reason for cell in report.missing} == {"nothing was collected from host node2"}
    assert all("facts.json" in cell.reason and "node3" in cell.reason for cell in report.refused)
    assert not (report.tree / "open/TEST-ONLY/systems/node3.json").exists()


def test_two_equal_hosts_may_share_a_system_and_two_different_ones_may_not(lab: Lab) -> None:
    for mode in ("performance", "accuracy"):
        lab.cell("Offline", mode, host="node1", system="twins")
        lab.cell("Server", mode, host="node2", system="twins")
    run = lab.write()
    assert len(packed(run).written) == 2
    facts: Any = read_json(run / "hosts/node2/facts.json")
    facts["values"]["cpu_sockets"]["value"] = 2
    write_json(run / "hosts/node2/facts.json", facts)
    # each host has its own scenario, but both are needed for one description
    lab.planned = [cell for cell in lab.planned if cell.host == "node1" or cell.cell.mode == "performance"]
    with pytest.raises(SubmissionError, match="hosts node1 and node2 both are system twins, but host_processors_per_n"):
        packed(run)


def test_hosts_that_contradict_each_other_do_not_keep_other_systems_out(lab: Lab) -> None:
    for mode in ("performance", "accuracy"):
        lab.cell("Offline", mode, host="node1", system="twins")
        lab.cell("Server", mode, host="node2", system="twins")
        lab.cell("Offline", mode, host="node3")
    run = lab.write()
    facts: Any = read_json(run / "hosts/node2/facts.json")
    facts["values"]["kernel"]["value"] = "7.0"
    write_json(run / "hosts/node2/facts.json", facts)
    report = packed(run)
    assert [one.key for one in report.written] == ["node3/efficientnet-lite0/Offline"]
    assert len(report.refused) == 4
    assert "hosts node1 and node2 both are system twins, but operating_system is " in report.refused[0].reason


def test_closed_resnet50_has_the_official_names_and_a_calibration_document(lab: Lab) -> None:
    lab.division = "closed"
    lab.scenario("Offline", benchmark="resnet50")
    report = packed(lab.write())
    names = set(snapshot(report.tree))
    assert "closed/TEST-ONLY/results/node1/resnet50/Offline/README.md" in names
    assert "closed/TEST-ONLY/src/resnet50/README.md" in names
    assert not any("model_mapping" in name for name in names)
    calibration = (report.tree / "closed/TEST-ONLY/documentation/calibration.md").read_text()
    assert "No quantization was applied" in calibration
    assert "Weights: fp32" in calibration


def test_measurements_come_from_the_catalogue_and_the_weights_that_ran(lab: Lab) -> None:
    cell = Cell("node1", "efficientnet-lite0", "Offline", "performance")
    for mode in ("performance", "accuracy"):
        lab.cell("Offline", mode, spec=make_spec(replace(cell, mode=mode), model_file="lite0-fp32.onnx"))
    tree = packed(lab.write()).tree
    assert read_json(tree / BASE / "Offline" / "measurements.json") == {
        "input_data_types": "fp32",
        "retraining": "no",
        "starting_weights_filename": "lite0-fp32.onnx",
        "weight_data_types": "fp32",
        "weight_transformations": "batch norm folded into convolutions",
    }


def test_the_page_of_a_result_says_what_ran_and_how_to_run_it_again(lab: Lab) -> None:
    env = {"OMP_NUM_THREADS": "2", "HF_TOKEN": "hunter2"}
    cell = Cell("node1", "efficientnet-lite0", "SingleStream", "performance")
    folder = lab.cell("SingleStream", "performance", spec=make_spec(cell, env=env))
    lab.cell("SingleStream", "accuracy")
    tree = packed(lab.write()).tree
    page = (tree / BASE / "SingleStream" / "README.md").read_text()
    digest = read_json(folder / "result.json")["spec_sha256"]
    assert f"spec sha256 `{digest}`" in page
    assert "OMP_NUM_THREADS=2 python -m mlperf_ops.harness.sut --spec spec.json" in page
    assert "ansible-playbook run-inference.yml -i inventory/lab --limit node1,localhost" in page
    assert "python -m mlperf_ops.harness --spec spec.json --out again" in page
    assert "onnxruntime: 1.20.1" in page
    assert "Latency (ms) (`early_stopping_latency_ss`)" in page
    assert "acc = 90% on 200 samples" in page
    assert "*.SingleStream.target_latency = 1" in page
    assert "host_processor_model_name: Intel(R) Xeon(R) Processor" in page
    assert "MLPerf Results Summary" in page
    assert not [name for name, content in snapshot(tree).items() if b"hunter2" in content]


def test_a_log_cannot_break_out_of_its_code_block() -> None:
    text = fenced("before\n```\n# heading\n````\n\x1b[31mred\n")
    first, *_, last = text.splitlines()
    assert first == "`````text"
    assert last == "`````"
    assert "\x1b" not in text


def test_unknown_fields_and_origins_are_told_beside_the_tree_and_not_in_it(lab: Lab) -> None:
    lab.scenario("Offline")
    report = packed(lab.write())
    assert report.unknown_fields["node1"]["host_memory_configuration"] == "dmidecode is not installed"
    origins: Any = read_json(lab.run / "report" / "system_origins.json")
    assert origins["systems"]["node1"]["fields"]["cooling"]["origin"] == "not determined"
    summary: Any = read_json(lab.run / "report" / "aggregate.json")
    assert [one["key"] for one in summary["written"]] == ["node1/efficientnet-lite0/Offline"]
    description = read_json(report.tree / "open/TEST-ONLY/systems/node1.json")
    assert set(description) == set(load_catalogue().round("v6.1").system_description.required)


def test_a_wrong_field_of_the_user_stops_and_leaves_the_tree(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    before = snapshot(packed(run).tree)
    lab.description = {"coolling": "air"}
    lab.write()
    with pytest.raises(ConfigError, match="did you mean 'cooling'"):
        packed(run)
    assert snapshot(run / "submission") == before


def test_when_nothing_can_be_packed_it_says_why_and_keeps_the_tree_of_before(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    before = snapshot(packed(run).tree)
    shutil.rmtree(run / "hosts")
    with pytest.raises(SubmissionError) as caught:
        packed(run)
    assert "2 cells missing, 0 refused; first node1/efficientnet-lite0/Offline/performance" in caught.value.message
    assert snapshot(run / "submission") == before
    summary: Any = read_json(run / "report" / "aggregate.json")
    assert (len(summary["missing"]), summary["written"]) == (2, [])


def test_a_results_folder_of_another_round_is_refused(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    plan: Any = read_json(run / "plan.json")
    plan["round"] = "v5.1"
    write_json(run / "plan.json", plan)
    with pytest.raises(
        SubmissionError, match=r"was measured for round v5\.1 and cannot be rendered as v6\.1: the seeds"
    ):
        packed(run)


def test_a_crash_of_the_last_aggregation_is_put_right_by_the_next(lab: Lab) -> None:
    lab.scenario("Offline")
    run = lab.write()
    tree = packed(run).tree
    before = snapshot(run)
    os.rename(tree, run / ".submission.old")
    (run / ".submission.new").mkdir()
    assert packed(run, dry_run=True).changed
    assert packed(run).changed
    assert not packed(run).changed
    assert snapshot(run) == before
    assert json.loads((run / "report" / "aggregate.json").read_text())["tree"] == "submission"
