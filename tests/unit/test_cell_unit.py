"""The command that starts a cell's unit, by what a host offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.plugins import plugin

cell_unit = plugin("module_utils.cell_unit")

_UNIT: dict[str, Any] = {
    "uid": 1000,
    "name": "mlperf-lab-resnet50-Offline-performance-2-0a1b2c3d.service",
    "description": "MLPerf cell sut1/resnet50/Offline/performance, attempt_2",
    "attempt": "/home/lab/$x/attempt_2",
    "argv": ["/py", "-m", "mlperf_ops.harness", "--attempt", "/home/lab/$x/attempt_2"],
    "at_end": ["/py", "-m", "mlperf_ops.harness.unit_end", '/home/lab/$x/a "b"'],
    "pythonpath": "/home/lab/harness",
    "umask": "0022",
    "limits": {"NOFILE": "1024:infinity"},
    "confinement": {},
}
_CONFINED = {"cpus": ["0-3", "8"], "cpu_nodes": "1", "memory_nodes": "0-1", "memory_max_mib": 300}


def host(**changes: Any) -> Any:  # noqa: ANN401  # Facts
    whole = {"version": 252, "unified": True, "controllers": frozenset({"cpuset", "memory"})}
    return cell_unit.Facts(**{**whole, "node_cpus": {0: "0-3", 1: "4-7"}, **changes})


def test_what_was_tuned_becomes_properties_where_the_host_has_them() -> None:
    assert cell_unit.confined(_CONFINED, host()) == (
        {
            "AllowedCPUs": "0-3,8,4-7",
            "AllowedMemoryNodes": "0-1",
            "MemoryMax": str(300 << 20),
            "MemorySwapMax": "0",
        },
        [],
    )
    assert cell_unit.confined({}, host()) == ({}, [])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"unified": False}, "systemd sets no cpusets with cgroup version 1"),
        ({"controllers": frozenset({"memory"})}, "units of this host have no cpuset controller"),
        ({"version": 239}, "systemd 239 sets no cpusets"),
    ],
)
def test_a_cpuset_that_cannot_be_had_is_told_and_the_memory_limit_stays(changes: dict[str, Any], why: str) -> None:
    kept, lost = cell_unit.confined(_CONFINED, host(**changes))
    assert set(kept) - {"MemorySwapMax"} == {"MemoryMax"}
    assert lost == [
        f"AllowedCPUs 0-3,8,4-7: {why}; the processes bind themselves",
        f"AllowedMemoryNodes 0-1: {why}; the processes bind themselves",
    ]


def test_a_node_that_is_missing_and_a_memory_limit_that_cannot_be_had_are_told() -> None:
    kept, lost = cell_unit.confined({"cpu_nodes": "0,2", "memory_max_mib": 64}, host(controllers=frozenset()))
    assert kept == {}
    assert lost == [
        "AllowedCPUs: this host has no NUMA node 2",
        "MemoryMax 64 MiB: units of this host have no memory controller, so nothing enforces it",
    ]


def test_the_command_names_account_slice_and_limits_and_takes_no_path_for_a_variable() -> None:
    argv, launched = cell_unit.command({**_UNIT, "confinement": _CONFINED}, 100, host())
    before, after = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    assert before[:2] == ["systemd-run", "--quiet"]
    for word in (
        "--collect",
        f"--unit={_UNIT['name']}",
        "--slice=mlperf.slice",
        "--uid=1000",
        "--gid=100",
        "--setenv=PYTHONPATH=/home/lab/harness",
        "--property=AllowedCPUs=0-3,8,4-7",
        "--property=LimitNOFILE=1024:infinity",
        "--property=OOMPolicy=continue",
        "--property=KillMode=mixed",
        '--property=ExecStopPost="/py" "-m" "mlperf_ops.harness.unit_end" "/home/lab/$$x/a \\"b\\""',
    ):
        assert word in before
    assert after[:5] == ["/py", "-m", "mlperf_ops.harness", "--attempt", "/home/lab/$$x/attempt_2"]
    assert after[5] == "--launched"
    assert json.loads(after[6]) == launched
    assert (launched["by"], launched["unit"], launched["not_offered"]) == ("systemd", _UNIT["name"], [])
    old, _ = cell_unit.command(_UNIT, 100, host(version=239))
    assert not [word for word in old if "OOMPolicy" in word]


def test_facts_are_read_from_the_host(tmp_path: Path) -> None:
    node = tmp_path / "sys/devices/system/node/node1"
    node.mkdir(parents=True)
    (node / "cpulist").write_text("4-7\n")
    groups = tmp_path / "sys/fs/cgroup"
    (groups / "memory").mkdir(parents=True)
    old = cell_unit.facts("systemd 252 (252.39-1)\n+PAM", tmp_path)
    assert old == (252, False, frozenset({"memory"}), {1: "4-7"})
    (groups / "cgroup.controllers").write_text("cpuset cpu memory\n")
    assert cell_unit.facts("", tmp_path)[:3] == (0, True, frozenset({"cpuset", "cpu", "memory"}))
