"""A tree of any number of results, GENERATED: it measures the checker, and its numbers mean nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from mlperf_ops.files import Json, JsonObject, sha256_text

_SCENARIOS = ("SingleStream", "MultiStream", "Offline")
_ACCURACY_LOG = "[\n]\n"
_FILLER_LINES = 150  # a real performance log has about 230 messages


def make_tree(root: Path, results: int, round_: Round) -> None:
    """Write a tree of round v6.x with this many results, all of the open division and an official benchmark."""
    submitter = root / "open/Generated"
    write(submitter / "src/README.md", "generated\n")
    write(submitter / "model_mapping.json", "{}")
    for number in range(results):
        system = f"system{number // len(_SCENARIOS):05}"
        scenario = _SCENARIOS[number % len(_SCENARIOS)]
        if scenario == _SCENARIOS[0]:
            write(submitter / f"systems/{system}.json", json.dumps(_description(round_, system)))
        _result(submitter / f"results/{system}/resnet50/{scenario}", scenario, number, round_)


def write(path: Path, text: str) -> None:
    """Write a text, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _description(round_: Round, system: str) -> JsonObject:
    fields: JsonObject = dict.fromkeys(round_.system_description.required, "generated")
    numbers: JsonObject = dict.fromkeys(round_.system_description.integer_fields_used_by_report, "1")
    fixed: JsonObject = {"submitter": "Generated", "division": "open", "status": "available", "system_type": "edge"}
    return fields | numbers | fixed | {"system_name": system, "hw_notes": "", "sw_notes": ""}


def _result(folder: Path, scenario: str, number: int, round_: Round) -> None:
    measured: JsonObject = dict.fromkeys(round_.measurements_required_non_empty, "generated")
    write(folder / "measurements.json", json.dumps(measured))
    write(folder / "user.conf", "*.Offline.target_qps = 1\n")
    write(folder / "README.md", "generated\n")
    common: JsonObject = {
        "loadgen_version": "generated",
        "test_datetime": f"generated {number}",
        "effective_scenario": scenario,
        "effective_performance_sample_count": 1024,
        "effective_min_query_count": 300000,
        "effective_samples_per_query": 30000,
        "effective_min_duration_ms": 600000,
        "qsl_reported_total_count": 50000,
        **{f"effective_{name}": value for name, value in round_.seeds.model_dump().items()},
        **{f"requested_filler_{line}": line for line in range(_FILLER_LINES)},
    }
    ended: JsonObject = {
        "early_stopping_met": True,
        "early_stopping_latency_ss": 1000000 + number,
        "early_stopping_latency_ms": 8000000 + number,
        "result_samples_per_second": 1000.5 + number,
        "result_mean_latency_ns": 900000,
        "result_mean_query_latency_ns": 7000000,
        "result_validity": "VALID",
        "num_errors": 0,
    }
    performance: JsonObject = common | {"effective_test_mode": "PerformanceOnly"} | ended
    accuracy: JsonObject = common | {"effective_test_mode": "AccuracyOnly", "power_end": ""}
    accuracy |= {"effective_performance_sample_count": 50000}
    for place, values in (("performance/run_1", performance), ("accuracy", accuracy)):
        write(folder / place / "mlperf_log_detail.txt", "".join(_line(*one) for one in values.items()))
        write(folder / place / "mlperf_log_summary.txt", "generated\n")
    write(folder / "accuracy/mlperf_log_accuracy.json", _ACCURACY_LOG)
    digest = sha256_text(_ACCURACY_LOG)
    write(folder / "accuracy/accuracy.txt", f"accuracy=76.100%, good=38050, total=50000\nhash={digest}\n")


def _line(key: str, value: Json) -> str:
    metadata = '{"is_error": false, "is_warning": false, "file": "generated.cc", "line_no": 1, "pid": 1, "tid": 1}'
    head = f':::MLLOG {{"key": "{key}", "value": {json.dumps(value)}, "time_ms": 1.0, "namespace": "mlperf::logging", '
    return f'{head}"event_type": "POINT_IN_TIME", "metadata": {metadata}}}\n'
