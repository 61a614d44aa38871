"""Values at both sides of each limit, values of the wrong type, and what compliance tests and cross-checks find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import Division, Scenario
from tests.support.faults import (
    Plant,
    accuracy,
    accuracy_text,
    append,
    measurements,
    offline,
    remove,
    rename,
    server,
    system,
    write,
)
from tests.support.submission_trees import (
    Fault,
    TreeUnderTest,
    add_line,
    edit_log,
    edit_run,
    edit_summary,
    figure,
    verify_performance,
)

_RUN = "{result}/performance/run_1"
_MIB = 1 << 20


def _together(*plants: Plant) -> Plant:
    def plant(tree: TreeUnderTest) -> None:
        for one in plants:
            one(tree)

    return plant


def _raw(log: Callable[[TreeUnderTest], Path], key: str, text: str) -> Plant:
    """Write a value into a log as it stands here, whatever JSON makes of it."""

    def plant(tree: TreeUnderTest) -> None:
        path = log(tree)
        lines = path.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines):
            if f'"key": "{key}"' in line:
                head, _, tail = line.partition('"value": ')
                rest = tail.partition(', "time_ms"')[2]
                lines[number] = f'{head}"value": {text}, "time_ms"{rest}'
        path.write_text("".join(lines))

    return plant


def _raw_offline(key: str, text: str) -> Plant:
    return _raw(lambda tree: tree.performance("Offline"), key, text)


def _sized(place: str, size: int) -> Plant:
    """Make a file of a size below the submitter's folder, without using the disk."""

    def plant(tree: TreeUnderTest) -> None:
        path = tree.submitter / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.truncate(size)

    return plant


def _accuracy_log(size: int) -> Plant:
    def plant(tree: TreeUnderTest) -> None:
        path = tree.result("Offline") / "accuracy/mlperf_log_accuracy.json"
        path.write_bytes(b"[\n\n...\n\n".ljust(size, b" "))

    return plant


def _test(test: str, values: JsonObject, scenario: Scenario = "Offline") -> Plant:
    """Edit the log of a compliance run."""
    return lambda tree: edit_run(tree.test(scenario, test), values)


def _speed(test: str, factor: float, scenario: Scenario = "Offline") -> Plant:
    """Let a compliance run measure another figure than the performance run, and its text say so."""

    def plant(tree: TreeUnderTest) -> None:
        field, value = figure(tree.performance(scenario))
        edit_log(tree.test(scenario, test), {field: value * factor})
        edit_summary(tree.test(scenario, test), {"Samples per second": f"{value * factor:.4f}"})
        verify_performance(tree, scenario, test)

    return plant


def _copy_of_performance(test: str, values: JsonObject | None = None) -> Plant:
    def plant(tree: TreeUnderTest) -> None:
        target = tree.test("Offline", test).parent
        shutil.rmtree(target)
        shutil.copytree(tree.performance("Offline").parent, target)
        if values:
            edit_log(tree.test("Offline", test), values)

    return plant


def _not_deterministic(baseline: str, compliance: str) -> Plant:
    """TEST01 whose answers differ, with the accuracy of both sets of samples."""
    return _together(
        write("{result}/TEST01/verify_accuracy.txt", "num_perf_log_data_mismatch = 7\nTEST FAIL\n"),
        write("{result}/TEST01/accuracy/baseline_accuracy.txt", baseline),
        write("{result}/TEST01/accuracy/compliance_accuracy.txt", compliance),
    )


def _bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _blank_line(tree: TreeUnderTest) -> None:
    path = tree.performance("Offline")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:9], "\n", *lines[9:]]))


def _one_ns_off(tree: TreeUnderTest) -> None:
    path = tree.performance("Offline")
    mean = cast("int", read_detail(path).values["result_mean_latency_ns"])
    edit_log(path, {"result_mean_latency_ns": mean + 1})


def _other_summary(tree: TreeUnderTest) -> None:
    name = "mlperf_log_summary.txt"
    shutil.copyfile(tree.performance("MultiStream").with_name(name), tree.performance("Offline").with_name(name))


def _conf(old: str, new: str) -> Plant:
    def plant(tree: TreeUnderTest) -> None:
        path = tree.result("Server") / "user.conf"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return plant


_COUNTS = (
    "effective_performance_sample_count",
    "effective_min_query_count",
    "effective_samples_per_query",
    "effective_min_duration_ms",
)
_NO_NUMBERS = ('"many"', "null", "[1]", "{}")

_TEXT_OF_SEED = '"2085463073848966840"'


def _server_raw(key: str, text: str) -> Plant:
    return _raw(lambda tree: tree.performance("Server"), key, text)


def _null_field(tree: TreeUnderTest) -> None:
    fields = json.loads(tree.system_json.read_text())
    tree.system_json.write_text(json.dumps(fields | {"framework": None}))


