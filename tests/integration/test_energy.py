"""Unofficial energy of a cell under real LoadGen: the readings, the sum over LoadGen's window, and where they go.

The sources are simulated (a program that prints watts, a powercap tree); everything else is real.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from mlperf_ops.files import Json, JsonObject, read_json, sha256_file, sha256_json, write_json
from mlperf_ops.harness.energy.model import SourceSettings
from mlperf_ops.harness.supervisor import new_attempt, run_cell
from mlperf_ops.model import Result
from tests.support.energy import make_powercap, program
from tests.support.images import ImageFolder, make_images, write_colour_model
from tests.support.playbooks import CHECKOUT, local_inventory, play
from tests.support.specs import LoadgenScenario, make_spec, provision_of, request_of

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return make_images(tmp_path_factory.mktemp("imagenet"), 12)


def power_meter(folder: Path) -> SourceSettings:
    """A program whose readings rise: 100 W, 101 W, … so that a wrong window gives a wrong mean."""
    script = f'n=$(cat "{folder}/n" 2>/dev/null || echo 100); echo $((n + 1)) > "{folder}/n"; echo "$n"'
    return SourceSettings("command", "meter", sample_seconds=0.1, argv=(str(program(folder, "meter", script)),))


def run(
    images: ImageFolder,
    folder: Path,
    scenario: LoadgenScenario,
    *,
    sources: list[SourceSettings],
    **more: Any,  # noqa: ANN401  # fields of Spec
) -> tuple[Result, Path]:
    """Run a performance cell beside these sources."""
    spec = make_spec(images, write_colour_model(folder / "m.onnx"), scenario, **{"accuracy": False, **more})
    attempt = new_attempt(folder / "cell")
    return run_cell(spec, attempt, request_sha256="request", energy_sources=sources), attempt


def detail(attempt: Path) -> dict[str, Any]:
    """LoadGen's detail log, read without the product's own reader."""
    lines = (attempt / "mlperf_log_detail.txt").read_text().splitlines()
    entries = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith(":::MLLOG")]
    return {entry["key"]: entry["value"] for entry in entries}


def utc(text: str) -> float:
    return datetime.strptime(text, "%m-%d-%Y %H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()


def test_the_energy_of_a_cell_is_what_its_csv_gives_by_hand(images: ImageFolder, tmp_path: Path) -> None:
    # Long enough for some readings whatever the machine does: the model answers a query in well under a millisecond.
    result, attempt = run(images, tmp_path, "SingleStream", queries=20_000, sources=[power_meter(tmp_path / "bin")])
    assert result.failure is None, result.failure
    log = detail(attempt)
    begin, end = utc(log["power_begin"]), utc(log["power_end"])
    with (attempt / "energy_meter.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["watts"] for line in lines[:3]] == ["100", "101", "102"]
    at = [datetime.strptime(line["t_utc"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() for line in lines]
    inside = [float(line["watts"]) for line, time_ in zip(lines, at, strict=True) if begin < time_ < end]
    assert 3 <= len(inside) < len(lines)  # the model was loaded before the window
    average = sum(inside) / len(inside)
    told = json.loads((attempt / "energy.json").read_text())
    source = told["sources"][0]
    assert source["problem"] is None
    assert source["average_watts"] == pytest.approx(average, rel=1e-12)
    assert source["joules"] == pytest.approx(average * (end - begin), rel=1e-9)
    assert source["joules_per_query"] == pytest.approx(average * (end - begin) / 20_000, rel=1e-9)
    assert source["domains"][0]["readings_in_window"] == len(inside)
    manifest = read_json(attempt / "manifest.json")["files"]
    assert isinstance(manifest, dict)
    assert {name: manifest[name] for name in ("energy.json", "energy_meter.csv")} == {
        name: sha256_file(attempt / name) for name in ("energy.json", "energy_meter.csv")
    }
    assert not [name for name in ("result.json", "spec.json") if "energy_meter" in (attempt / name).read_text()]


def test_a_counter_is_summed_over_the_window_alone_with_a_simulated_powercap_tree(
    images: ImageFolder, tmp_path: Path
) -> None:
    tree = make_powercap(tmp_path / "powercap", dram=False)
    counter, ended = tree / "intel-rapl:0" / "energy_uj", threading.Event()
    began = time.time()

    def turn() -> None:
        while not ended.wait(0.02):  # 40 W; the rename is whole at any moment
            new = counter.with_name("new")
            new.write_text(f"{round((time.time() - began) * 40e6)}\n")
            new.replace(counter)

    thread = threading.Thread(target=turn)
    thread.start()
    source = SourceSettings("rapl", "rapl", sample_seconds=0.1, powercap=str(tree))
    try:
        result, attempt = run(images, tmp_path, "Offline", queries=20_000, sources=[source])
    finally:
        ended.set()
        thread.join()
    assert result.failure is None, result.failure
    told = json.loads((attempt / "energy.json").read_text())
    log = detail(attempt)
    seconds = utc(log["power_end"]) - utc(log["power_begin"])
    assert told["sources"][0]["problem"] is None
    assert told["sources"][0]["joules"] == pytest.approx(40 * seconds, rel=0.25, abs=4)
    assert [one["domain"] for one in told["sources"][0]["domains"] if one["counted"]] == ["package-0"]


def test_no_source_can_fail_a_cell(images: ImageFolder, tmp_path: Path) -> None:
    sources = [
        SourceSettings("rapl", "rapl", powercap=str(tmp_path / "none")),
        SourceSettings("command", "gone", argv=("/none/meter",)),
        SourceSettings("redfish", "redfish", url="https://127.0.0.1:9", timeout_seconds=1.0),
    ]
    result, attempt = run(images, tmp_path, "Offline", sources=sources)
    assert result.failure is None, result.failure
    told = {one["name"]: one["problem"] for one in json.loads((attempt / "energy.json").read_text())["sources"]}
    assert told["rapl"].endswith("has no RAPL zone: a virtual machine, or the module intel_rapl_msr is not loaded")
    assert told["gone"] == "cannot start /none/meter: No such file or directory"
    assert told["redfish"] == "no answer: Connection refused"


def test_a_failed_cell_keeps_its_readings(images: ImageFolder, tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import time; time.sleep(0.5); raise SystemExit(3)")
    result, attempt = run(images, tmp_path, "Offline", argv=argv, sources=[power_meter(tmp_path / "bin")])
    assert result.verdict == "failed"
    told = json.loads((attempt / "energy.json").read_text())["sources"][0]
    assert told["problem"] == "LoadGen's log states no power_begin and power_end"
    assert "100,,meter,value0" in (attempt / "energy_meter.csv").read_text()


def test_accuracy_cells_and_cells_without_sources_have_none(images: ImageFolder, tmp_path: Path) -> None:
    meter = power_meter(tmp_path / "bin")
    _, accuracy = run(images, tmp_path, "Offline", accuracy=True, sources=[meter])
    _, plain = run(images, tmp_path, "Offline", sources=[])
    assert not list(accuracy.glob("energy*"))
    assert not list(plain.glob("energy*"))


def ask(home: Path, verb: str, question: JsonObject) -> JsonObject:
    """Ask the host's agent, in a process of its own as always."""
    argv = [sys.executable, "-m", "mlperf_ops.harness.agent", verb, "--home", str(home)]
    done = subprocess.run(argv, input=json.dumps(question), capture_output=True, text=True, check=True)
    answer: JsonObject = json.loads(done.stdout)
    return answer


