"""Planted faults: for each rule, and each severity that a rule can have, something wrong that gives its finding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from mlperf_ops.checker.model import Severity
from mlperf_ops.files import Json, JsonObject
from tests.support.submission_trees import SYSTEM, Fault, TreeUnderTest, add_line, edit_log, edit_run, round_v61

Plant: TypeAlias = Callable[[TreeUnderTest], object]
_OVER_50_MIB_BYTES = 51 << 20


# --- how faults are planted -----------------------------------------------------------------------


def system(values: JsonObject) -> Plant:
    """Edit the system description; None removes a field."""
    return lambda tree: tree.edit_json(tree.system_json, values)


def measurements(values: JsonObject) -> Plant:
    """Edit the Offline result's measurements.json."""
    return lambda tree: tree.edit_json(tree.result("Offline") / "measurements.json", values)


def offline(key: str, value: Json) -> Plant:
    """Edit the log of the Offline performance run; None removes the line."""
    return lambda tree: edit_run(tree.performance("Offline"), {key: value})


def server(key: str, value: Json) -> Plant:
    """Edit the log of the Server performance run."""
    return lambda tree: edit_run(tree.performance("Server"), {key: value})


def accuracy(key: str, value: Json) -> Plant:
    """Edit the log of the Offline accuracy run."""
    return lambda tree: edit_log(tree.accuracy("Offline"), {key: value})


def write(place: str, text: str = "x\n") -> Plant:
    """Write a file below the submitter's folder; "{result}" is the Offline result."""

    def plant(tree: TreeUnderTest) -> None:
        path = tree.submitter / place.format(result=f"results/{SYSTEM}/{tree.benchmark}/Offline")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return plant


def remove(place: str) -> Plant:
    """Remove a file or folder below the submitter's folder."""

    def plant(tree: TreeUnderTest) -> None:
        path = tree.submitter / place.format(result=f"results/{SYSTEM}/{tree.benchmark}/Offline")
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return plant


def accuracy_text(old: str, new: str) -> Plant:
    """Replace text in accuracy.txt of the Offline result."""

    def plant(tree: TreeUnderTest) -> None:
        path = tree.result("Offline") / "accuracy/accuracy.txt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return plant


def append(place: str, text: str) -> Plant:
    """Append to a file below the Offline result."""

    def plant(tree: TreeUnderTest) -> None:
        with (tree.result("Offline") / place).open("a") as stream:
            stream.write(text)

    return plant


def link(name: str, target: Callable[[TreeUnderTest], str]) -> Plant:
    """Make a symbolic link in src/."""
    return lambda tree: os.symlink(target(tree), tree.submitter / "src" / name)


def rename(old: Callable[[TreeUnderTest], Path], name: str) -> Plant:
    """Rename a file or folder."""
    return lambda tree: old(tree).rename(old(tree).with_name(name))


def log_error(log: Callable[[TreeUnderTest], Path], message: str) -> Plant:
    """Put an error into a log, before its end."""
    return lambda tree: add_line(log(tree), "error_runtime", message, is_error=True)


def _big_file(tree: TreeUnderTest) -> None:
    with (tree.submitter / "src/model.bin").open("wb") as stream:
        stream.truncate(_OVER_50_MIB_BYTES)  # sparse


def _cut_line(tree: TreeUnderTest) -> None:
    """Cut a line in the middle of the log."""
    path = tree.performance("Offline")
    lines = path.read_text().splitlines(keepends=True)
    lines[20] = lines[20][:40] + "\n"
    path.write_text("".join(lines))


def _foreign_line(tree: TreeUnderTest) -> None:
    """Put a line of another program into the middle of the log."""
    path = tree.performance("Offline")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:20], "Killed\n", *lines[20:]]))


def _without_end(tree: TreeUnderTest) -> None:
    """Let the log stop right after the figures that the official checker reads."""
    path = tree.performance("Offline")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"num_errors"' not in line))
    add_line(path, "generic_message", "still running", at_end=True)


def _without_result(tree: TreeUnderTest) -> None:
    """Cut the log off before any result, as a kill does."""
    path = tree.performance("Offline")
    text = path.read_text()
    path.write_text(text[: text.index('"result_validity"') + 4])


def _copied_from_single_stream(scenario: str) -> Plant:
    """Put the SingleStream run into the folder of another scenario."""

    def plant(tree: TreeUnderTest) -> None:
        target = tree.result("SingleStream").with_name(scenario)
        for run in ("performance/run_1", "accuracy"):
            for log in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
                shutil.copyfile(tree.result("SingleStream") / run / log, target / run / log)

    return plant