def _official(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "official", plant)


def _rules(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "rules", plant)


TYPE_FAULTS: tuple[Fault, ...] = (
    *(
        _official(f"{key} is {text}", "log-incomplete", _raw_offline(key, text))
        for key in _COUNTS
        for text in _NO_NUMBERS
    ),
    *(_official(f"no {key}", "log-incomplete", offline(key, None)) for key in _COUNTS),
    *(
        _official(f"no {seed}", "log-incomplete", offline(f"effective_{seed}", None))
        for seed in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
    ),
    *(
        _official(f"{seed} as text", "seeds", _raw_offline(f"effective_{seed}", _TEXT_OF_SEED))
        for seed in ("sample_index_rng_seed", "schedule_rng_seed")
    ),
    _official("scenario is null", "log-incomplete", _raw_offline("effective_scenario", "null")),
    _rules("validity is null", "loadgen-validity", _raw_offline("result_validity", "null")),
    _rules("validity in lower case", "loadgen-validity", offline("result_validity", "valid")),
    _official("early stopping is null", "early-stopping", _server_raw("early_stopping_met", "null")),
    _official("early stopping is 0", "early-stopping", server("early_stopping_met", 0)),
    _official("no early stopping", "log-incomplete", server("early_stopping_met", None)),
    _official("no latency bound", "log-incomplete", server("effective_target_latency_ns", None)),
    _official("latency bound is null", "log-incomplete", _server_raw("effective_target_latency_ns", "null")),
    *(
        _official(f"result is {text}", "result-value", _raw_offline("result_samples_per_second", text))
        for text in ('"fast"', "null", "[]", '""')
    ),
    *(
        _rules(f"result is {text}", "result-value", _raw_offline("result_samples_per_second", text))
        for text in ('"12.5"', "true", "NaN", "Infinity", "-Infinity")
    ),
    _official("accuracy samples as text", "dataset-size", accuracy("effective_accuracy_sample_count", "50000")),
    _official("one accuracy sample too many", "dataset-size", accuracy("effective_accuracy_sample_count", 50001)),
    _official("nodes as fraction", "system-field-type", system({"number_of_nodes": "1.5"})),
    _official("accelerators as list", "system-field-type", system({"accelerators_per_node": ["1"]})),
    _rules("blank field", "system-field-empty", system({"framework": "  "})),
    _official("null field", "system-field-empty", _null_field),
    _rules("blank measurement", "measurements-field-empty", measurements({"retraining": " \t"})),
    _official("measurement is an empty list", "measurements-field-empty", measurements({"retraining": []})),
    _official("measurement is zero", "measurements-field-empty", measurements({"weight_data_types": 0})),
)


def _closed(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "official", plant, division="closed")


def _closed_rules(name: str, rule: str, plant: Plant) -> Fault:
    return Fault(name, rule, "rules", plant, division="closed")


_ISSUE: JsonObject = {"effective_performance_issue_same": True, "effective_performance_issue_same_index": 3}
_SAMPLED = "effective_accuracy_log_sampling_target"
_TEXT01 = "{result}/TEST01/verify_accuracy.txt"
_SPEED01 = "{result}/TEST01/verify_performance.txt"

