"""`mlperf-ops check` as users call it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport
from mlperf_ops.cli import main
from mlperf_ops.files import write_json
from mlperf_ops.plan_model import Limit, Plan
from mlperf_ops.typed import dump, load
from tests.support.attempts import RealLogs
from tests.support.submission_trees import edit_log, good_tree, short_tree

# What a run of a fraction of a second breaks, or may break on a busy machine.
SHORT_RUNS = ("dataset-size", "min-duration", "min-queries", "early-stopping", "loadgen-validity", "latency-constraint")


def check(*arguments: str | Path) -> int:
    """Return the exit code."""
    try:
        main(["check", *(str(argument) for argument in arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    limits = tuple(Limit(rule, None, f"the plan says so of {rule}") for rule in SHORT_RUNS)
    made = Plan("v6.1", "open", "TEST-ONLY", "local", "test", "inventory/local", (), (), (), limits)
    write_json(tmp_path / "plan.json", dump(made))
    return tmp_path / "plan.json"


def test_a_submittable_tree_ends_with_zero(
    tmp_path: Path, real_logs: RealLogs, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    assert check(tree.root, "--round", "v6.1") == 0
    shown = capsys.readouterr()
    assert "SUBMITTABLE for round v6.1: nobody objects; 4 results, 0 findings" in shown.out
    assert "no checkout of the official checker was given" in shown.out
    assert shown.err == ""


def test_every_finding_is_shown_with_place_meaning_and_fix(
    tmp_path: Path, real_logs: RealLogs, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    conf = tree.result("Offline") / "user.conf"
    conf.write_text(conf.read_text().replace("600000", "1000"))
    tree.edit_json(tree.system_json, {"cooling": ""})
    assert check(tree.root, "--round", "v6.1") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "min-duration: the run asked for 1 s; at least 600 s are required" in shown
    assert "[performance/run_1/mlperf_log_detail.txt]" in shown
    assert "system-field-empty: field cooling needs a value" in shown
    assert "A short run does not reach thermal" in shown
    assert "without a shorter min_duration in user.conf" in shown
    assert (
        "REJECTED for round v6.1: not submittable; 4 of 4 results rejected; 2 findings (2 official)" in shown
    )  # the description is that of all four
    assert "who objects: official = the official checker rejects it too" in shown
    assert "results: fail = rejected" in shown


def test_what_the_plan_rules_out_is_shown_as_expected(
    tmp_path: Path, real_logs: RealLogs, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = short_tree(tmp_path / "tree", real_logs)
    assert check(tree.root, "--plan", plan) == 1
    shown = capsys.readouterr().out
    assert "DEMONSTRATION for round v6.1" in shown
    assert "every objection follows from the plan; 4 of 4 results rejected as the plan says itself; " in shown
    assert "expected = rejected, as the plan itself says" in shown
    assert "expected: the plan says so of dataset-size" in shown
    assert "A short run does not reach thermal" not in shown


def test_json_on_stdout_and_in_the_file_are_the_whole_report(
    tmp_path: Path, real_logs: RealLogs, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = short_tree(tmp_path / "tree", real_logs)
    output = tmp_path / "report/checks.json"
    assert check(tree.root, "--plan", plan, "--json", "--output", output, "--official-note", "no git here") == 1
    printed = load(CheckReport, json.loads(capsys.readouterr().out), "stdout")
    assert printed == load(CheckReport, json.loads(output.read_text()), "file")
    assert printed.verdict == "demonstration"
    assert printed.official_note == "no git here"


def checkout(base: Path) -> Path:
    """Make what looks like a checkout of the official checker, and has no opinion."""
    package = base / "inference/tools/submission/submission_checker"
    package.mkdir(parents=True)
    (package / "main.py").touch()
    return base / "inference"


def test_an_official_checker_that_cannot_start_leaves_our_own_check_standing(
    tmp_path: Path, real_logs: RealLogs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    monkeypatch.setattr("sys.executable", "/no/python")
    assert check(tree.root, "--round", "v6.1", "--official-checker", checkout(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "official checker: cannot run the official checker with /no/python" in shown
    assert "SUBMITTABLE" in shown


def test_no_room_for_temporary_files_leaves_our_own_check_and_its_files_standing(
    tmp_path: Path, real_logs: RealLogs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    output, csv, room = tmp_path / "checks.json", tmp_path / "table.csv", tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    given = ("--official-checker", checkout(tmp_path), "--output", output, "--csv", csv)
    assert check(tree.root, "--round", "v6.1", *given) == 0
    shown = " ".join(capsys.readouterr().out.split())
    told = f"cannot use the temporary folder {room}: No such file or directory (TMPDIR can name another folder)"
    assert f"official checker: {told}" in shown
    assert "SUBMITTABLE" in shown
    written = load(CheckReport, json.loads(output.read_text()), "file")
    assert (written.verdict, written.official, written.official_note) == ("submittable", None, told)
    assert len(csv.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere", "--round", "v6.1"], 4, "nowhere is not a folder"),
        ([".", "--round", "v6.2"], 2, "unknown round 'v6.2'"),
        (["."], 2, "no round was given"),
        ([".", "--plan", "plan.json"], 3, "cannot read plan.json"),
        ([".", "--round", "v6.1", "--official-checker", "nowhere"], 2, "expected a checkout of mlcommons/inference"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check(*arguments) == code
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.splitlines()) == 1
    assert "Traceback" not in shown.err


def test_a_plan_of_another_round_is_refused(tmp_path: Path, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.write_text(plan.read_text().replace("v6.1", "v6.0"))
    assert check(tmp_path, "--plan", plan, "--round", "v6.1") == 2
    assert "is a plan of round v6.0, and --round is v6.1" in capsys.readouterr().err


def test_a_round_that_the_catalogue_does_not_know_is_named_with_its_plan(
    tmp_path: Path, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.write_text(plan.read_text().replace("v6.1", "v6.2"))
    assert check(tmp_path, "--plan", plan) == 2
    assert f"{plan}: unknown round 'v6.2'" in capsys.readouterr().err


def test_a_results_folder_is_pointed_to_its_tree(
    tmp_path: Path, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "submission").mkdir(parents=True)
    (run / "plan.json").write_text(plan.read_text())
    assert check(run, "--round", "v6.1") == 2
    assert f"did you mean '{run}/submission'?" in capsys.readouterr().err
