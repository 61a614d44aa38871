"""Results that other tools made: verified as our own, filed once, and marked wherever they are shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.checker import check_tree
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Result
from mlperf_ops.report.gather import read_run
from mlperf_ops.run_plan import read_plan
from mlperf_ops.typed import load
from tests.support.attempts import Lab, RealLogs, snapshot
from tests.support.submission_trees import add_line, edit_log
from tests.support.vendor import CATALOGUE, MAKER, NUMBERS, Vendor


@pytest.fixture
def vendor(tmp_path: Path, real_logs: RealLogs) -> Vendor:
    return Vendor(tmp_path, real_logs)


def packed(run: Path) -> AggregateReport:
    return aggregate(run, CATALOGUE.round("v6.1"), CATALOGUE)


def test_an_imported_result_goes_the_way_of_our_own_and_says_where_it_comes_from(vendor: Vendor) -> None:
    vendor.result("Offline", user_conf="Offline/performance/user.conf")
    told = vendor.bring()
    assert {(one.key, one.state) for one in told} == {
        ("box/resnet50/Offline/performance", "imported"),
        ("box/resnet50/Offline/accuracy", "imported"),
    }
    report = packed(vendor.run)
    (one,) = report.written
    assert one.path == "open/TEST-ONLY/results/box/resnet50/Offline"
    assert one.origin == "imported from Offline/performance: vendor harness 1.2"
    tree = report.tree
    log = tree / one.path / "performance/run_1/mlperf_log_detail.txt"
    assert log.read_bytes() == vendor.detail("Offline", "performance").read_bytes()
    page = (tree / one.path / "README.md").read_text()
    assert "It was imported from Offline/performance: vendor harness 1.2." in page
    assert "mlperf-ops did not run this" in page
    assert "ansible-playbook" not in page
    assert read_json(tree / one.path / "measurements.json") == NUMBERS
    assert "vendor harness 1.2" in (tree / "open/TEST-ONLY/src/resnet50/README.md").read_text()
    system = read_json(tree / "open/TEST-ONLY/systems/box.json")
    assert system["cooling"] == "some cooling"
    assert "a_key_of_their_own" not in system
    assert not [name for name, content in snapshot(tree).items() if str(vendor.base).encode() in content]
    checked = check_tree(tree, CATALOGUE.round("v6.1"), read_plan(vendor.run))
    assert len(checked.results) == 1
    cells = read_run(vendor.run, CATALOGUE).cells
    assert {(cell.cell.mode, cell.state) for cell in cells} == {("performance", "valid"), ("accuracy", "valid")}


def test_a_second_import_changes_nothing_and_a_dry_run_writes_nothing(vendor: Vendor) -> None:
    vendor.result("Offline")
    assert {one.state for one in vendor.bring(dry_run=True)} == {"imported"}
    assert not vendor.run.exists()
    vendor.bring()
    before = snapshot(vendor.run)
    assert {one.state for one in vendor.bring()} == {"there already"}
    assert snapshot(vendor.run) == before


def test_changed_logs_are_another_attempt_and_the_first_stays(vendor: Vendor) -> None:
    vendor.result("Offline")
    vendor.bring()
    before = snapshot(vendor.run)
    edit_log(vendor.detail("Offline", "performance"), {"result_samples_per_second": 5.0})
    told = {one.key.rpartition("/")[2]: one for one in vendor.bring()}
    assert told["performance"].path.endswith("/attempt_2")
    assert told["accuracy"].state == "there already"
    after = snapshot(vendor.run)
    assert {name: after[name] for name in before if "attempt_1" in name} == {
        name: content for name, content in before.items() if "attempt_1" in name
    }
    assert packed(vendor.run).written[0].result == "5 Samples/s"


def test_a_further_map_adds_to_what_is_there(vendor: Vendor) -> None:
    vendor.result("Offline")
    vendor.bring()
    vendor.map["results"] = []
    vendor.result("SingleStream")
    vendor.bring()
    assert [one.key for one in packed(vendor.run).written] == ["box/resnet50/Offline", "box/resnet50/SingleStream"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"benchmark": "resnet51"}, "results[0].benchmark: unknown benchmark of round v6.1 'resnet51'"),
        ({"scenario": "Offlin"}, "results[0].scenario: unknown value 'Offlin'"),
        ({"system": "bix"}, "results[0].system: unknown system 'bix'; expected one of box (did you mean 'box'?)"),
        ({"folders": {"performance": "Ofline/performance"}}, "(did you mean 'Offline'?)"),
        ({"folders": {"performance": "../results"}}, "is not below"),
        ({"folders": {"perf": "Offline/performance"}}, "results[0].folders: unknown key 'perf'"),
        ({"official": "resnt"}, "results[0].official: unknown benchmark of round v6.1 'resnt'"),
        ({"division": "closed", "benchmark": "mine", "official": "resnet"}, "'mine' is not an official benchmark"),
        ({"division": "closed", "scenario": "Server"}, "unknown scenario of resnet on edge systems 'Server'"),
        ({"user_conf": "Offline/user.cfg"}, "results[0].user_conf: there is no file"),
        ({"measurements_file": "systems/box.json"}, "nothing says input_data_types"),
        ({"implementation": {"made_by": "x"}}, "results[0].implementation: key 'framework' is missing"),
    ],
)
def test_a_mistake_in_a_result_is_one_sentence_with_its_line(
    vendor: Vendor, change: dict[str, Any], sentence: str
) -> None:
    entry = vendor.result("Offline")
    entry.update(change)
    message = vendor.sentence()
    assert sentence in message
    assert message.startswith(f"{vendor.path}:")
    line = int(message.removeprefix(f"{vendor.path}:").split(":")[0])
    assert line >= vendor.path.read_text().splitlines().index("results:") + 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"round": "v6.2"}, "unknown round 'v6.2'"),
        ({"round": None}, "key 'round' is missing, and the results folder has no plan.json"),
        ({"implementation": None}, "results[0]: key 'implementation' is missing"),
        ({"boxes": []}, "unknown key 'boxes'"),
        ({"systems": [{"system": "box"}]}, "key 'system_type' is missing"),
        ({"systems": [{"system": "box", "system_type": "edge"}]}, "nothing is told of system 'box'"),
        ({"systems": [{"system": "box", "system_type": "edgy"}]}, "unknown system type 'edgy'"),
        ({"systems": [{"system": "box", "system_type": "edge", "description": {"coolling": "air"}}]}, "'cooling'"),
    ],
)
def test_a_mistake_of_the_whole_map_is_one_sentence(vendor: Vendor, change: dict[str, Any], sentence: str) -> None:
    vendor.result("Offline")
    vendor.map = {key: value for key, value in {**vendor.map, **change}.items() if value is not None}
    assert sentence in vendor.sentence()


def test_all_mistakes_of_a_map_are_told_in_one_run_and_nothing_is_written(vendor: Vendor) -> None:
    vendor.result("Offline", system="bix")["folders"]["TEST09"] = "Offline/accuracy"
    vendor.map["results"] += [
        {"system": "box", "benchmark": "resnet51", "scenario": "Offlin", "folders": {"performance": "Ofline"}},
        {
            "system": "box",
            "benchmark": "resnet50",
            "scenario": "Offline",
            "folders": {"perf": "x", "accuracy": "Offline/accuracies", "TEST06": "Offline/accuracy"},
            "user_conf": "Offline/performance/user.cnf",
        },
    ]
    vendor.map["systems"].append({"system": "box2", "system_type": "edgy"})
    message = vendor.sentence()
    first, *told = message.splitlines()
    assert first == f"{vendor.path} has 10 mistakes, and nothing was imported:"
    assert not vendor.run.exists()
    places = [int(line.strip().removeprefix(f"{vendor.path}:").split(":")[0]) for line in told]
    assert places == sorted(places)
    lines = vendor.path.read_text().splitlines()
    for sentence, nearest, key in (
        ("results[0].system: unknown system 'bix'; expected one of box", "did you mean 'box'?", "system: bix"),
        ("results[0].folders.TEST09: round v6.1 asks resnet for TEST01, TEST04", "leave it out", "TEST09: "),
        ("results[1].benchmark: unknown benchmark of round v6.1 'resnet51'", "did you mean", "benchmark: resnet51"),
        ("results[1].scenario: unknown value 'Offlin'; expected one of", "did you mean 'Offline'?", "Offlin"),
        ("results[1].folders.performance: there is no folder", "did you mean 'Offline'?", "performance: Ofline"),
        ("results[2].folders: unknown key 'perf'; expected one of", "did you mean 'performance'?", "perf: x"),
        ("results[2].folders.accuracy: there is no folder", "did you mean 'Offline/accuracy'?", "accuracy: Offline/ac"),
        ("results[2].folders.TEST06: round v6.1 asks resnet for TEST01, TEST04", "leave it out", "TEST06: "),
        ("results[2].user_conf: there is no file", "did you mean 'Offline/performance/user.conf'?", "user_conf: "),
        ("systems[1].system_type: unknown system type 'edgy'; expected one of", "did you mean 'edge'?", "edgy"),
    ):
        (line,) = (line for line in told if sentence in line)
        assert nearest in line
        at = int(line.strip().removeprefix(f"{vendor.path}:").split(":")[0])
        assert key in lines[at - 1]


@pytest.mark.parametrize(
    ("key", "setter"),
    [
        ("system_type", "system_type of the system, beside description"),
        ("submitter", "submitter of the map"),
        ("division", "division of the map"),
    ],
)
def test_a_field_that_another_key_of_the_map_sets_is_told_with_that_key(vendor: Vendor, key: str, setter: str) -> None:
    vendor.result("Offline")
    vendor.map["systems"][0]["description"] = {key: "edge"}
    assert f"systems[0].description.{key}: '{key}' is set by {setter} (remove it here)" in vendor.sentence()


def test_all_fields_of_a_description_that_say_nothing_are_told_at_once(vendor: Vendor) -> None:
    vendor.result("Offline")
    path = vendor.base / "systems/box.json"
    write_json(path, {**read_json(path), "cooling": "TBD", "host_storage_type": "<type>"})
    message = vendor.sentence()
    assert "cooling is the placeholder 'TBD'" in message
    assert "host_storage_type is the placeholder '<type>'" in message
    assert "systems[0].description_file" in message
    vendor.map["systems"][0]["description"] = {"cooling": "air", "host_storage_type": "NVMe SSD"}
    assert {one.state for one in vendor.bring()} == {"imported"}


def test_a_finished_description_may_say_what_a_check_only_advises_on(vendor: Vendor) -> None:
    vendor.result("Offline")
    path = vendor.base / "systems/box.json"
    said = {"cooling": "N/A", "host_storage_type": "undefined", "accelerator_frequency": ""}
    write_json(path, {**read_json(path), **said})
    assert {one.state for one in vendor.bring()} == {"imported"}
    aggregate(vendor.run, CATALOGUE.round("v6.1"), CATALOGUE)
    (description,) = vendor.run.glob("submission/open/TEST-ONLY/systems/box.json")
    assert {key: read_json(description)[key] for key in said} == said
    (page,) = vendor.run.glob("submission/open/TEST-ONLY/results/box/resnet50/Offline/README.md")
    assert "Specs" not in page.read_text()
    vendor.map["systems"][0]["description"] = {"cooling": "N/A"}  # typed for this, it is a mistake
    assert "cooling is 'N/A', and every system has one" in vendor.refusal()


@pytest.mark.parametrize(("percent", "met"), [("72.132", True), ("72.131", False)])
def test_a_share_is_compared_with_what_a_text_states_in_percent(vendor: Vendor, percent: str, *, met: bool) -> None:
    vendor.map["systems"][0]["system_type"] = "datacenter"
    vendor.runs("Offline", "accuracy", benchmark="rgat")
    (vendor.base / "Offline/accuracy/accuracy.txt").write_text(f"accuracy={percent}%, good=1, total=788379\n")
    (found,) = vendor.bring()
    accuracy = load(Result, read_json(vendor.run / found.path / "result.json"), "result.json").accuracy
    assert accuracy is not None
    assert accuracy.met is met


def test_what_matters_for_the_speed_alone_is_not_asked_of_an_accuracy_run(vendor: Vendor) -> None:
    vendor.map["systems"][0]["system_type"] = "datacenter"
    vendor.result("Offline", benchmark="llama3.1-8b")
    scores = "{'rouge1': 39.0, 'rouge2': 16.0, 'rougeL': 25.0, 'rougeLsum': 36.0, 'gen_len': 8000000}\n"
    (vendor.base / "Offline/accuracy/accuracy.txt").write_text(scores)
    found = {one.key.rpartition("/")[2]: one for one in vendor.bring()}
    assert found["accuracy"].state == "imported"
    assert "requested_use_token_latencies is absent, expected True" in found["performance"].reason


def spoil(vendor: Vendor, how: str) -> None:
    performance, accuracy = vendor.detail("Offline", "performance"), vendor.detail("Offline", "accuracy")
    seeds = CATALOGUE.round("v5.1").seeds
    edits: dict[str, dict[str, Any]] = {
        "another round": {f"effective_{name}": value for name, value in seeds.model_dump().items()},
        "no round": {"effective_qsl_rng_seed": 7},
        "another scenario": {"effective_scenario": "Server"},
        "another mode": {"effective_test_mode": "AccuracyOnly"},
        "an audit": {"effective_accuracy_log_sampling_target": 64},
        "one sample again": {"effective_performance_issue_same": True},
    }
    if how in edits:
        edit_log(performance, edits[how])
    elif how == "cut off":
        lines = performance.read_text().splitlines(keepends=True)
        performance.write_text("".join(lines[:40]))
    elif how == "no summary":
        performance.with_name("mlperf_log_summary.txt").unlink()
    elif how == "not a log":
        performance.write_text("hello\n")
    elif how == "no score":
        accuracy.with_name("accuracy.txt").write_text("fine\n")
    elif how == "another hash":
        with accuracy.with_name("accuracy.txt").open("a") as stream:
            stream.write(f"hash={'0' * 64}\n")


@pytest.mark.parametrize(
    ("how", "mode", "sentence"),
    [
        ("another round", "performance", "its log shows the seeds of round v5.1, and the submission is for v6.1"),
        ("no round", "performance", "seeds of no round that the catalogue knows"),
        ("another scenario", "performance", "is a run of Server, and the result is to be Offline"),
        ("another mode", "performance", "effective_test_mode is AccuracyOnly, expected PerformanceOnly"),
        ("an audit", "performance", "effective_accuracy_log_sampling_target is 64, expected 0"),
        ("one sample again", "performance", "effective_performance_issue_same is True, expected False"),
        ("cut off", "performance", "mlperf_log_detail.txt ends before the test did"),
        ("no summary", "performance", "has no file mlperf_log_summary.txt"),
        ("not a log", "performance", "not a LoadGen message"),
        ("no score", "accuracy", "accuracy.txt states no acc"),
        ("another hash", "accuracy", "but mlperf_log_accuracy.json has sha256"),
    ],
)
def test_a_result_that_cannot_be_used_is_named_and_the_others_come_in(
    vendor: Vendor, how: str, mode: str, sentence: str
) -> None:
    vendor.result("SingleStream")
    vendor.result("Offline")
    spoil(vendor, how)
    told = {one.key: one for one in vendor.bring()}
    bad = told.pop(f"box/resnet50/Offline/{mode}")
    assert bad.state == "refused"
    assert sentence in bad.reason
    assert f"import.yaml:{vendor_line(vendor, mode)}: results[1].folders.{mode}" in bad.reason
    assert {one.state for one in told.values()} == {"imported"}
    assert not (vendor.run / f"hosts/box/resnet50/Offline/{mode}").exists()
    assert [one.key for one in packed(vendor.run).written] == ["box/resnet50/SingleStream"]


def vendor_line(vendor: Vendor, mode: str) -> int:
    lines = vendor.path.read_text().splitlines()
    return lines.index(f"    {mode}: Offline/{mode}") + 1


def test_an_invalid_run_is_taken_over_as_what_it_is(vendor: Vendor) -> None:
    vendor.result("Offline")
    edit_log(
        vendor.detail("Offline", "performance"),
        {"result_validity": "INVALID", "result_min_duration_met": False},
    )
    told = {one.key.rpartition("/")[2]: one for one in vendor.bring()}
    assert (told["performance"].state, told["performance"].verdict) == ("imported", "invalid")
    assert told["performance"].reason == "LoadGen says INVALID: shorter than its minimum duration"
    (one,) = packed(vendor.run).written
    assert not one.valid


def test_an_accuracy_run_without_the_rounds_seeds_is_taken_as_published_ones_are(vendor: Vendor) -> None:
    vendor.result("Offline")
    zero: dict[str, Any] = {
        f"effective_{name}": 0 for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
    }
    edit_log(vendor.detail("Offline", "accuracy"), zero)
    vendor.bring()
    assert len(packed(vendor.run).written) == 1


def test_on_edge_systems_a_run_of_another_scenario_may_be_the_source_of_an_inferred_result(vendor: Vendor) -> None:
    entry = vendor.result("SingleStream")
    entry["scenario"] = "Offline"
    vendor.bring()
    (one,) = packed(vendor.run).written
    assert (one.key, one.stands_for) == ("box/resnet50/Offline", None)
    assert one.rule == "inferred from the SingleStream run: result_qps_without_loadgen_overhead"


def test_a_stand_in_is_never_packed(vendor: Vendor) -> None:
    vendor.result("Offline")
    vendor.result("SingleStream", implementation={**MAKER, "simulated": True})
    vendor.bring()
    report = packed(vendor.run)
    assert [one.key for one in report.written] == ["box/resnet50/Offline"]
    assert "its result is simulated" in report.refused[0].reason


def test_an_own_model_is_mapped_in_the_open_division(vendor: Vendor) -> None:
    vendor.result("Offline", benchmark="pruned-resnet", official="resnet")
    vendor.bring()
    tree = packed(vendor.run).tree
    assert read_json(tree / "open/TEST-ONLY/model_mapping.json") == {"pruned-resnet": "resnet"}


def test_an_import_joins_a_planned_run_and_its_system_without_new_facts(vendor: Vendor, real_logs: RealLogs) -> None:
    lab = Lab(vendor.run, real_logs)
    lab.scenario("SingleStream", host="node1", benchmark="resnet50")
    lab.write()
    for key in ("round", "submitter", "division"):
        del vendor.map[key]
    vendor.map["systems"] = [{"system": "node1", "host": "node1"}]
    entry = vendor.result("Offline")
    entry["system"] = "node1"
    assert "systems[0].host: host 'node1' is one of the plan" in vendor.sentence()
    vendor.map["systems"] = [{"system": "node1", "host": "node1-vendor"}]
    vendor.bring()
    report = packed(vendor.run)
    assert {one.key: one.hosts for one in report.written} == {
        "node1/resnet50/SingleStream": ("node1",),
        "node1/resnet50/Offline": ("node1-vendor",),
    }
    assert sorted(path.name for path in (report.tree / "open/TEST-ONLY/systems").iterdir()) == ["node1.json"]


def test_an_import_of_a_cell_that_was_measured_here_is_a_conflict_until_the_best_may_count(
    vendor: Vendor, real_logs: RealLogs
) -> None:
    lab = Lab(vendor.run, real_logs)
    lab.scenario("Offline", host="node1", benchmark="resnet50")
    lab.write()
    vendor.map["systems"] = [{"system": "node1", "host": "node1-vendor"}]
    entry = vendor.result("Offline")
    entry["system"] = "node1"
    edit_log(vendor.detail("Offline", "performance"), {"result_samples_per_second": 1e9})
    vendor.bring()
    plan: Any = read_json(vendor.run / "plan.json")
    write_json(vendor.run / "plan.json", {**plan, "on_conflict": "best"})
    (one,) = packed(vendor.run).written
    assert (one.hosts, one.result) == (("node1-vendor",), "1e+09 Samples/s")
    write_json(vendor.run / "plan.json", plan)
    with pytest.raises(Exception, match="2 different results for one place"):
        packed(vendor.run)


def test_a_plan_of_another_round_is_no_place_for_an_import(vendor: Vendor, real_logs: RealLogs) -> None:
    lab = Lab(vendor.run, real_logs)
    lab.scenario("Offline", host="node1", benchmark="resnet50")
    lab.write()
    vendor.map["round"] = "v6.0"
    vendor.result("Offline")
    assert "the plan of the results folder has round 'v6.1', and the map 'v6.0'" in vendor.sentence()


def test_the_command_says_what_came_in_and_fails_when_something_did_not(vendor: Vendor) -> None:
    vendor.result("Offline")
    add_line(vendor.detail("Offline", "performance"), "x", 1)
    vendor.detail("Offline", "accuracy").unlink()
    words = ["import", "--from", vendor.base, "--map", vendor.write(), "--run", vendor.run]
    argv = [sys.executable, "-m", "mlperf_ops", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    states = {line.split("\t")[1]: line.split("\t")[0] for line in done.stdout.splitlines()[1:-1]}
    assert done.stdout.splitlines()[-1] == f"next: mlperf-ops aggregate {vendor.run}"
    assert states == {"box/resnet50/Offline/performance": "imported", "box/resnet50/Offline/accuracy": "refused"}
    assert "1 of 2 cells cannot be imported" in done.stderr
    done = subprocess.run([*argv, "--json"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    told = json.loads(done.stdout.splitlines()[0])
    assert [one["state"] for one in told["cells"]] == ["there already", "refused"]


def test_pictures_that_the_round_wants_come_along_and_others_do_not(tmp_path: Path, real_logs: RealLogs) -> None:
    vendor = Vendor(tmp_path, real_logs)
    vendor.result("Offline", benchmark="stable-diffusion-xl")
    wanted = CATALOGUE.round("v6.0").rules("stable-diffusion-xl").required_accuracy_artifacts["images"]
    folder = vendor.base / "Offline/accuracy/images"
    folder.mkdir()
    for name in (f"{wanted.stems[0]}.png", "captions.txt", "holiday.png"):
        (folder / name).write_bytes(name.encode())
    text = "Accuracy Results: {'FID_SCORE': '23.5', 'CLIP_SCORE': '31.7'}\n"
    (vendor.base / "Offline/accuracy/accuracy.txt").write_text(text)
    seeds = CATALOGUE.round("v6.0").seeds.model_dump()
    for mode in ("performance", "accuracy"):
        edit_log(vendor.detail("Offline", mode), {f"effective_{name}": value for name, value in seeds.items()})
    vendor.map |= {"round": "v6.0"}
    assert [one.state for one in vendor.bring()] == ["imported", "imported"]
    assert {one.state for one in vendor.bring()} == {"there already"}
    tree = aggregate(vendor.run, CATALOGUE.round("v6.0"), CATALOGUE).tree
    images = tree / "open/TEST-ONLY/results/box/stable-diffusion-xl/Offline/accuracy/images"
    assert sorted(path.name for path in images.iterdir()) == [f"{wanted.stems[0]}.png", "captions.txt"]


@pytest.mark.parametrize("name", ["../x", "a/../x", "./x", "a/b/c", "a/..", "..", "a/"])
def test_a_manifest_cannot_name_a_file_outside_of_its_attempt(vendor: Vendor, name: str) -> None:
    vendor.result("Offline")
    vendor.result("SingleStream")
    vendor.bring()
    (attempt,) = (vendor.run / "hosts/box/resnet50/Offline/performance").glob("*/attempt_1")
    manifest: Any = read_json(attempt / "manifest.json")
    write_json(attempt / "manifest.json", {**manifest, "files": {**manifest["files"], name: "0" * 64}})
    refused = packed(vendor.run).refused
    assert f"names '{name}', which is not a plain file of the attempt" in refused[0].reason