COMPLIANCE_FAULTS: tuple[Fault, ...] = (
    _closed_rules("TEST04 is the performance run", "compliance-copy", _copy_of_performance("TEST04")),
    _closed_rules("TEST01 is the performance run", "compliance-copy", _copy_of_performance("TEST01")),
    _closed_rules(
        "TEST04 is the performance run with edited settings", "compliance-copy", _copy_of_performance("TEST04", _ISSUE)
    ),
    _closed_rules(
        "samples differ", "compliance-evidence", _test("TEST04", {"effective_performance_issue_same": False})
    ),
    _closed_rules(
        "another sample", "compliance-evidence", _test("TEST04", {"effective_performance_issue_same_index": 2})
    ),
    _closed_rules(
        "unique samples", "compliance-evidence", _test("TEST04", {"effective_performance_issue_unique": True})
    ),
    _closed_rules(
        "no trace of audit.config", "compliance-evidence", _test("TEST01", {"effective_accuracy_log_rng_seed": 0})
    ),
    _closed_rules("too few answers sampled", "compliance-evidence", _test("TEST01", {_SAMPLED: 4095})),
    _closed_rules("sampling target is missing", "compliance-evidence", _test("TEST01", {_SAMPLED: None})),
    _closed_rules("TEST01 in another mode", "log-mode", _test("TEST01", {"effective_test_mode": "SubmissionRun"})),
    _closed("TEST01 with other seeds", "seeds", _test("TEST01", {"effective_qsl_rng_seed": 3066443479025735752})),
    _closed(
        "TEST01 with few samples",
        "performance-sample-count",
        _test("TEST01", {"effective_performance_sample_count": 1023}),
    ),
    _closed("TEST04 too short", "min-duration", _test("TEST04", {"effective_min_duration_ms": 599999})),
    _closed("TEST04 of few samples", "min-queries", _test("TEST04", {"effective_samples_per_query": 24575})),
    _closed("TEST01 without result", "log-incomplete", _test("TEST01", {"result_samples_per_second": None})),
    _closed(
        "TEST01 without early stopping", "early-stopping", _test("TEST01", {"early_stopping_met": False}, "MultiStream")
    ),
    _closed_rules("TEST01 not valid", "loadgen-validity", _test("TEST01", {"result_validity": "INVALID"})),
    _closed_rules(
        "error in the log of TEST04",
        "loadgen-errors",
        lambda tree: add_line(tree.test("Offline", "TEST04"), "error_runtime", "Attempted", is_error=True),
    ),
    _closed_rules("TEST01 too fast", "compliance-speed", _speed("TEST01", 1.101)),
    _closed_rules("TEST01 too slow", "compliance-speed", _speed("TEST01", 0.899)),
    _closed_rules("TEST04 too fast", "compliance-speed", _speed("TEST04", 1.101)),
    _closed_rules("TEST04 stream too fast", "compliance-speed", _speed("TEST04", 1 / 1.21, "SingleStream")),
    Fault(
        "text of an earlier run",
        "compliance-text",
        "advice",
        write(_SPEED01, "Reference score = 1.5\nTEST PASS\n"),
        division="closed",
    ),
    _closed(
        "TEST01 too fast by its text", "compliance-performance", write(_SPEED01, "TEST FAIL: Test score invalid\n")
    ),
    _closed(
        "pass in lower case", "compliance-performance", write("{result}/TEST04/verify_performance.txt", "test pass\n")
    ),
    _closed_rules(
        "pass with mismatches", "compliance-text", write(_TEXT01, "num_perf_log_data_mismatch = 3\nTEST PASS\n")
    ),
    _closed_rules(
        "pass with missing samples", "compliance-text", write(_TEXT01, "num_missing_qsl_idxs = 1\nTEST PASS\n")
    ),
    _closed(
        "accuracy of other answers", "compliance-accuracy", _not_deterministic("accuracy=76.8%\n", "accuracy=76.0%\n")
    ),
    _closed(
        "accuracy of better answers", "compliance-accuracy", _not_deterministic("accuracy=76.0%\n", "accuracy=76.8%\n")
    ),
    _closed("no accuracy of the answers", "compliance-accuracy", _not_deterministic("accuracy=76.0%\n", "score 76\n")),
    _closed("accuracy of zero", "compliance-accuracy", _not_deterministic("accuracy=0.0%\n", "accuracy=76.0%\n")),
    _closed(
        "accuracy that is no number twice",
        "compliance-accuracy",
        _not_deterministic("accuracy=7.6.0\n", "accuracy=76\n"),
    ),
    _closed(
        "no baseline",
        "missing-compliance",
        _together(
            _not_deterministic("accuracy=76.0%\n", "accuracy=76.0%\n"),
            remove("{result}/TEST01/accuracy/baseline_accuracy.txt"),
        ),
    ),
    _closed("file beside TEST01's logs", "stray-file", write("{result}/TEST01/performance/run_1/console.log")),
    _closed_rules("file beside TEST01's answers", "stray-file", write("{result}/TEST01/accuracy/console.log")),
    Fault(
        "test of another benchmark",
        "compliance-not-needed",
        "advice",
        write("{result}/TEST06/verify_accuracy.txt"),
        division="closed",
    ),
    _official(
        "damaged log of a test that nobody asked for",
        "log-unreadable",
        write("{result}/TEST01/performance/run_1/mlperf_log_detail.txt", "Killed\n"),
    ),
    _official(
        "text of a test that nobody asked for",
        "text-encoding",
        lambda tree: _bytes(tree.result("Offline") / "TEST06/verify_accuracy.txt", b"\xe9\n"),
    ),
)

_LATENCY = "99.00 percentile latency (ns)"


def _summary(scenario: Scenario, label: str, value: str) -> Plant:
    """Let the summary of a performance run say something else."""
    return lambda tree: edit_summary(tree.performance(scenario), {label: value})