def test_the_agent_hands_the_sources_on_and_they_are_no_part_of_the_spec(images: ImageFolder, tmp_path: Path) -> None:
    spec = make_spec(images, write_colour_model(tmp_path / "m.onnx"), accuracy=False)
    home = tmp_path / "home"
    write_json(home / "state" / "provision.json", provision_of(spec, sys.executable))
    request = request_of(spec)
    cell: Json = {"key": spec.cell.key, "request": request, "request_sha256": sha256_json(request)}
    meter = str(program(tmp_path / "bin", "meter", "echo 5"))
    source: Json = {"kind": "command", "name": "meter", "argv": [meter], "sample_seconds": 0.1}
    started = ask(home, "start", {"run_id": "r", "cell": cell, "unofficial_energy": [source]})
    deadline = time.monotonic() + 60
    while ask(home, "poll", {"path": started["path"]})["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (home / str(started["path"]) / "energy_meter.csv").is_file()
    (told,) = cast("list[JsonObject]", ask(home, "status", {"run_id": "r", "cells": [cell]})["cells"])
    assert told["state"] == "good"
    assert told["spec_sha256"] == started["spec_sha256"]


@pytest.mark.network
def test_a_play_brings_the_readings_home_and_no_submission_takes_them(tmp_path: Path) -> None:
    meter = str(program(tmp_path / "bin", "meter", "echo 123"))
    source: Json = {"kind": "command", "name": "meter", "argv": [meter], "sample_seconds": 0.2}
    benchmarks: list[Json] = [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}]
    inventory = local_inventory(
        tmp_path / "mini",
        tmp_path / "home",
        benchmarks=benchmarks,
        unofficial_energy={"sources": [source, "rapl"]},
    )
    played = play(str(CHECKOUT / "run-inference.yml"), inventory, tmp_path)
    assert played.exit_code == 0, played.output
    results = tmp_path / "results" / "mini"
    (readings,) = results.glob("hosts/localhost/*/Offline/performance/*/attempt_1/energy_meter.csv")
    told = json.loads(readings.with_name("energy.json").read_text())
    assert [one["name"] for one in told["sources"]] == ["meter", "rapl"]
    assert told["sources"][0]["average_watts"] == 123.0
    assert (results / "submission").is_dir()
    assert not [path for path in (results / "submission").rglob("*") if "energy" in path.name]
    in_tree = [path for path in (results / "submission").rglob("*") if path.is_file()]
    assert not [path for path in in_tree if b"energy_meter" in path.read_bytes()]