def _only_a_power_file(tree: TreeUnderTest) -> None:
    """Leave a file in systems/, so that the folder is not empty."""
    tree.system_json.rename(tree.system_json.with_name(f"{SYSTEM}_power.yaml"))


def _rename_system(tree: TreeUnderTest, name: str) -> None:
    tree.result("Offline").parent.parent.rename(tree.submitter / "results" / name)
    tree.system_json.rename(tree.system_json.with_name(f"{name}.json"))


def _not_truncated(tree: TreeUnderTest) -> None:
    path = tree.result("Offline") / "accuracy/mlperf_log_accuracy.json"
    path.write_bytes(path.read_bytes() * 20)


# --- the faults -------------------------------------------------------------------------------------

FAULTS: tuple[Fault, ...] = (
    # Structure
    Fault("folder that is no division", "unknown-division", "rules", write("../../opened/README.md")),
    Fault("no src", "missing-src", "official", remove("src")),
    Fault("submitter without results", "missing-results-folder", "official", write("../Other/src/README.md")),
    Fault("no detail log", "missing-file", "official", remove("{result}/performance/run_1/mlperf_log_detail.txt")),
    Fault("no accuracy log", "missing-file", "official", remove("{result}/accuracy/mlperf_log_detail.txt")),
    Fault("no summary", "missing-file", "rules", remove("{result}/performance/run_1/mlperf_log_summary.txt")),
    Fault("no accuracy.txt", "missing-file", "official", remove("{result}/accuracy/accuracy.txt")),
    Fault("no accuracy json", "missing-file", "official", remove("{result}/accuracy/mlperf_log_accuracy.json")),
    Fault("no user.conf", "missing-file", "official", remove("{result}/user.conf")),
    Fault("no readme", "missing-file", "official", remove("{result}/README.md")),
    Fault("no measurements", "missing-file", "official", remove("{result}/measurements.json")),
    Fault("empty readme", "empty-file", "official", write("{result}/README.md", "")),
    Fault("empty user.conf", "empty-file", "official", write("{result}/user.conf", "")),
    Fault("empty summary", "empty-file", "rules", write("{result}/performance/run_1/mlperf_log_summary.txt", "")),
    Fault("file in the top folder", "stray-file", "rules", write("../../notes.txt")),
    Fault("file in a division", "stray-file", "rules", write("../README.md")),
    Fault("file in results", "stray-file", "rules", write("results/summary.csv")),
    Fault("file in a system", "stray-file", "rules", write(f"results/{SYSTEM}/notes.md")),
    Fault("file in systems", "stray-file", "rules", write("systems/notes.md")),
    Fault("file beside the logs", "stray-file", "rules", write("{result}/performance/run_1/console.log")),
    Fault("file in accuracy", "stray-file", "rules", write("{result}/accuracy/predictions.csv")),
    Fault("file in the result", "stray-file", "advice", write("{result}/result.json")),
    Fault("file in the submitter", "stray-file", "advice", write("run.sh")),
    Fault("folder in the submitter", "unknown-folder", "advice", write("systemz/README.md")),
    Fault("folder in the result", "unknown-folder", "advice", write("{result}/TEST99/README.md")),
    Fault("measurements of the old layout", "old-layout", "rules", write("measurements/README.md")),
    Fault("system without results", "system-without-results", "rules", write("systems/node2.json", "{}")),
    # Names
    Fault("link that leads nowhere", "symlink", "rules", link("data", lambda _: "../gone")),
    Fault("link out of the tree", "symlink", "rules", link("data", lambda _: "/etc/hostname")),
    Fault("link within the tree", "symlink", "advice", link("NOTES.md", lambda _: "README.md")),
    Fault("hidden file", "hidden-name", "rules", write("src/.bashrc")),
    Fault("space in a name", "space-in-name", "rules", write("src/my code.py")),
    Fault("system whose name is no UTF-8", "name-encoding", "official", lambda tree: _rename_system(tree, "caf\udce9")),
    Fault("file whose name is no UTF-8", "name-encoding", "advice", write("src/caf\udce9.py")),
    Fault("half a character in the notes", "text-encoding", "official", system({"hw_notes": "half \ud800"})),
    Fault("half a character in a field of no table", "text-encoding", "advice", system({"cooling": "half \ud800"})),
    Fault(
        "half a character in the measurements",
        "text-encoding",
        "official",
        measurements({"weight_data_types": "\udfff"}),
    ),
    Fault("more accelerators than can be", "system-field-type", "rules", system({"accelerators_per_node": "9" * 4000})),
    Fault("result beyond any number", "result-value", "official", offline("result_samples_per_second", 10**400)),
    Fault("compiled python", "pycache", "rules", write("src/__pycache__/sut.pyc")),
    Fault("empty folder", "empty-folder", "rules", lambda tree: (tree.submitter / "src/empty").mkdir()),
    Fault("pipe instead of a file", "unreadable", "rules", lambda tree: os.mkfifo(tree.submitter / "src/pipe")),
    # Sizes
    Fault("large file", "file-size", "rules", _big_file),
    Fault("accuracy log that is not truncated", "accuracy-log-size", "official", _not_truncated),
    # Benchmarks
    Fault("unknown benchmark", "unknown-benchmark", "official", rename(lambda t: t.result("Offline").parent, "resnut")),
    Fault("no mapping", "model-mapping", "advice", remove("model_mapping.json")),
    Fault(
        "mapping to nothing",
        "model-mapping",
        "rules",
        write("model_mapping.json", '{"efficientnet-lite0": "resnet", "x": "y"}'),
    ),
    Fault("broken mapping", "model-mapping-unreadable", "official", write("model_mapping.json", "{")),
    Fault("unknown scenario", "unknown-scenario", "official", rename(lambda t: t.result("Offline"), "Offlin")),
    Fault("scenario in lower case", "scenario-spelling", "advice", rename(lambda t: t.result("Offline"), "offline")),
    # System
    Fault("no system description", "system-description-missing", "official", _only_a_power_file),
    Fault(
        "broken system description",
        "system-description-unreadable",
        "official",
        lambda tree: tree.system_json.write_text("[1]"),
    ),
    Fault("field missing", "system-field-missing", "official", system({"cooling": None})),
    Fault("field empty", "system-field-empty", "official", system({"cooling": ""})),
    Fault("number zero", "system-field-empty", "official", system({"accelerators_per_node": 0})),
    Fault("nodes in words", "system-field-type", "official", system({"number_of_nodes": "one"})),
    Fault("processors in words", "system-field-type", "rules", system({"host_processors_per_node": "two"})),
    Fault("status is a number", "system-field-type", "official", system({"status": 1})),
    Fault("list of frameworks", "system-field-type", "rules", system({"framework": ["onnxruntime"]})),
    Fault("unknown status", "system-field-value", "official", system({"status": "soon"})),
    Fault("system type in capitals", "system-field-value", "official", system({"system_type": "Edge"})),
    Fault("other submitter", "system-field-value", "official", system({"submitter": "Other"})),
    Fault("other division", "system-field-value", "official", system({"division": "closed"})),
    Fault("network as boolean", "system-network", "official", system({"is_network": False})),
    Fault("network as text", "system-network", "official", system({"is_network": "false"})),
    Fault("placeholder", "placeholder", "rules", system({"cooling": "TBD"})),
    Fault("placeholder in a note", "placeholder", "advice", system({"host_processor_caches": "<fill in>"})),
    Fault("cooling that does not apply", "not-applicable-value", "advice", system({"cooling": "N/A"})),
    Fault("size without a space", "system-field-style", "advice", system({"host_memory_capacity": "512GB"})),
    Fault("unknown value", "unknown-value", "advice", system({"cooling": "unknown: no sensor"})),
    # Measurements
    Fault("broken measurements", "measurements-unreadable", "official", write("{result}/measurements.json", "{")),
    Fault("measurement missing", "measurements-field-missing", "official", measurements({"retraining": None})),
    Fault("measurement empty", "measurements-field-empty", "official", measurements({"retraining": False})),
    Fault("measurement to do", "placeholder", "rules", measurements({"weight_transformations": "TODO"})),
    Fault("simulated result", "simulated", "rules", measurements({"simulated": True})),
    Fault("simulated system", "simulated", "rules", system({"simulated": "true"})),
    Fault("file that marks a simulation", "simulated", "rules", write("src/SIMULATED")),
    # Performance
    Fault("damaged log", "log-unreadable", "official", _cut_line),
    Fault("foreign line in the log", "log-unreadable", "rules", _foreign_line),
    Fault("log that stops before its end", "log-incomplete", "rules", _without_end),
    Fault("log that stops before the result", "log-incomplete", "official", offline("result_samples_per_second", None)),
    Fault("accuracy run as performance run", "log-mode", "rules", offline("effective_test_mode", "SubmissionRun")),
    Fault("single stream run as Server", "log-scenario", "official", _copied_from_single_stream("Server")),
    Fault("seeds of another round", "seeds", "official", offline("effective_qsl_rng_seed", 3066443479025735752)),
    Fault(
        "small performance set",
        "performance-sample-count",
        "official",
        offline("effective_performance_sample_count", 1023),
    ),
    Fault("no query", "min-queries", "official", offline("effective_min_query_count", 0)),
    Fault("short offline query", "min-queries", "rules", offline("effective_samples_per_query", 24575)),
    Fault("short run", "min-duration", "official", offline("effective_min_duration_ms", 599999)),
    Fault("early stopping", "early-stopping", "official", server("early_stopping_met", value=False)),
    Fault("loose latency limit", "latency-limit", "official", server("effective_target_latency_ns", 15000001)),
    Fault("invalid run", "loadgen-validity", "rules", offline("result_validity", "INVALID")),
    Fault(
        "run ended early",
        "loadgen-validity",
        "rules",
        log_error(lambda t: t.performance("Server"), "IssueQueryThread 0 Ending early: Max query count reached."),
    ),
    Fault("latency not met", "latency-constraint", "rules", server("result_perf_constraints_met", value=False)),
    Fault(
        "error in the performance log",
        "loadgen-errors",
        "rules",
        log_error(lambda t: t.performance("Offline"), "Multiple conf files are used"),
    ),
    Fault("result of zero", "result-value", "official", offline("result_samples_per_second", 0)),
    Fault("result below zero", "result-value", "rules", offline("result_samples_per_second", -1)),
    # Accuracy
    Fault(
        "error in the accuracy log",
        "loadgen-errors",
        "official",
        log_error(lambda t: t.accuracy("Offline"), "Attempted to complete a sample twice."),
    ),
    Fault("accuracy run cut off", "log-incomplete", "rules", accuracy("power_end", None)),
    Fault("performance run as accuracy run", "log-mode", "rules", accuracy("effective_test_mode", "PerformanceOnly")),
    Fault("accuracy of another scenario", "log-scenario", "rules", accuracy("effective_scenario", "Server")),
    Fault("part of the data set", "dataset-size", "official", accuracy("effective_accuracy_sample_count", 49999)),
    Fault("low accuracy in the open division", "accuracy-target", "advice", accuracy_text("90.000", "75.695")),
    Fault("no metric", "accuracy-metric-missing", "rules", accuracy_text("accuracy=", "score ")),
    Fault("no hash", "accuracy-hash", "rules", accuracy_text("hash=", "sha256 ")),
    Fault("hash that is no sha256", "accuracy-hash", "rules", accuracy_text("hash=", "hash=x")),
    Fault("hash of another log", "accuracy-hash-mismatch", "rules", append("accuracy/mlperf_log_accuracy.json", " \n")),
)


