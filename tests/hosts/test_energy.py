"""Unofficial energy on a lab host: the files that are shipped suffice, and (simulated) tools are asked as they want.

The cell here is no LoadGen: it only takes time, so that the sampler has something to run beside.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

import mlperf_ops
from mlperf_ops.model import Cell
from mlperf_ops.typed import dump
from tests.lab import Host, Lab
from tests.support.attempts import make_spec
from tests.support.plugins import plugin

pytestmark = pytest.mark.lab

_HOME = "/root/mlperf"


def ship(host: Host) -> None:
    """Put the harness on the host, exactly the files that host_components ships."""
    for name, path in plugin("plugin_utils.bundles").harness_files(Path(mlperf_ops.__file__).parent):
        target = host.root / _HOME.lstrip("/") / "harness" / "x" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def processes(host: Host) -> str:
    return host.exec("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true").stdout


def test_gpus_and_bmc_are_read_beside_a_cell_and_nothing_stays_with_simulated_tools(lab: Lab) -> None:
    host = lab.fresh(hardware="acpi-cpufreq+nvidia+ipmitool")
    try:
        ship(host)
        spec = replace(make_spec(Cell("sut", "efficientnet-lite0", "Offline", "performance")), argv=("/bin/sleep", "4"))
        host.write(f"{_HOME}/spec.json", json.dumps(dump(spec)))
        sources = [{"kind": "nvml", "name": "gpus", "sample_seconds": 0.5}, {"kind": "dcmi", "name": "dcmi"},
                   {"kind": "rapl", "name": "rapl", "powercap": "/none"}]  # fmt: skip
        said = host.exec(
            f"cd / && PYTHONPATH={_HOME}/harness/x /usr/bin/python3 -m mlperf_ops.harness --spec {_HOME}/spec.json "
            f"--out {_HOME}/out --unofficial-energy '{json.dumps(sources)}'",
            check=False,
        )
        assert "Traceback" not in said.stderr, said.stderr
        attempt = f"{_HOME}/out/attempt_1"
        told = {one["name"]: one for one in json.loads(host.read(f"{attempt}/energy.json"))["sources"]}
        assert told["rapl"]["problem"].startswith("/none has no RAPL zone")
        assert told["gpus"]["failed_readings"] == told["dcmi"]["failed_readings"] == 0, told
        gpus = list(csv.DictReader(host.read(f"{attempt}/energy_gpus.csv").splitlines()))
        assert {(line["domain"], line["watts"]) for line in gpus} == {("gpu0", "71.4"), ("gpu1", "71.4")}
        assert len(gpus) >= 4
        system = list(csv.DictReader(host.read(f"{attempt}/energy_dcmi.csv").splitlines()))
        assert {(line["domain"], line["watts"]) for line in system} == {("system", "412")}
        assert "nvidia-smi" not in processes(host)
        calls = [json.loads(line) for line in host.read("/lab/shims/log.jsonl").splitlines()]
        assert [call["tool"] for call in calls].count("nvidia-smi") == 1  # one process for the whole cell
    finally:
        lab.remove(host)
