"""Results folders with real LoadGen logs, as the play leaves them: plan.json and hosts/<host>/… .

The logs are LoadGen's own; the SUT behind them answers at once (tiny_sut.py), so every performance run is honestly
INVALID: too short. Use `RealLogs` once per test session, it makes each log once.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.compliance.audit import audit_text
from mlperf_ops.files import Json, JsonObject, pretty_json, sha256_file, write_json
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import (
    COMPLIANCE_TESTS,
    AccuracyOutcome,
    AccuracyRequest,
    BackendRequest,
    Cell,
    DatasetRequest,
    Division,
    LoadgenOutcome,
    LoadgenRequest,
    Mode,
    ModelRequest,
    Result,
    Scenario,
    Spec,
    Verdict,
)
from mlperf_ops.plan_model import CollectedCell, CollectedHost, Component, Plan, PlannedCell, PlannedHost
from mlperf_ops.typed import dump

SAMPLES = 200
STARTED_AT = "2026-01-02T03:04:05+00:00"
TINY_SUT = Path(__file__).parent / "tiny_sut.py"
_QUERIES = {"Offline": 1, "SingleStream": 700, "MultiStream": 700, "Server": 300}
_TARGETS = {
    "Offline": "target_qps = 1",
    "SingleStream": "target_latency = 1",
    "MultiStream": "target_latency = 1",
    "Server": "target_qps = 3000",
}
LoadgenScenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]


def loadgen_scenario(scenario: Scenario) -> LoadgenScenario:
    """Interactive is a Server run."""
    return "Server" if scenario == "Interactive" else scenario


def user_conf(scenario: Scenario) -> str:
    """A user.conf for a run of a fraction of a second."""
    name = loadgen_scenario(scenario)
    lines = [_TARGETS[name], "min_duration = 0", f"min_query_count = {_QUERIES[name]}"]
    lines += [f"max_query_count = {_QUERIES[name]}"]
    return "".join(f"*.{name}.{line}\n" for line in lines)


def audit_config(mode: Mode) -> str:
    """audit.config of a compliance test's run; empty for other modes."""
    tests = load_catalogue().round("v6.1").compliance
    return next((audit_text(run.settings("resnet")) for test, run in tests.items() if test == mode), "")


def accuracy_line(log: Path) -> tuple[str, float, int]:
    """Score an accuracy log of tiny_sut as the official script prints it: the right class of sample i is i."""
    entries = cast("list[dict[str, Json]]", json.loads(log.read_text()))
    good = sum(struct.unpack("<q", bytes.fromhex(str(entry["data"])))[0] == entry["qsl_idx"] for entry in entries)
    value = 100.0 * good / len(entries)
    return f"accuracy={value:.3f}%, good={good}, total={len(entries)}\n", value, len(entries)


@dataclass
class RealLogs:
    """Makes LoadGen logs below a folder, each scenario, mode and size once."""

    base: Path
    made: dict[tuple[str, str, int], Path] = field(default_factory=dict)
    loadgen: Path | None = None  # folder of another round's LoadGen; None: the installed one

    def get(self, scenario: Scenario, mode: Mode, samples: int = SAMPLES) -> Path:
        """Return a folder with user.conf and the logs of a real run; do not write into it."""
        name = loadgen_scenario(scenario)
        key = (name, mode, samples)
        if key not in self.made:
            folder = self.base / f"{name}-{mode}-{samples}"
            folder.mkdir(parents=True)
            (folder / "user.conf").write_text(user_conf(scenario))
            loadgen_mode = "AccuracyOnly" if mode == "accuracy" else "PerformanceOnly"
            if mode in COMPLIANCE_TESTS:
                (folder / "audit.config").write_text(audit_config(mode))
                (folder / "labels.txt").write_text("".join(f"{index}.jpg {index}\n" for index in range(samples)))
            argv = [sys.executable, str(TINY_SUT), name, loadgen_mode, str(folder), str(samples)]
            environment = os.environ if self.loadgen is None else {**os.environ, "PYTHONPATH": str(self.loadgen)}
            with (folder / "console.log").open("wb") as console:
                subprocess.run(
                    argv, check=True, timeout=60, stdout=console, stderr=subprocess.STDOUT, cwd=folder, env=environment
                )
            (folder / "mlperf_log_trace.json").unlink(missing_ok=True)
            if mode == "accuracy":
                (folder / "accuracy.txt").write_text(accuracy_line(folder / "mlperf_log_accuracy.json")[0])
            self.made[key] = folder
        return self.made[key]


