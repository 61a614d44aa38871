"""A measured cell of the harness on this machine: real LoadGen, a simulated daemon, and client and server by a double.

The same by the official software where MLPERF_POWER_DEV_CHECKOUT and MLPERF_POWER_PYTHON are given. Root is needed:
power-dev asks the time on UDP port 123 and no other.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import read_json, sha256_file, write_json
from mlperf_ops.harness.supervisor import new_attempt, run_cell
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import PowerRequest, Result, Spec
from mlperf_ops.power_check import check_measurement, measurement_of, read_measurement
from mlperf_ops.power_check.official import power_checker, run_power_checker
from mlperf_ops.typed import dump
from tests.power_sim.flow import DOUBLE, free_port, serving
from tests.power_sim.sntp import responder
from tests.support.images import ImageFolder, make_images
from tests.support.specs import make_spec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may answer on UDP port 123"),
]
ROUND = load_catalogue().round("v6.1")
OFFICIAL = Path(os.environ.get("MLPERF_POWER_DEV_CHECKOUT", "/nonexistent")) / "ptd_client_server"
PYTHON = os.environ.get("MLPERF_POWER_PYTHON", "")
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
_DURATION = "effective_min_duration_ms"
needs_official = pytest.mark.skipif(
    not (OFFICIAL.is_dir() and PYTHON),
    reason="MLPERF_POWER_DEV_CHECKOUT and MLPERF_POWER_PYTHON (3.7 to 3.12) are needed",
)


@pytest.fixture(scope="module", autouse=True)
def time_server() -> Iterator[None]:
    with responder():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return make_images(tmp_path_factory.mktemp("imagenet"), 12)


def measured_spec(images: ImageFolder, *, ranging_s: int = 4, testing_s: int = 6, **changes: Any) -> Spec:  # noqa: ANN401  # fields of Spec
    """Make a cell whose ranging and testing last so long."""
    spec = make_spec(images, None, "SingleStream", accuracy=False, **changes)

    def conf(seconds: int) -> str:
        lines = {"min_query_count": 10, "min_duration": seconds * 1000, "target_latency": 20}
        return "".join(f"resnet50.SingleStream.{key} = {value}\n" for key, value in lines.items())

    expect = {**spec.loadgen.expect, _DURATION: testing_s * 1000}
    loadgen = dataclasses.replace(spec.loadgen, user_conf=conf(testing_s), expect=expect)
    power = PowerRequest("wt310", conf(ranging_s), {**expect, _DURATION: ranging_s * 1000})
    return dataclasses.replace(spec, argv=(*spec.argv, "--oracle-ms", "20"), loadgen=loadgen, power=power)


def home_of(folder: Path, software: Path, python: str, port: int, **changes: Any) -> Path:  # noqa: ANN401  # any JSON
    """Write state/power.json as role power_sut does."""
    state = {
        "schema": 1,
        "python": {"path": python, "version": "3"},
        "software": {"path": str(software.parent), "sha256": "0" * 64, "commit": "c" * 40},
        "ntp_server": "127.0.0.1",
        "clock_limit_ms": 100,
        "server": {"address": "127.0.0.1", "port": port},
        "measured": {"instance": "wt310"},
        **changes,
    }
    (folder / "state").mkdir(parents=True)
    write_json(folder / "state" / "power.json", state)
    return folder


def run(spec: Spec, folder: Path, home: Path) -> tuple[Path, Result]:
    attempt = new_attempt(folder / "attempts")
    return attempt, run_cell(spec, attempt, request_sha256="x", home=home)


def assert_whole(attempt: Path, result: Result) -> None:
    assert result.failure is None, (result.failure, (attempt / "console.log").read_text())
    assert result.verdict == "valid", result.reasons
    assert measurement_of(attempt) == attempt
    listed: Any = read_json(attempt / "manifest.json")["files"]
    logs = ["mlperf_log_detail.txt", "mlperf_log_summary.txt", "spl.txt"]
    for folder, names in {
        "power": ["client.json", "client.log", "ptd_logs.txt", "server.json", "server.log"],
        "ranging": logs,
        "run_1": logs,
    }.items():
        assert sorted(path.name for path in (attempt / folder).iterdir()) == names
        for name in names:
            assert listed[f"{folder}/{name}"] == sha256_file(attempt / folder / name)
    for name in logs[:2]:  # power and performance are of one run
        assert listed[f"run_1/{name}"] == listed[name]
    assert {"user.conf", "ranging_user.conf", "ptd_out.txt", "console.log"} <= set(listed)
    assert not (attempt / "loadgen").exists()
    durations = [
        read_detail(attempt / name / "mlperf_log_detail.txt", frozenset({_DURATION})).values[_DURATION]
        for name in ("ranging", "run_1")
    ]
    assert durations == [4000, 6000]


def test_a_measured_cell_of_the_double_is_whole(tmp_path: Path, images: ImageFolder) -> None:
    with serving(tmp_path / "director") as server:
        home = home_of(tmp_path / "home", DOUBLE, sys.executable, server.port)
        attempt, result = run(measured_spec(images), tmp_path, home)
        assert server.process.wait(timeout=20) == 0  # nobody has to stop it
    assert_whole(attempt, result)
    assert result.effective["power"] == {"instance": "wt310", "commit": "c" * 40}
    found = {one.subject for one in check_measurement(read_measurement(attempt), ROUND)}
    assert found == {"simulated", "sources", "duration"}


@needs_official
def test_a_measured_cell_of_the_official_software_is_whole_and_passes(tmp_path: Path, images: ImageFolder) -> None:
    with serving(tmp_path / "director", software=OFFICIAL, python=PYTHON) as server:
        home = home_of(tmp_path / "home", OFFICIAL, PYTHON, server.port)
        attempt, result = run(measured_spec(images), tmp_path, home)
        server.process.wait(timeout=60)
    assert_whole(attempt, result)
    found = {one.subject for one in check_measurement(read_measurement(attempt), ROUND)}
    assert found == {"simulated", "duration"}
    if CHECKOUT:
        told = run_power_checker(power_checker(Path(CHECKOUT)), attempt)
        assert (told.accepted, len(told.checks), all(one.passed for one in told.checks)) == (True, 11, True), told


def failed(tmp_path: Path, spec: Spec, home: Path) -> tuple[str, str]:
    attempt, result = run(spec, tmp_path, home)
    assert result.verdict == "failed"
    assert result.failure is not None
    assert (attempt / "result.json").is_file()
    return result.failure.kind, result.failure.message


def test_a_host_that_nobody_prepared_says_so(tmp_path: Path, images: ImageFolder) -> None:
    (tmp_path / "home").mkdir()
    kind, said = failed(tmp_path, measured_spec(images), tmp_path / "home")
    assert (kind, said) == ("power_not_prepared", "this host has no client to measure power with")


def test_a_host_that_was_prepared_for_another_analyzer_says_so(tmp_path: Path, images: ImageFolder) -> None:
    home = home_of(tmp_path / "home", DOUBLE, sys.executable, 1, measured={"instance": "wt333:2"})
    kind, said = failed(tmp_path, measured_spec(images), home)
    assert kind == "power_not_prepared"
    assert said.endswith("to be measured by wt333:2, the plan says wt310")


def test_a_time_server_that_does_not_answer_is_told_before_anything_runs(tmp_path: Path, images: ImageFolder) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.9", 123))
        home = home_of(tmp_path / "home", DOUBLE, sys.executable, 1, ntp_server="127.0.0.9")
        kind, said = failed(tmp_path, measured_spec(images), home)
    assert kind == "power_clock"
    assert said.startswith("time server 127.0.0.9: does not answer; ")


def test_a_server_that_is_not_there_is_a_sentence(tmp_path: Path, images: ImageFolder) -> None:
    port = free_port()
    home = home_of(tmp_path / "home", DOUBLE, sys.executable, port)
    kind, said = failed(tmp_path, measured_spec(images), home)
    assert kind == "power_server"
    assert f"Could not connect to the server 127.0.0.1:{port}" in said


def test_a_workload_that_fails_in_ranging_says_why_and_leaves_its_server_to_end(
    tmp_path: Path, images: ImageFolder
) -> None:
    spec = measured_spec(images)
    wrong = dataclasses.replace(spec, dataset=dataclasses.replace(spec.dataset, label_file="/nonexistent/labels.txt"))
    with serving(tmp_path / "director") as server:
        home = home_of(tmp_path / "home", DOUBLE, sys.executable, server.port)
        kind, said = failed(tmp_path, wrong, home)
        server.process.wait(timeout=30)
    assert kind not in {"power_client", "crash"}
    assert "/nonexistent/labels.txt" in said


def test_ranging_with_other_settings_ends_the_cell_before_testing(tmp_path: Path, images: ImageFolder) -> None:
    spec = measured_spec(images)
    assert spec.power is not None
    other = dataclasses.replace(spec.power, ranging_expect={**spec.power.ranging_expect, _DURATION: 300_000})
    with serving(tmp_path / "director") as server:
        home = home_of(tmp_path / "home", DOUBLE, sys.executable, server.port)
        attempt, result = run(dataclasses.replace(spec, power=other), tmp_path, home)
        server.process.wait(timeout=30)
    assert result.failure is not None
    assert result.failure.kind == "settings_mismatch"
    assert "effective_min_duration_ms is 4000, expected 300000" in result.failure.message
    assert not (attempt / "run_1").exists()


def test_a_spec_without_power_is_what_it_was(images: ImageFolder) -> None:
    spec = measured_spec(images)
    assert "power" not in dump(dataclasses.replace(spec, power=None))
    assert dataclasses.replace(spec, power=None).sha256 != spec.sha256


def test_what_a_killed_attempt_has_left_is_kept(tmp_path: Path, images: ImageFolder) -> None:
    with serving(tmp_path / "director", knobs={"killed_after": 1}) as server:
        home = home_of(tmp_path / "home", DOUBLE, sys.executable, server.port)
        attempt, result = run(measured_spec(images), tmp_path, home)
    assert result.verdict == "failed"
    listed: Any = read_json(attempt / "manifest.json")["files"]
    assert "ranging/mlperf_log_detail.txt" in listed
