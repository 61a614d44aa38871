"""Compliance tests of other tools come in with their results, and are verified as our own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.cli import main
from mlperf_ops.errors import ToolError
from mlperf_ops.importing.import_map import read_map
from mlperf_ops.importing.store import Imported, import_all
from mlperf_ops.model import ComplianceTest, Scenario
from tests.support.attempts import RealLogs
from tests.support.submission_trees import edit_log
from tests.support.vendor import Vendor
from tests.unit.test_importing import packed

CATALOGUE = load_catalogue()
CELL = "box/resnet50/Offline"


@pytest.fixture
def vendor(tmp_path: Path, real_logs: RealLogs) -> Vendor:
    vendor = Vendor(tmp_path, real_logs)
    vendor.map["division"] = "closed"
    vendor.result("Offline", answer_type="int64")
    return vendor


def bring_test(vendor: Vendor, test: ComplianceTest, folder: str) -> Path:
    """Put a real run of a test into the vendor's folder, without what only our own flow keeps."""
    target = vendor.base / folder
    shutil.copytree(vendor.logs.get("Offline", test), target)
    for name in ("console.log", "labels.txt", "audit.config", "user.conf"):
        (target / name).unlink(missing_ok=True)
    return target


def by_key(told: Sequence[Imported]) -> dict[str, Imported]:
    return {one.key.removeprefix(f"{CELL}/"): one for one in told}


def test_tests_beside_the_runs_are_found_and_go_into_the_tree(vendor: Vendor) -> None:
    bring_test(vendor, "TEST01", "Offline/TEST01")
    bring_test(vendor, "TEST04", "Offline/TEST04/performance/run_1")
    told = by_key(vendor.bring())
    assert {key: (one.state, one.found) for key, one in told.items()} == {
        "performance": ("imported", False),
        "accuracy": ("imported", False),
        "TEST01": ("imported", True),
        "TEST04": ("imported", True),
    }
    assert told["performance"].result.endswith("Samples/s")
    report = packed(vendor.run)
    outcomes = {one.key: one for one in report.tests}
    for test in ("TEST01", "TEST04"):
        outcome = outcomes[f"{CELL}/{test}"]
        assert (told[test].verdict != "failed test") == outcome.passed
        assert outcome.passed or outcome.sentence.split(" (")[0].split(";")[0] in told[test].reason
        folder = report.tree / report.written[0].path / test
        log = "performance/run_1/mlperf_log_detail.txt"
        raw = vendor.base / ("Offline/TEST01" if test == "TEST01" else f"Offline/{test}/performance/run_1")
        assert (folder / log).read_bytes() == (raw / "mlperf_log_detail.txt").read_bytes()
    assert {one.state for one in vendor.bring()} == {"there already"}


def test_a_declared_folder_may_have_any_name_and_an_answer_lies_beside(vendor: Vendor) -> None:
    folder = bring_test(vendor, "TEST01", "audits/first/performance/run_1")
    answers = vendor.base / "audits/first/accuracy/mlperf_log_accuracy.json"
    answers.parent.mkdir()
    (folder / "mlperf_log_accuracy.json").rename(answers)
    vendor.map["results"][0]["folders"]["TEST01"] = "audits/first"
    told = by_key(vendor.bring())
    assert (told["TEST01"].state, told["TEST01"].found) == ("imported", False)
    attempt = vendor.run / told["TEST01"].path
    assert (attempt / "mlperf_log_accuracy.json").read_bytes() == answers.read_bytes()
    assert json.loads((attempt / "import.json").read_text())["answer_type"] == "int64"


def test_what_is_left_aside_is_named_with_the_reason(vendor: Vendor) -> None:
    bring_test(vendor, "TEST04", "Offline/test_04")
    bring_test(vendor, "TEST04", "Offline/TEST05")
    (vendor.base / "Offline/TEST01").mkdir()
    (vendor.base / "Offline/TEST01/verify_accuracy.txt").write_text("TEST PASS\n")
    (vendor.base / "Offline/logs").mkdir()
    told = {one.key: one.reason for one in vendor.bring() if one.state == "ignored"}
    assert set(told) == {"Offline/test_04", "Offline/TEST05", "Offline/TEST01"}
    assert "did you mean TEST04? Rename it, or name it under folders" in told["Offline/test_04"]
    assert "is no test of round v6.1" in told["Offline/TEST05"]
    assert "there is no mlperf_log_detail.txt in it" in told["Offline/TEST01"]