def make_spec(  # a builder of test data, all by name
    cell: Cell,
    *,
    official_benchmark: str = "resnet",
    division: Division = "open",
    implementation: str = "harness",
    simulated: bool = False,
    env: dict[str, str] | None = None,
    model_file: str = "model.onnx",
    target: float | None = None,
) -> Spec:
    """A spec as a host writes it; the digests are those of nothing."""
    return Spec(
        cell=cell,
        official_benchmark=official_benchmark,
        round="v6.1",
        division=division,
        run_style="test",
        implementation=implementation,
        simulated=simulated,
        argv=("{python}", "-m", "mlperf_ops.harness.sut", "--spec", "spec.json"),
        env=env or {},
        loadgen=LoadgenRequest(
            conf_model="resnet50",
            scenario=loadgen_scenario(cell.scenario),
            mode="AccuracyOnly" if cell.mode == "accuracy" else "PerformanceOnly",
            user_conf=user_conf(cell.scenario),
            expect={},
            audit_conf=audit_config(cell.mode),
        ),
        model=ModelRequest(
            component="efficientnet-lite0",
            path=f"/srv/store/{model_file}",
            sha256="a" * 64,
            format="onnx",
            input_name="input",
            input_layout="NCHW",
            output_name="logits",
            output_kind="logits",
        ),
        dataset=DatasetRequest(
            component="imagenet-20",
            path="/srv/store/data",
            sha256="b" * 64,
            label_file="val_map.txt",
            total_count=None,
            preprocess={},
        ),
        task="image_classification",
        backend=BackendRequest(name="onnxruntime"),
        accuracy=AccuracyRequest(metric="acc", minimum=target, maximum=None, gate=division != "open"),
        cpu_affinity=None,
        warmup_seconds=0.0,
        packages={
            "python": "3.11.2",
            "onnxruntime": "1.20.1",
            "numpy": "2.1.3",
            "mlcommons-loadgen": "6.0.17",
            "mlperf_ops.harness": "c" * 64,
        },
    )


def request_of(spec: Spec) -> JsonObject:
    """The plan's request of a spec: without what only the host knows."""
    request = dump(spec)
    for part in ("model", "dataset"):
        cast("JsonObject", request[part])["path"] = ""
    request["packages"] = {}
    return request


def make_attempt(logs: RealLogs, spec: Spec, folder: Path, *, verdict: Verdict | None = None) -> Result:
    """Write an attempt folder as the host's supervisor does: raw files, manifest.json, then result.json."""
    raw = logs.get(spec.cell.scenario, spec.cell.mode)
    shutil.copytree(raw, folder)
    (folder / "spec.json").write_text(pretty_json(dump(spec)))
    detail = read_detail(folder / "mlperf_log_detail.txt")
    validity = detail.values.get("result_validity") if spec.cell.mode == "performance" else None
    accuracy = None
    if spec.cell.mode == "accuracy":
        log = folder / "mlperf_log_accuracy.json"
        _, value, count = accuracy_line(log)
        minimum = spec.accuracy.minimum
        met = None if minimum is None else value >= minimum
        accuracy = AccuracyOutcome(spec.accuracy.metric, value, "%", met, count, sha256_file(log))
    invalid = validity == "INVALID"
    result = Result(
        cell=spec.cell,
        spec_sha256=spec.sha256,
        request_sha256=PlannedCell(spec.cell, "", "", "planned", None, (), None, request_of(spec)).request_sha256 or "",
        verdict=verdict or ("invalid" if invalid else "valid"),
        reasons=("LoadGen says INVALID: shorter than its minimum duration",) if invalid else (),
        simulated=spec.simulated,
        started_at=STARTED_AT,
        elapsed_seconds=1.25,
        loadgen=LoadgenOutcome(
            validity=validity,  # type: ignore[arg-type]  # LoadGen writes one of the two words
            fields={key: value for key, value in detail.values.items() if not key.startswith(("generated", "loaded"))},
            errors=detail.errors,
            warnings=detail.warnings,
        ),
        accuracy=accuracy,
        failure=None,
        effective={"provider": "CPUExecutionProvider", "python": "3.11.2"},
    )
    seal(folder, result)
    return result


