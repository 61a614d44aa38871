"""`mlperf-ops compliance` as a user calls it, on logs of real LoadGen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlperf_ops.cli import main
from tests.integration.test_compliance_verify import (
    CHECKOUT,
    Made,
    accuracy_run,
    audit,
    label_file,
    needs_checkout,
    repeated,
    runs,
    sampled,
    speed,
    with_score,
)
from tests.support.attempts import RealLogs
from tests.support.compliance_runs import SAMPLES, Sut, int32s
from tests.support.vendor import Vendor

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration
__all__ = ["runs"]  # a fixture

V61 = ("--round", "v6.1", "--benchmark", "resnet50")


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = 0
    try:
        main(["compliance", *map(str, words)])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def folders(runs: Made, tmp_path: Path) -> list[str | Path]:
    """Accuracy, performance and TEST01 run of one speed."""
    return [
        *("--accuracy", accuracy_run(runs)),
        *("--performance", with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000)),
        *("--run", with_score(sampled(runs, "Offline"), tmp_path / "t", "Offline", 1000)),
    ]


def test_a_passed_test_is_told_and_its_folder_written(
    folders: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("verify", "--test", "TEST01", *V61, *folders, "--answer-type", "int64", "-o", tmp_path / "out")
    code, out, _ = call(capsys, *words)
    assert code == 0, out
    assert "TEST01 passed" in out
    made = tmp_path / "out" / "TEST01"
    assert "TEST PASS" in (made / "verify_accuracy.txt").read_text().splitlines()
    assert (made / "performance" / "run_1" / "mlperf_log_detail.txt").is_file()
    code, _, err = call(capsys, *words)
    assert code == 2
    assert "exists already" in err


def test_a_failed_test_says_by_how_much_and_what_to_do(
    runs: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(
        capsys,
        *("verify", "--test", "TEST04", *V61),
        *("--performance", with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000)),
        *("--run", with_score(repeated(runs, "Offline"), tmp_path / "t", "Offline", 1250)),
    )
    assert code == 1
    assert "25.0 % faster than the performance run (1250 samples per second against 1000 samples per second)" in out
    assert "10 % faster is allowed" in out
    assert "compliance_min_duration_ms" in out
    code, out, _ = call(
        capsys,
        *("verify", "--test", "TEST04", *V61, "--json"),
        *("--performance", tmp_path / "p", "--run", tmp_path / "t"),
    )
    told = json.loads(out)
    assert (code, told["passed"], told["official"]) == (1, False, None)
    assert told["texts"]["verify_performance.txt"].endswith("TEST FAIL\n")


def test_differing_answers_are_scored_by_a_label_file(
    runs: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(
        capsys,
        *("verify", "--test", "TEST01", *V61, "--answer-type", "int64", "--labels", label_file(tmp_path)),
        *("--accuracy", accuracy_run(runs)),
        *("--performance", with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000)),
        *("--run", with_score(sampled(runs, "Offline", 1), tmp_path / "t", "Offline", 1000)),
    )
    assert code == 0, out
    assert "1 of" in out  # what differs stands in verify_accuracy.txt although the scores are equal
    assert "acc is 50.000 in the test and 50.000 in the baseline" in out


# --- the official script beside it ------------------------------------------------------------------------------------

_SCRIPT = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1], "TEST01")
out.mkdir(parents=True)
(out / "verify_accuracy.txt").write_text("num_perf_log_data_mismatch = 1\\nTEST FAIL\\n")
(out / "verify_performance.txt").write_text("TEST {performance}\\n")
print("said by a script")
"""


def strict_checkout(folder: Path, *, performance: str) -> Path:
    """A checkout whose TEST01 finds answers that differ, as the official script does."""
    script = folder / "compliance" / "TEST01" / "run_verification.py"
    script.parent.mkdir(parents=True)
    script.write_text(_SCRIPT.format(performance=performance))
    return folder


@pytest.fixture
def scored(runs: Made, tmp_path: Path) -> list[str | Path]:
    """A TEST01 of which one answer differs, although the scores are equal."""
    return [
        *("verify", "--test", "TEST01", *V61, "--answer-type", "int64", "--labels", label_file(tmp_path)),
        *("--accuracy", accuracy_run(runs)),
        *("--performance", with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000)),
        *("--run", with_score(sampled(runs, "Offline", 1), tmp_path / "t", "Offline", 1000)),
    ]


