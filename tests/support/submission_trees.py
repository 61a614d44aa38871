"""Submission trees of round v6.1 from real LoadGen runs, some with edited logs, and one planted fault per rule.

A run of a fraction of a second is honestly too short. `short_tree` holds such runs as they are; `good_tree` is the
same with the logs EDITED, as if the runs had been long and had covered the whole data set.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import Severity
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import Division, Scenario
from tests.support.attempts import RealLogs
from tests.support.audit_logs import audit_run

SUBMITTER = "TEST-ONLY"
SYSTEM = "node1"
SAMPLES = 20
EDGE: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Offline")
ALL: tuple[Scenario, ...] = (*EDGE, "Server")
TESTS = ("TEST01", "TEST04")
VIEWABLE_BYTES = 4096

_VALUE = re.compile(r'"value": .*?, "time_ms"')
_NUMBERS: JsonObject = {
    "number_of_nodes": "1",
    "accelerators_per_node": "0",
    "host_processors_per_node": "1",
    "host_processor_core_count": "8",
}


def round_v61() -> Round:
    return load_catalogue().round("v6.1")


def edit_log(path: Path, values: JsonObject, *, drop_errors: bool = False) -> None:
    """Rewrite values of a detail log; a key that is None loses its line."""
    lines = path.read_text().splitlines(keepends=True)
    kept: list[str] = []
    for line in lines:
        edited: str | None = line
        for key, value in values.items():
            if f'"key": "{key}"' in line:
                new = f'"value": {json.dumps(value)}, "time_ms"'
                edited = None if value is None else _VALUE.sub(new.replace("\\", r"\\"), line, count=1)
        if edited is not None and not (drop_errors and '"is_error": true' in edited):
            kept.append(edited)
    path.write_text("".join(kept))


def add_line(path: Path, key: str, value: Json, *, is_error: bool = False, at_end: bool = False) -> None:
    """Put a message into a detail log, before its last one."""
    lines = path.read_text().splitlines(keepends=True)
    message = {
        "key": key,
        "value": value,
        "time_ms": 1.0,
        "namespace": "mlperf::logging",
        "event_type": "POINT_IN_TIME",
        "metadata": {"is_error": is_error, "is_warning": False, "file": "x.cc", "line_no": 1, "pid": 1, "tid": 1},
    }
    lines.insert(len(lines) if at_end else len(lines) - 1, f":::MLLOG {json.dumps(message)}\n")
    path.write_text("".join(lines))


def system_description(division: Division, system_type: str = "edge") -> JsonObject:
    """All fields that the round requires, with values that say what they are."""
    required = round_v61().system_description.required
    fields: JsonObject = {key: f"some {key}" for key in required}
    return (
        fields
        | _NUMBERS
        | {
            "division": division,
            "submitter": SUBMITTER,
            "status": "available",
            "system_type": system_type,
            "system_name": SYSTEM,
            "hw_notes": "",
            "sw_notes": "",
        }
    )


@dataclass(frozen=True)
class TreeUnderTest:
    """A tree and shorthands for its places; the first scenario is the one that faults are planted in."""

    root: Path
    division: Division
    benchmark: str

    @property
    def submitter(self) -> Path:
        return self.root / self.division / SUBMITTER

    @property
    def system_json(self) -> Path:
        return self.submitter / "systems" / f"{SYSTEM}.json"

    def result(self, scenario: Scenario) -> Path:
        return self.submitter / "results" / SYSTEM / self.benchmark / scenario

    def performance(self, scenario: Scenario) -> Path:
        return self.result(scenario) / "performance/run_1/mlperf_log_detail.txt"

    def accuracy(self, scenario: Scenario) -> Path:
        return self.result(scenario) / "accuracy/mlperf_log_detail.txt"

    def test(self, scenario: Scenario, test: str) -> Path:
        return self.result(scenario) / test / "performance/run_1/mlperf_log_detail.txt"

    def edit_json(self, path: Path, values: JsonObject) -> None:
        """Set values of a JSON file; None removes a key."""
        content = cast("JsonObject", json.loads(path.read_text())) | values
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def short_tree(
    root: Path,
    logs: RealLogs,
    *,
    division: Division = "open",
    scenarios: tuple[Scenario, ...] = ALL,
    benchmark: str = "efficientnet-lite0",
    system_type: str = "edge",
) -> TreeUnderTest:
    """A tree of real runs of a fraction of a second over 20 samples, with unedited logs."""
    tree = TreeUnderTest(root, division, benchmark)
    (tree.submitter / "src").mkdir(parents=True)
    (tree.submitter / "src/README.md").write_text("The code is elsewhere.\n")
    (tree.submitter / "systems").mkdir()
    tree.system_json.write_text(json.dumps(system_description(division, system_type)))
    if division == "open":
        (tree.submitter / "model_mapping.json").write_text(json.dumps({benchmark: "resnet"}))
    else:
        (tree.submitter / "documentation").mkdir()
        (tree.submitter / "documentation/calibration.md").write_text("Nothing is quantised.\n")
    for scenario in scenarios:
        _result(tree, logs, scenario)
        if division != "open":
            for test in TESTS:
                _compliance(tree, logs, scenario, test)
    return tree


def _result(tree: TreeUnderTest, logs: RealLogs, scenario: Scenario) -> None:
    folder = tree.result(scenario)
    run, accuracy = folder / "performance/run_1", folder / "accuracy"
    run.mkdir(parents=True)
    accuracy.mkdir()
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        shutil.copyfile(logs.get(scenario, "performance", SAMPLES) / name, run / name)
        shutil.copyfile(logs.get(scenario, "accuracy", SAMPLES) / name, accuracy / name)
    log = (logs.get(scenario, "accuracy", SAMPLES) / "mlperf_log_accuracy.json").read_bytes()
    (accuracy / "mlperf_log_accuracy.json").write_bytes(log)
    digest = hashlib.sha256(log).hexdigest()
    (accuracy / "accuracy.txt").write_text(f"accuracy=90.000%, good=18, total=20\n\nhash={digest}\n")
    shutil.copyfile(logs.get(scenario, "performance", SAMPLES) / "user.conf", folder / "user.conf")
    (folder / "README.md").write_text("How it was run.\n")
    (folder / "measurements.json").write_text(
        json.dumps(
            {
                "input_data_types": "fp32",
                "retraining": "no",
                "starting_weights_filename": "lite0.onnx",
                "weight_data_types": "fp32",
                "weight_transformations": "none",
            }
        )
    )


def _compliance(tree: TreeUnderTest, logs: RealLogs, scenario: Scenario, test: str) -> None:
    """A compliance test with the logs of a real run, and a verification text with their figures."""
    made, folder = audit_run(logs, scenario, test, SAMPLES), tree.result(scenario) / test
    run = folder / "performance/run_1"
    run.mkdir(parents=True)
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        shutil.copyfile(made / name, run / name)
    verify_performance(tree, scenario, test)
    if test == "TEST01":
        (folder / "verify_accuracy.txt").write_text("num_perf_log_data_mismatch = 0\nTEST PASS\n")
        (folder / "accuracy").mkdir()
        log = (made / "mlperf_log_accuracy.json").read_bytes()
        if len(log) >= VIEWABLE_BYTES:
            log = log[:VIEWABLE_BYTES] + b"\n\n...\n\n" + log[-VIEWABLE_BYTES:]
        (folder / "accuracy/mlperf_log_accuracy.json").write_bytes(log)
        shutil.copyfile(tree.result(scenario) / "accuracy/accuracy.txt", folder / "accuracy/accuracy.txt")


def figure(log: Path) -> tuple[str, float]:
    """Return the key and the value of the result in a log."""
    values = read_detail(log).values
    field = round_v61().result_field[cast("Scenario", values["effective_scenario"])]
    return field, float(cast("float", values[field]))


def verify_performance(tree: TreeUnderTest, scenario: Scenario, test: str) -> None:
    """Write the verification text that belongs to the logs."""
    _, reference = figure(tree.performance(scenario))
    _, tested = figure(tree.test(scenario, test))
    (tree.result(scenario) / test / "verify_performance.txt").write_text(
        f"Verifying performance.\nReference score = {reference}\nTest score = {tested}\nTEST PASS\n"
    )


def as_fast(tree: TreeUnderTest, scenario: Scenario, test: str) -> None:
    """EDIT a compliance run as if it had been exactly as fast as the performance run."""
    field, value = figure(tree.performance(scenario))
    log = tree.test(scenario, test)
    edit_log(log, {field: value})
    edit_summary(log, {"Samples per second": f"{value:.2f}", "Completed samples per second    ": f"{value:.2f}"})
    verify_performance(tree, scenario, test)


_IN_SUMMARY = {
    "effective_scenario": "Scenario",
    "effective_test_mode": "Mode",
    "effective_qsl_rng_seed": "qsl_rng_seed",
    "result_validity": "Result is",
    "result_samples_per_second": "Samples per second",
}


def edit_run(log: Path, values: JsonObject) -> None:
    """Rewrite values of a detail log, and of the summary beside it where that repeats them."""
    edit_log(log, values)
    edit_summary(log, {_IN_SUMMARY[key]: str(value) for key, value in values.items() if key in _IN_SUMMARY})


def edit_summary(log: Path, values: dict[str, str]) -> None:
    """Rewrite values of the summary beside a detail log."""
    summary = log.with_name("mlperf_log_summary.txt")
    text = summary.read_text()
    for label, value in values.items():
        text = re.sub(rf"(?m)^({re.escape(label)}\s*: ).*$", rf"\g<1>{value}", text, count=1)
    summary.write_text(text)


def pretend_full_length(log: Path) -> None:
    """EDIT a log as if the run had been long enough, valid, and over the whole data set."""
    values: JsonObject = {
        "effective_min_duration_ms": 600000,
        "effective_min_query_count": 270336,
        "effective_accuracy_sample_count": 50000,
        "qsl_reported_total_count": 50000,
        "result_validity": "VALID",
        "result_invalid_reason": None,
        "result_perf_constraints_met": True,
        "early_stopping_met": True,
    }
    text = log.read_text()
    if '"effective_scenario", "value": "Offline"' in text:
        values["effective_samples_per_query"] = 24576
    if '"effective_test_mode", "value": "AccuracyOnly"' in text:
        values["effective_performance_sample_count"] = 50000
    edit_log(log, values, drop_errors=True)
    edit_summary(log, {"Result is": "VALID"})


def good_tree(
    root: Path,
    logs: RealLogs,
    *,
    division: Division = "open",
    scenarios: tuple[Scenario, ...] = ALL,
    benchmark: str = "efficientnet-lite0",
    system_type: str = "edge",
) -> TreeUnderTest:
    """A tree that nobody objects to: real logs, EDITED as if the runs had been long."""
    tree = short_tree(root, logs, division=division, scenarios=scenarios, benchmark=benchmark, system_type=system_type)
    for log in root.rglob("mlperf_log_detail.txt"):
        pretend_full_length(log)
    for conf in root.rglob("user.conf"):
        conf.write_text(conf.read_text().replace("min_duration = 0", "min_duration = 600000"))
    if division != "open":
        for scenario in scenarios:
            for test in TESTS:
                as_fast(tree, scenario, test)
    return tree


@dataclass(frozen=True)
class Fault:
    """Something wrong that is planted into a good tree, and the finding that it must give."""

    name: str
    rule: str
    severity: Severity
    plant: Callable[[TreeUnderTest], object]
    division: Division = "open"

    def __str__(self) -> str:
        return self.name