def seal(folder: Path, result: Result) -> None:
    """Write manifest.json and result.json over whatever the folder holds now."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in {"manifest.json", "result.json"})
    write_json(folder / "manifest.json", {"schema": 1, "files": {name: sha256_file(folder / name) for name in names}})
    write_json(folder / "result.json", dump(result))


FACTS: JsonObject = {
    "values": {
        "os_name": {"value": "Debian GNU/Linux 12 (bookworm)", "origin": "/etc/os-release: PRETTY_NAME"},
        "kernel": {"value": "6.1.0-28-amd64", "origin": "/proc/sys/kernel/osrelease"},
        "glibc": {"value": "2.36", "origin": "confstr CS_GNU_LIBC_VERSION"},
        "container": {"value": "none", "origin": "/run/systemd/container"},
        "hypervisor": {"value": "KVM", "origin": "lscpu: Hypervisor vendor"},
        "cpu_model": {"value": "Intel(R) Xeon(R) Processor", "origin": "lscpu: Model name"},
        "cpu_sockets": {"value": 1, "origin": "lscpu: Socket(s)"},
        "cpu_cores_per_socket": {"value": 2, "origin": "lscpu: Core(s) per socket"},
        "memory_total_bytes": {"value": 8 << 30, "origin": "/proc/meminfo: MemTotal"},
        "network_interfaces": {
            "value": [{"name": "eth0", "driver": "virtio_net", "speed_mbit": None}],
            "origin": "/sys/class/net",
        },
        "network_card_count": {"value": 1, "origin": "/sys/class/net: devices that are not virtual"},
        "storage_devices": {
            "value": [{"name": "vda", "size_bytes": 64 << 30, "rotating": True, "transport": None, "model": None}],
            "origin": "lsblk",
        },
        "accelerators": {"value": [], "origin": "PCI devices of class 0302 and 1200"},
    },
    "unknown": {"memory_modules": "dmidecode is not installed", "product_name": "the kernel shows no DMI data"},
}
"""facts.json of a small virtual machine."""


@dataclass
class Lab:
    """A results folder under construction: one host per system unless told otherwise."""

    run: Path
    logs: RealLogs
    division: Division = "open"
    submitter: str = "TEST-ONLY"
    system_type: str = "edge"
    round: str = "v6.1"
    description: dict[str, Json] = field(default_factory=dict)
    planned: list[PlannedCell] = field(default_factory=list)
    collected: dict[str, list[CollectedCell]] = field(default_factory=dict)
    systems: dict[str, str] = field(default_factory=dict)  # host -> system

    def cell(  # a builder of test data, all by name
        self,
        scenario: Scenario,
        mode: Mode,
        *,
        host: str = "node1",
        system: str | None = None,
        benchmark: str = "efficientnet-lite0",
        collected: bool = True,
        verdict: Verdict | None = None,
        spec: Spec | None = None,
    ) -> Path:
        """Plan a cell and, unless told otherwise, put its attempt into the collection; return the attempt's folder."""
        system = system or host
        cell = Cell(system, benchmark, scenario, mode)
        spec = replace(spec, cell=cell) if spec else replace(make_spec(cell, division=self.division), round=self.round)
        self.systems[host] = system
        self.collected.setdefault(host, [])
        self.planned.append(
            PlannedCell(cell, host, spec.official_benchmark, "planned", None, (), None, request_of(spec))
        )
        path = f"{benchmark}/{scenario}/{mode}/{spec.sha256[:12]}/attempt_1"
        folder = self.run / "hosts" / host / path
        if collected:
            result = make_attempt(self.logs, spec, folder, verdict=verdict)
            self.collected[host].append(
                CollectedCell(
                    key=cell.key,
                    spec_sha256=result.spec_sha256,
                    request_sha256=result.request_sha256,
                    attempt="attempt_1",
                    path=path,
                    verdict=result.verdict,
                    simulated=result.simulated,
                )
            )
        return folder

    def scenario(self, scenario: Scenario, *, host: str = "node1", benchmark: str = "efficientnet-lite0") -> None:
        """Both cells of a scenario."""
        for mode in ("performance", "accuracy"):
            self.cell(scenario, mode, host=host, benchmark=benchmark)

    def write(self) -> Path:
        """Write plan.json, cells.json and facts.json; return the results folder."""
        hosts = tuple(
            PlannedHost(name, system, "/srv/mlperf", self.system_type, dict(self.description), (), "")
            for name, system in self.systems.items()
        )
        plan = Plan(
            round=self.round,
            division=self.division,
            submitter=self.submitter,
            run_id=self.run.name,
            run_style="test",
            inventory="inventory/lab",
            hosts=hosts,
            cells=tuple(self.planned),
            components=(
                Component("efficientnet-lite0", "model", "1.0", "a" * 64, "package data", None),
                Component("imagenet-20", "dataset", "2021", "b" * 64, "package data", None),
            ),
            limits=(),
        )
        write_json(self.run / "plan.json", dump(plan))
        for host, cells in self.collected.items():
            folder = self.run / "hosts" / host
            write_json(folder / "cells.json", dump(CollectedHost(host, self.systems[host], tuple(cells))))
            if not (folder / "facts.json").exists():
                write_json(folder / "facts.json", FACTS)
        return self.run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Names and bytes of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