def test_a_division_without_tests_leaves_them_aside_unless_they_are_named(vendor: Vendor) -> None:
    bring_test(vendor, "TEST04", "Offline/TEST04")
    vendor.map["division"] = "open"
    (one,) = [one for one in vendor.bring() if one.state == "ignored"]
    assert one.reason.startswith("the open division demands no compliance tests")
    vendor.map["results"][0]["folders"]["TEST04"] = "Offline/TEST04"
    assert by_key(vendor.bring())["TEST04"].state == "imported"
    vendor.map["results"][0] |= {"compliance": False, "folders": {"performance": "Offline/performance"}}
    assert {one.key for one in vendor.bring()} == {f"{CELL}/performance"}


def test_a_run_without_the_settings_of_the_test_is_refused(vendor: Vendor) -> None:
    shutil.copytree(vendor.base / "Offline/performance", vendor.base / "Offline/TEST04")
    one = by_key(vendor.bring())["TEST04"]
    assert one.state == "refused"
    assert "TEST04 was not run with its settings: effective_performance_issue_same is" in one.reason


def test_a_test_that_needs_room_for_temporary_files_and_has_none_is_a_sentence(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_test(vendor, "TEST01", "Offline/TEST01")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ToolError) as caught:
        vendor.bring()
    assert caught.value.message == f"cannot use the temporary folder {tmp_path / 'gone'}: No such file or directory"
    assert caught.value.hint == "TMPDIR can name another folder"
    assert not (vendor.run / "imported.json").exists()


def test_a_run_of_another_round_and_scenario_is_told_all_that_is_wrong(vendor: Vendor) -> None:
    folder = bring_test(vendor, "TEST04", "Offline/TEST04")
    seeds = CATALOGUE.round("v5.1").seeds.model_dump()
    edits: dict[str, Any] = {f"effective_{name}": value for name, value in seeds.items()}
    edit_log(folder / "mlperf_log_detail.txt", edits | {"effective_scenario": "Server"})
    one = by_key(vendor.bring())["TEST04"]
    assert "its log shows the seeds of round v5.1" in one.reason
    assert "is a run of Server, and the result is to be Offline" in one.reason


def test_a_test_that_the_round_does_not_ask_for_is_a_mistake_of_the_map(vendor: Vendor) -> None:
    bring_test(vendor, "TEST04", "Offline/more")
    vendor.map["results"][0]["folders"]["TEST06"] = "Offline/more"
    assert "results[0].folders.TEST06: round v6.1 asks resnet for TEST01, TEST04, not for TEST06" in vendor.sentence()


def test_of_truncated_answers_the_other_tools_word_counts(vendor: Vendor) -> None:
    folder = bring_test(vendor, "TEST01", "Offline/TEST01")
    log = folder / "mlperf_log_accuracy.json"
    raw = log.read_bytes()
    log.write_bytes(raw[:400] + b"\n\n...\n\n" + raw[-400:])
    (folder / "accuracy.txt").write_text(f"hash={'a' * 64}\n")
    (folder / "verify_accuracy.txt").write_text("num_perf_log_data_mismatch = 0\nTEST PASS\n")
    told = by_key(vendor.bring())["TEST01"]
    assert "truncated" not in told.reason
    report = packed(vendor.run)
    here = report.tree / report.written[0].path / "TEST01"
    text = (here / "verify_accuracy.txt").read_text().splitlines()
    assert "an accuracy log came truncated, so this is what the tool that made it found:" in text
    assert text[-1] == "TEST PASS"
    assert (here / "accuracy/mlperf_log_accuracy.json").read_bytes() == log.read_bytes()
    assert f"hash={'a' * 64}" in (here / "accuracy/accuracy.txt").read_text()
    (folder / "verify_accuracy.txt").unlink()
    assert "truncated" in by_key(vendor.bring())["TEST01"].reason


