"""Results of a real host whose cable is cut in the middle of a fetch: it goes on by itself, with the very same file."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mlperf_ops.files import Json, sha256_file
from tests.lab import Host, Lab
from tests.support.controllers import Controller

pytestmark = [pytest.mark.lab, pytest.mark.network]

_LARGE = "mlperf_log_accuracy.json"
_LARGE_BYTES = 160 << 20
_CUT_SECONDS = 30.0  # ssh gives up after 6 s here
_CELL: Json = {"benchmark": "efficientnet-lite0", "scenarios": ["Offline"], "modes": ["performance"]}


@dataclass(frozen=True, slots=True)
class Measured:
    """A host whose only cell has run, with a large log, and a controller that has nothing of it."""

    controller: Controller
    host: Host
    attempt: Path

    @property
    def place(self) -> Path:
        cell = self.attempt.relative_to(self.host.root / "home/ops/mlperf/runs/lab" / self.host.name)
        return self.controller.run / "hosts" / self.host.name / cell

    @property
    def large(self) -> Path:
        return self.place.with_name(f".{self.place.name}.partial") / _LARGE


@pytest.fixture(scope="module")
def measured(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    host = lab.fresh()
    controller = Controller(lab, tmp_path_factory.mktemp("collect"), [host], "lab", mlperf_benchmarks=[_CELL])
    played = controller.play("run-inference.yml", "--tags", "validate,provision,run")
    assert played.exit_code == 0, played.output
    (attempt,) = (host.root / "home/ops/mlperf").glob("runs/lab/*/*/*/*/*/attempt_1")
    made = Measured(controller, host, attempt)
    assert (made.place / "result.json").is_file()  # it came with the end of its cell
    assert f'"{made.place.name}"' in (made.place.parents[4] / "cells.json").read_text()
    (attempt / _LARGE).write_bytes(np.random.default_rng(1).bytes(_LARGE_BYTES))
    manifest = json.loads((attempt / "manifest.json").read_text())
    manifest["files"][_LARGE] = sha256_file(attempt / _LARGE)
    (attempt / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(made.place.parents[4])
    yield made
    host.heal()
    lab.remove(host)


def test_a_cable_that_is_cut_in_a_fetch_costs_its_time_and_no_byte_comes_twice(measured: Measured) -> None:
    play = measured.controller.start("playbooks/collect.yml")
    deadline = time.monotonic() + 120
    while not measured.large.exists() or measured.large.stat().st_size < 16 << 20:
        assert play.process.poll() is None, play.log.read_text()
        assert time.monotonic() < deadline, play.log.read_text()
        time.sleep(0.01)
    measured.host.cut()
    began = measured.large.stat()
    assert began.st_size < _LARGE_BYTES
    time.sleep(_CUT_SECONDS)
    assert play.process.poll() is None, play.log.read_text()
    assert not measured.place.exists()
    measured.host.heal()
    played = play.end()
    assert played.exit_code == 0, played.output
    here = measured.place / _LARGE
    assert here.stat().st_ino == began.st_ino  # continued, not begun anew
    assert sha256_file(here) == sha256_file(measured.attempt / _LARGE)
