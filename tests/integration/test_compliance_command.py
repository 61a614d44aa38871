"""`mlperf-ops compliance` as a user calls it, on logs of real LoadGen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlperf_ops.cli import main
from tests.integration.test_compliance_verify import (
    Made,
    accuracy_run,
    label_file,
    repeated,
    runs,
    sampled,
    speed,
    with_score,
)

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