def passes_beside(checkout: Path, scored: list[str | Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, *scored, "--official-checkout", checkout)
    assert code == 0, out
    assert "DISAGREES" not in out
    assert f"official script of {checkout}: not passed; the performance is, and answers that differ are left" in out
    code, out, _ = call(capsys, *scored, "--official-checkout", checkout, "--json")
    told = json.loads(out)
    assert (code, told["passed"], told["official"]["passed"], told["official"]["agrees"]) == (0, True, False, True)


def test_scores_decide_where_the_official_script_finds_answers_that_differ(
    scored: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passes_beside(strict_checkout(tmp_path / "inference", performance="PASS"), scored, capsys)


@needs_checkout
def test_the_real_official_script_does_not_disagree_where_scores_decide(
    scored: list[str | Path], capsys: pytest.CaptureFixture[str]
) -> None:
    passes_beside(Path(str(CHECKOUT)), scored, capsys)


def test_another_word_on_the_performance_is_a_disagreement_also_where_scores_decide(
    scored: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = strict_checkout(tmp_path / "inference", performance="FAIL")
    code, out, _ = call(capsys, *scored, "--official-checkout", checkout)
    assert code == 1
    assert "TEST01 passed" in out
    assert f"official script of {checkout} DISAGREES: not passed. It said:\nsaid by a script\n" in out
    code, out, _ = call(capsys, *scored, "--official-checkout", checkout, "--json")
    assert (code, json.loads(out)["official"]["agrees"]) == (1, False)


def test_our_verdict_is_shown_although_the_official_script_cannot_be_run(
    scored: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inference").mkdir()
    code, out, err = call(capsys, *scored, "--official-checkout", tmp_path / "inference")
    assert code == 5
    assert "TEST01 passed" in out
    assert "has no compliance/TEST01/run_verification.py" in err
    code, out, _ = call(capsys, *scored, "--official-checkout", tmp_path / "inference", "--json")
    report = json.loads(out)
    assert (code, report["passed"], report["official"]) == (5, True, None)
    assert "has no compliance/TEST01/run_verification.py" in report["official_note"]


# --- imported attempts ------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor(tmp_path: Path, real_logs: RealLogs) -> Vendor:
    made = Vendor(tmp_path, real_logs)
    made.map["division"] = "closed"
    made.map["systems"][0]["system_type"] = "datacenter,edge"
    return made


def imported(vendor: Vendor, benchmark: str, folders: dict[str, Path], **more: object) -> dict[str, Path]:
    """Import runs of a benchmark, and return their attempts."""
    entry = {"system": "box", "benchmark": benchmark, "scenario": "Offline", **more}
    for mode, source in folders.items():
        shutil.copytree(source, vendor.base / mode, dirs_exist_ok=True)
    vendor.map["results"] = [{**entry, "folders": {mode: mode for mode in folders}}]
    told = {one.key.rpartition("/")[2]: one for one in vendor.bring()}
    assert {one.state for one in told.values()} == {"imported"}, told
    return {mode: vendor.run / told[mode].path for mode in folders}


@pytest.mark.parametrize(
    ("given", "exit_code", "says"),
    [
        ((), 1, "ends with more than one token 128009"),
        (("--eos-token-id", "2"), 0, "TEST06 passed"),  # what the user says counts
    ],
)
def test_test06_of_an_import_is_judged_with_the_end_token_of_its_map(
    runs: Made,
    vendor: Vendor,
    given: tuple[str, ...],
    exit_code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = [int32s(*range(5, 11 + index % 3), 128009, 128009) for index in range(SAMPLES)]
    counts = [len(text) // 8 for text in answers]
    conf = ("performance_sample_count_override = 120",)
    sut = Sut("Offline", model="llama3_1-8b", answers=answers, sleep_ms=0, counts=counts, more_conf=conf)
    tested = runs.get("TEST06-llama3", lambda: sut, audit("TEST06", "llama3.1-8b"))
    attempt = imported(vendor, "llama3.1-8b", {"TEST06": tested}, eos_token_id=128009)["TEST06"]
    words = ("verify", "--test", "TEST06", "--round", "v6.1", "--benchmark", "llama3.1-8b", "--run", attempt)
    code, out, _ = call(capsys, *words, *given)
    assert code == exit_code, out
    assert says in out


def acc(good: int) -> str:
    return f"accuracy={good:.3f}%, good={good}, total=100\n"


@pytest.fixture
def differing(runs: Made, vendor: Vendor, tmp_path: Path) -> list[str | Path]:
    """An imported TEST01 of which one answer differs, with the scores of its maker: equal ones."""
    folders = {
        "accuracy": accuracy_run(runs),
        "performance": with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000),
        "TEST01": with_score(sampled(runs, "Offline", 1), tmp_path / "t", "Offline", 1000),
    }
    (vendor.base / "TEST01").mkdir()
    for name in ("baseline_accuracy.txt", "compliance_accuracy.txt"):
        (vendor.base / "TEST01" / name).write_text(acc(76))
    (vendor.base / "accuracy").mkdir()
    (vendor.base / "accuracy/accuracy.txt").write_text(acc(76))
    attempts = imported(vendor, "resnet50", folders, answer_type="int64")
    named = {"--accuracy": "accuracy", "--performance": "performance", "--run": "TEST01"}
    words = [word for option, mode in named.items() for word in (option, attempts[mode])]
    return ["verify", "--test", "TEST01", *V61, *words]


def test_an_imported_test_is_judged_by_the_scores_of_its_maker(
    differing: list[str | Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, *differing)
    assert code == 0, out
    assert "acc is 76.000 in the test and 76.000 in the baseline" in out


def test_scores_that_the_user_gives_go_before_those_of_an_imports_maker(
    differing: list[str | Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "scores.txt"
    text.write_text(acc(70))
    code, out, _ = call(capsys, *differing, "--compliance-text", text)
    assert code == 1
    assert "acc is 70.000 in the test and 76.000 in the baseline" in out
    code, out, _ = call(capsys, *differing, "--baseline-text", text)
    assert code == 1
    assert "acc is 76.000 in the test and 70.000 in the baseline" in out
    code, out, _ = call(capsys, *differing, "--labels", label_file(tmp_path))
    assert code == 0
    assert "acc is 50.000 in the test and 50.000 in the baseline" in out


# --- more -------------------------------------------------------------------------------------------------------------


def test_the_baseline_can_be_written_for_the_benchmarks_own_script(
    runs: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("baseline", "--accuracy", accuracy_run(runs), "--run", sampled(runs, "Offline"), "-o", tmp_path / "b.json")
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert f"{len(json.loads((tmp_path / 'b.json').read_text()))} answers" in out
    code, _, err = call(capsys, *words)
    assert code == 2
    assert "nothing is overwritten" in err


@pytest.mark.parametrize(
    ("change", "exit_code", "says"),
    [
        (("--test", "TEST1"), 2, "--test: unknown compliance test 'TEST1'"),
        (("--test", "TEST05"), 2, "is no test of round v6.1"),
        (("--test", "TEST06"), 2, "asks resnet for TEST01, TEST04, not for TEST06"),
        (("--benchmark", "bert-98"), 2, "did you mean 'bert-99'"),
        (("--round", "v9"), 2, "unknown round 'v9'"),
        (("--run", "/nowhere"), 2, "--run: /nowhere is not a folder"),
        (("--answer-type", "int65"), 2, "did you mean 'int64'"),
        (("--scenario", "Ofline"), 2, "did you mean 'Offline'"),
        (("--labels", "/nowhere"), 2, "the label file /nowhere is missing"),
        (("--official-checkout", "/nowhere"), 5, "has no compliance/TEST01/run_verification.py"),
    ],
)
def test_a_mistake_is_one_sentence(
    folders: list[str | Path],
    change: tuple[str, str],
    exit_code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["verify", "--test", "TEST01", *V61, *folders, *change]  # the last word of an option counts
    code, out, err = call(capsys, *words)
    assert (code, says in err) == (exit_code, True), out + err
    assert err.count("\n") == 1


def test_a_run_that_is_needed_and_not_given_is_named(runs: Made, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "verify", "--test", "TEST04", *V61, "--run", repeated(runs, "Offline"))
    assert code == 3
    assert "TEST04 is compared with the performance run, and none was given" in err


def test_the_audit_config_and_the_list_of_tests_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "audit", "--test", "TEST01", "--round", "v6.1", "--benchmark", "3d-unet-99")
    assert (code, out.splitlines()[-1]) == (0, "*.*.accuracy_log_sampling_target = 64")
    code, out, _ = call(capsys, "list", "--round", "v6.1")
    assert code == 0
    assert "TEST08" in out
    assert "query by query" in " ".join(out.split())
    code, out, _ = call(capsys, "list", "--round", "v6.1", "--benchmark", "resnet50", "--json")
    assert [one["test"] for one in json.loads(out)["tests"]] == ["TEST01", "TEST04"]