def _closed(name: str, rule: str, severity: Severity, plant: Plant) -> Fault:
    return Fault(name, rule, severity, plant, division="closed")


def _network_fields(tree: TreeUnderTest) -> None:
    fields: JsonObject = dict.fromkeys(round_v61().system_description.required_network, "some value")
    tree.edit_json(tree.system_json, fields | {"is_network": "true"})


CLOSED_FAULTS: tuple[Fault, ...] = (
    _closed("no calibration document", "missing-calibration", "rules", remove("documentation")),
    _closed(
        "own benchmark", "benchmark-not-official", "rules", rename(lambda t: t.result("Offline").parent, "my-resnet50")
    ),
    _closed("other category", "benchmark-not-in-category", "official", system({"system_type": "datacenter"})),
    _closed("scenario missing", "missing-scenario", "official", lambda tree: shutil.rmtree(tree.result("MultiStream"))),
    _closed("compliance test missing", "missing-compliance", "official", remove("{result}/TEST04")),
    _closed("verification missing", "missing-compliance", "official", remove("{result}/TEST01/verify_accuracy.txt")),
    _closed(
        "compliance log not truncated",
        "accuracy-log-size",
        "advice",
        write("{result}/TEST01/accuracy/mlperf_log_accuracy.json", "x" * 10241),
    ),
    _closed("low accuracy", "accuracy-target", "official", accuracy_text("90.000", "75.695")),
    _closed("accuracy that is no number", "accuracy-target", "official", accuracy_text("90.000", "90.0.0")),
    _closed(
        "lower accuracy after the hash",
        "accuracy-target",
        "rules",
        append("accuracy/accuracy.txt", "accuracy=70.000%\n"),
    ),
    _closed("no metric", "accuracy-metric-missing", "official", accuracy_text("accuracy=", "score ")),
    _closed("no hash", "accuracy-hash", "official", accuracy_text("hash=", "sha256 ")),
    _closed("short offline query", "min-queries", "official", offline("effective_samples_per_query", 24575)),
    _closed("network system", "system-network", "official", _network_fields),
)