CONSISTENCY_FAULTS: tuple[Fault, ...] = (
    _rules("summary of another run", "summary-mismatch", _other_summary),
    _rules("summary says valid", "summary-mismatch", _summary("Offline", "Result is", "INVALID")),
    _rules(
        "summary with another figure",
        "summary-mismatch",
        _summary("Server", "Completed samples per second    ", "1.00"),
    ),
    _rules("mean latency one ns off", "summary-mismatch", _one_ns_off),
    *(
        _rules(f"{scenario} with another latency", "summary-mismatch", _summary(scenario, _LATENCY, "1"))
        for scenario in ("Server", "MultiStream")
    ),
    *(
        _rules(f"performance run with {key}", "leftover-audit-config", offline(key, value))
        for key, value in (
            ("effective_performance_issue_same", True),
            ("effective_accuracy_log_rng_seed", 720381539243781796),
            (_SAMPLED, 4096),
        )
    ),
    _rules("accuracy run with audit.config", "leftover-audit-config", accuracy(_SAMPLED, 4096)),
    Fault("accuracy run of another LoadGen", "loadgen-version", "advice", accuracy("loadgen_version", "5.1.0 @ 1")),
    Fault("user.conf of another run", "user-conf-mismatch", "advice", _conf("target_qps = 3000", "target_qps = 2999")),
    Fault("duration of another run", "user-conf-mismatch", "advice", _conf("= 600000", "= 660000")),
)

LIMIT_FAULTS: tuple[Fault, ...] = (
    _closed("accuracy just below", "accuracy-target", accuracy_text("90.000", "75.6953")),
    Fault("accuracy log just too large", "accuracy-log-size", "official", _accuracy_log(10241)),
    _rules("file just too large", "file-size", _sized("src/model.bin", 50 * _MIB + 1)),
    _rules("file many times too large", "file-size", _sized("src/model.bin", 5000 * _MIB)),
)

VALUE_FAULTS = (*TYPE_FAULTS, *COMPLIANCE_FAULTS, *CONSISTENCY_FAULTS, *LIMIT_FAULTS)


@dataclass(frozen=True)
class Harmless:
    """A change that nobody may object to: a value just within its limit, or a form that is allowed as well."""

    name: str
    plant: Plant
    division: Division = "open"

    def __str__(self) -> str:
        return self.name


def _in_closed(name: str, plant: Plant) -> Harmless:
    return Harmless(name, plant, division="closed")


HARMLESS: tuple[Harmless, ...] = (
    _in_closed("accuracy just met", accuracy_text("90.000", "75.6954")),
    _in_closed("shortest offline query", offline("effective_samples_per_query", 24576)),
    _in_closed("TEST01 just not too fast", _speed("TEST01", 1.099)),
    _in_closed("TEST01 just not too slow", _speed("TEST01", 0.901)),
    _in_closed("TEST01 of a stream just not too slow", _speed("TEST01", 1.099, "SingleStream")),
    _in_closed("TEST04 just not too fast", _speed("TEST04", 1.099)),
    _in_closed("TEST04 much slower", _speed("TEST04", 0.1)),
    _in_closed("TEST04 of a stream just not too fast", _speed("TEST04", 1 / 1.09, "SingleStream")),
    _in_closed("TEST04 of a stream much slower", _speed("TEST04", 10, "SingleStream")),
    _in_closed("more answers sampled", _test("TEST01", {_SAMPLED: 50000})),
    _in_closed("answers differ within the bound", _not_deterministic("accuracy=76.7%\n", "accuracy=76.0%\n")),
    _in_closed(
        "accuracy log beside TEST01's logs", write("{result}/TEST01/performance/run_1/mlperf_log_accuracy.json")
    ),
    _in_closed("trace beside TEST04's logs", write("{result}/TEST04/performance/run_1/mlperf_log_trace.json")),
    Harmless("one query", offline("effective_min_query_count", 1)),
    Harmless("shortest run", offline("effective_min_duration_ms", 600000)),
    Harmless("smallest performance set", offline("effective_performance_sample_count", 1024)),
    Harmless("largest performance set", offline("effective_performance_sample_count", 2**63 - 1)),
    Harmless("target latency at its bound", server("effective_target_latency_ns", 15000000)),
    Harmless("accuracy log at its limit", _accuracy_log(10240)),
    Harmless("file at its limit", _sized("src/model.bin", 50 * _MIB)),
    Harmless("empty line in a log", _blank_line),
    Harmless("numbers as text in the description", system({"number_of_nodes": "2", "accelerators_per_node": "8"})),
    Harmless("status in capitals", system({"status": "AVAILABLE"})),
    Harmless("unicode in the description", system({"hw_notes": "\u00e9 \u65e5\u672c \U0001f600"})),
    Harmless("further field", system({"note_of_ours": "nobody knows it"})),
    Harmless("folder name in capitals", rename(lambda t: t.result("Offline"), "Offline")),
    Harmless("trace log", write(f"{_RUN}/mlperf_log_trace.json", "[]")),
    Harmless("results.json of a vendor", write(f"{_RUN}/results.json", "{}")),
    Harmless("a .gitkeep", write(f"{_RUN}/.gitkeep", "")),
    Harmless("worse line before a better one", append("accuracy/accuracy.txt", "accuracy=91.000%\n")),
)
