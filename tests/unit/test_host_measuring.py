"""Who measures on a host, as the modules and the doctor's probe tell it from a process that holds the lock."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.doctor import probe
from tests.support.plugins import plugin

host_measuring = plugin("module_utils.host_measuring")
host_provision = plugin("module_utils.host_provision")
host_store = plugin("module_utils.host_store")

CELL = "sut1/resnet50/Offline/performance"
_HOLD = """
import fcntl, sys
stream = open(sys.argv[1], "a+")
fcntl.flock(stream, fcntl.LOCK_EX)
input(print(flush=True))
"""


@contextlib.contextmanager
def measured(home: Path, *, run_id: str = "lab", module: str = "mlperf_ops.harness") -> Iterator[None]:
    """Hold the host's lock as a supervisor does: its command line names the attempt, the lock names cell and pid."""
    lock = home / "runs" / ".lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    attempt = home / "runs" / run_id / CELL / "abc" / "attempt_1"
    argv = [sys.executable, "-c", _HOLD, str(lock), "-m", module, "--attempt", str(attempt)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cell:
        assert cell.stdout is not None
        cell.stdout.readline()
        lock.write_text(f"{CELL} (pid {cell.pid})\n")
        yield
        cell.communicate(b"\n")


def test_the_cell_and_its_run_are_told_while_it_runs_and_nothing_afterwards(tmp_path: Path) -> None:
    assert host_measuring.measuring(tmp_path) is None
    with measured(tmp_path):
        assert host_measuring.measuring(tmp_path) == (CELL, "lab")
        held = probe.busy(str(tmp_path))
        assert (held["cell"].startswith(f"{CELL} (pid "), held["run_id"]) == (True, "lab")
    assert host_measuring.measuring(tmp_path) is None
    assert probe.busy(str(tmp_path)) == {}


def test_an_attempt_elsewhere_names_no_run(tmp_path: Path) -> None:
    with measured(tmp_path, run_id="../.."):
        assert probe.busy(str(tmp_path))["run_id"] == ""
        assert host_measuring.measuring(tmp_path) == (CELL, "")


def test_another_process_with_the_pid_of_a_cell_measures_nothing(tmp_path: Path) -> None:
    with measured(tmp_path, module="http.server"):
        assert host_measuring.measuring(tmp_path) is None


def test_another_run_changes_nothing_and_is_told_who_measures(tmp_path: Path) -> None:
    with measured(tmp_path):
        host_measuring.require_no_other_run(tmp_path, "lab")
        with pytest.raises(
            host_store.HostError, match=rf"run 'lab' measures {CELL} on this host, so nothing below .* was changed"
        ):
            host_measuring.require_no_other_run(tmp_path, "mine")
    host_measuring.require_no_other_run(tmp_path, "mine")


def provisioning(home: Path, run_id: str) -> object:
    parameters = {
        "home": str(home), "components": [], "staged": {}, "lock_sha256": "", "harness_sha256": "0" * 64, "python": "",
        "mirror_url": "", "read": "auto", "run_id": run_id, "cells": [], "tolerant": False, "lacking": {},
    }  # fmt: skip
    return host_provision.Host(parameters)


def test_what_a_run_that_measures_was_provisioned_with_is_not_replaced(tmp_path: Path) -> None:
    record = tmp_path / "state" / "provision.json"
    record.parent.mkdir()
    record.write_text("what run lab was given")
    with measured(tmp_path):
        with pytest.raises(host_store.HostError, match="run 'lab' measures"):
            provisioning(tmp_path, "mine").record()  # type: ignore[attr-defined]  # loaded by name
        assert record.read_text() == "what run lab was given"
    assert provisioning(tmp_path, "mine").record() is True  # type: ignore[attr-defined]