def test_all_mistakes_of_a_map_are_told_at_once_with_their_lines(vendor: Vendor) -> None:
    vendor.map["implementation_"] = vendor.map.pop("implementation")
    vendor.result("SingleStream", benchmark="resnet51")
    vendor.result("Server")["scenario"] = "Sevrer"
    first: dict[str, Any] = vendor.map["results"][0]
    first["folders"]["performance"] = "Ofline/performance"
    vendor.map["systems"].append({"system": "second", "description_file": "systems/box.jsn"})
    message = vendor.sentence()
    head, *lines = message.splitlines()
    assert head == f"{vendor.path} has {len(lines)} mistakes, and nothing was imported:"
    for part in (
        "unknown key 'implementation_'",
        "results[0].folders.performance: there is no folder",
        "(did you mean 'Offline",
        "results[1].benchmark: unknown benchmark of round v6.1 'resnet51'",
        "results[2].scenario: unknown value 'Sevrer'",
        "systems[1].description_file: there is no file",
        "(did you mean 'systems/box.json'?)",
    ):
        assert part in message
    places = [int(line.strip().removeprefix(f"{vendor.path}:").split(":")[0]) for line in lines]
    assert places == sorted(places)
    assert "key 'implementation' is missing" not in message
    assert len(lines) == 5
    assert not (vendor.run / "imported.json").exists()


def test_mistakes_of_the_map_and_of_the_folders_are_told_together(vendor: Vendor) -> None:
    vendor.result("SingleStream")
    (vendor.base / "SingleStream/accuracy/accuracy.txt").unlink()
    (vendor.base / "SingleStream/accuracy/mlperf_log_detail.txt").unlink()
    vendor.map["results"][0]["scenario"] = "Server"
    message = vendor.sentence()
    assert "results[0].scenario: unknown scenario of resnet on edge systems 'Server'" in message
    assert "SingleStream/accuracy has no file mlperf_log_detail.txt and no accuracy.txt" in message
    assert "has 2 mistakes" in message


def test_one_mistake_of_many_results_is_one_line(vendor: Vendor) -> None:
    vendor.map.pop("implementation")
    scenarios: tuple[Scenario, ...] = ("SingleStream", "MultiStream")
    for scenario in scenarios:
        vendor.result(scenario)
    message = vendor.sentence()
    assert message.count("key 'implementation' is missing") == 1
    assert "; the same at " in message
    assert "results[1] and 1 more" in message


def test_the_command_shows_what_was_found_and_what_was_left(vendor: Vendor, capsys: pytest.CaptureFixture[str]) -> None:
    bring_test(vendor, "TEST04", "Offline/TEST04")
    bring_test(vendor, "TEST04", "Offline/Test-04-old")
    words = ["import", "--from", str(vendor.base), "--map", str(vendor.write()), "--run", str(vendor.run)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["state", "cell", "host", "verdict", "result (with unit)", "where, or why"]
    found = next(row for row in rows if row[1] == f"{CELL}/TEST04")
    assert found[5].startswith("found by its name: ")
    assert ["ignored", "Offline/Test-04-old"] in [row[:2] for row in rows]
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["folder"] for one in answer["ignored"]] == ["Offline/Test-04-old"]
    assert len(answer["cells"]) == 3


def test_the_layout_with_a_compliance_folder_is_known(tmp_path: Path, real_logs: RealLogs) -> None:
    vendor = Vendor(tmp_path, real_logs)
    vendor.map["division"] = "closed"
    vendor.result("Offline")
    home = vendor.base / "results/box/resnet50"
    home.mkdir(parents=True)
    (vendor.base / "Offline").rename(home / "Offline")
    vendor.map["results"][0]["folders"] = {
        mode: f"results/box/resnet50/Offline/{mode}" for mode in ("performance", "accuracy")
    }
    bring_test(vendor, "TEST04", "compliance/box/resnet50/Offline/TEST04/performance/run_1")
    told = by_key(import_all(read_map(vendor.write(), vendor.base), vendor.run, CATALOGUE, dry_run=True))
    assert told["TEST04"].found
    assert not vendor.run.exists()


def test_a_mistyped_list_of_results_is_one_sentence(vendor: Vendor) -> None:
    vendor.map["reslts"] = vendor.map.pop("results")
    message = vendor.sentence()
    assert "unknown key 'reslts'" in message
    assert "(did you mean 'results'?)" in message
    assert "mistakes" not in message


@pytest.mark.parametrize("place", ["top", "result"])
def test_half_an_implementation_does_not_hide_the_other_mistakes(vendor: Vendor, place: str) -> None:
    broken = vendor.map["implementation"]
    broken["framewrk"] = broken.pop("framework")
    if place == "result":
        vendor.map["results"][0]["implementation"] = vendor.map.pop("implementation")
    vendor.map["results"][0]["benchmark"] = "resnet51"
    message = vendor.sentence()
    assert "implementation: unknown key 'framewrk'" in message
    assert "unknown benchmark of round v6.1 'resnet51'" in message
    assert "has 2 mistakes" in message
