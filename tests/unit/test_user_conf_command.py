"""`mlperf-ops user-conf`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlperf_ops.cli import main


def user_conf(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["user-conf", *map(str, words)])
    return int(caught.value.code or 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "user.conf"
    path.write_text("resnet50.Offline.target_qps = 100\nresnet50.Offline.target_qsp = 100\n")
    return path


def test_findings_are_lines_on_stdout_and_exit_code_1(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert user_conf("lint", file, "--round", "v6.1", "--division", "closed") == 1
    shown = capsys.readouterr()
    assert shown.out == (
        f"{file}:2: no effect: LoadGen knows no key 'target_qsp' (did you mean 'target_qps'?) [unknown-key]\n"
    )
    assert shown.err == "mlperf-ops: 1 finding for round v6.1, closed division\n"


def test_json_is_one_object(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert user_conf("lint", file, "--round", "v6.1", "--division", "closed", "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["line"], found["rule"], found["severity"]) == (2, "unknown-key", "no effect")


def test_a_good_file_is_exit_code_0_also_from_standard_input(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("resnet50.Offline.target_qps = 100\n")
    options = ("--round", "v6.1", "--division", "closed", "--benchmark", "resnet", "--scenario", "Offline")
    assert user_conf("lint", file, *options) == 0
    assert capsys.readouterr().err == "mlperf-ops: no findings for round v6.1, closed division\n"
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert user_conf("lint", "-", *options) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lint", "nowhere.conf", "--round", "v6.1", "--division", "closed"], "nowhere.conf: No such file"),
        (["lint", ".", "--round", "v6.1", "--division", "closed"], ".: Is a directory"),
        (["lint", "-", "--round", "v6.2", "--division", "closed"], "unknown round 'v6.2'"),
        (["lint", "-", "--round", "v4.1", "--division", "closed"], "round v4.1 can only be looked up"),
        (["lint", "-", "--round", "v6.1", "--division", "closed", "--benchmark", "rnnt"], "and whisper took its place"),
        (["render", "resnet51", "Offline", "--round", "v6.1", "--division", "open"], "did you mean 'resnet50'?"),
        (
            ["render", "resnet50", "Interactive", "--round", "v6.1", "--division", "open"],
            "knows no Interactive scenario for resnet; it has SingleStream, MultiStream, Server, Offline",
        ),
        (
            ["render", "whisper", "Server", "--round", "v6.1", "--division", "closed"],
            "round v6.1 has no Server scenario of whisper in the closed division; it has Offline",
        ),
        (
            ["lint", "-", "--round", "v6.1", "--division", "closed", "--benchmark=whisper", "--scenario=Server"],
            "round v6.1 has no Server scenario of whisper in the closed division; it has Offline",
        ),
        (
            ["render", "resnet50", "Offline", "--round", "v6.1", "--division", "open", "--set", "x"],
            "expected key=value",
        ),
        (
            ["render", "resnet50", "Server", "--round", "v6.1", "--division", "closed", "--set", "target_latency=1"],
            "--set: user.conf key 'target_latency' is not allowed for Server in the closed division",
        ),
        (
            ["render", "resnet50", "Server", "--round", "v5.1", "--division", "closed", "--test", "TEST09"],
            "unknown compliance test of round v5.1 'TEST09'; expected one of TEST01, TEST04, TEST06",
        ),
        (
            ["render", "bert-99", "Offline", "--round", "v6.1", "--division", "closed", "--test", "TEST04"],
            "--test: round v6.1 asks bert-99 for TEST01, not for TEST04",
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert user_conf(*words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("style", ["valid", "fast", "test"])
@pytest.mark.parametrize(
    ("scenario", "unit"),
    [
        ("SingleStream", "milliseconds per query"),
        ("MultiStream", "milliseconds per query"),
        ("Server", "samples per second"),
        ("Offline", "samples per second"),
    ],
)
@pytest.mark.parametrize(
    ("measured", "expected", "found"),
    [
        ("0", "a number above 0", "0"),
        ("-3", "a number above 0", "-3"),
        ("-inf", "a number above 0", "-inf"),
        ("nan", "a finite number above 0", "nan"),
        ("inf", "a finite number above 0", "inf"),
        ("1e-300", "a number above 0", "1e-300"),  # without an exponent it would be written as 0
        ("1e308", "a number above 0 and below 18446744073709551616", "1e+308"),
    ],
)
def test_a_measured_speed_that_can_be_no_target_is_refused(
    measured: str, expected: str, found: str, scenario: str, unit: str, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--round", "v6.1", "--division", "closed", "--style", style)
    assert user_conf("render", "resnet50", scenario, *common, f"--measured={measured}") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    said = f"--measured: expected {expected}, found {found} ({unit} of an earlier run)"
    assert shown.err == f"mlperf-ops: error: {said}\n"


@pytest.mark.parametrize(
    ("scenario", "measured", "line"),
    [
        ("Offline", "0.001", "resnet50.Offline.target_qps = 0.00101"),
        ("SingleStream", "0.25", "resnet50.SingleStream.target_latency = 0.1"),
    ],
)
def test_a_small_measured_speed_is_a_target(
    scenario: str, measured: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("--round", "v6.1", "--division", "closed")
    assert user_conf("render", "resnet50", scenario, *common, f"--measured={measured}") == 0
    assert capsys.readouterr().out.splitlines()[0] == line


def test_a_file_that_is_no_text_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(b"# \xff\n")
    assert user_conf("lint", file, "--round", "v6.1", "--division", "closed") == 2
    assert f"{file}: not UTF-8 text (byte 2)" in capsys.readouterr().err


def test_render_prints_the_file_and_json_what_the_log_has_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["render", "llama2-70b", "Interactive", "--round", "v6.1", "--division", "closed", "--set", "target_qps=2"]
    assert user_conf(*words) == 0
    assert capsys.readouterr().out == "llama2-70b-interactive.Server.target_qps = 2\n"
    assert user_conf(*words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["expect"]["requested_server_ttft_latency"] == 450_000_000
    assert (shown["conf_model"], shown["scenario"]) == ("llama2-70b-interactive", "Server")


def test_render_says_where_a_target_is_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_conf("render", "resnet50", "Offline", "--round", "v6.1", "--division", "open") == 0
    shown = capsys.readouterr()
    assert shown.out == "resnet50.Offline.target_qps = 1\n"
    assert "no target is known" in shown.err


def test_a_compliance_run_and_a_ranging_run_are_rendered_too(capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--round", "v6.1", "--division", "open", "--set", "target_qps=200"]
    assert user_conf("render", "resnet50", "Server", *common, "--test", "TEST01") == 0
    assert capsys.readouterr().out == "resnet50.Server.target_qps = 192.0\n"
    assert user_conf("render", "resnet50", "Offline", *common, "--ranging") == 0
    assert "resnet50.Offline.max_query_count = 60000\n" in capsys.readouterr().out
