"""Open results of scenarios that the round does not have for the benchmark, and of folders in another spelling."""

from __future__ import annotations

from pathlib import Path

from mlperf_ops.files import JsonObject
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.submission_trees import TreeUnderTest, add_line, edit_log, good_tree, round_v61

_ROUGE = "{'rouge1': '39.0', 'rouge2': '16.1', 'rougeL': '24.6', 'rougeLsum': '36.1', 'gen_len': 3050000}"
_TEXTS = {
    "qwen3.6-27b": "mAP=90.0",
    "qwen3-vl-235b-a22b": '{"f1": 0.79}',
    "llama3.1-8b-edge": _ROUGE,
    "yolo-95": "mAP=60",
}

# benchmark, scenario, folder, the rule by which the official checker objects; None: it does not
ODD_SCENARIOS: tuple[tuple[str, Scenario, str, str | None], ...] = (
    ("qwen3.6-27b", "SingleStream", "SingleStream", None),
    ("qwen3.6-27b", "Offline", "Offline", "min-queries"),
    ("llama3.1-8b-edge", "Offline", "Offline", None),
    ("llama3.1-8b-edge", "Server", "Server", "token-latency"),
    ("qwen3-vl-235b-a22b", "Offline", "Offline", None),
    ("qwen3-vl-235b-a22b", "Offline", "offline", "dataset-size"),
    ("qwen3-vl-235b-a22b", "SingleStream", "SingleStream", "dataset-size"),
    ("yolo-95", "Server", "Server", None),
    ("yolo-95", "Offline", "offline", None),
)


def odd_tree(root: Path, logs: RealLogs, model: str, scenario: Scenario, folder: str) -> TreeUnderTest:
    """A tree with one result, EDITED to the counts of the benchmark."""
    tree, rules = good_tree(root, logs, benchmark=model, scenarios=(scenario,)), round_v61().models[model]
    count = round_v61().accuracy_sample_count(model, scenario)
    edit_log(tree.accuracy(scenario), {"effective_accuracy_sample_count": count})
    values: JsonObject = {
        "effective_performance_sample_count": rules.performance_sample_count,
        "effective_samples_per_query": rules.offline_min_samples_per_query or 1000,
        "effective_target_latency_ns": 0,
    }
    edit_log(tree.performance(scenario), values)
    if rules.requires_token_latencies:
        for key, value in (
            ("requested_use_token_latencies", True),
            ("result_tokens_per_second", 5000.0),
            ("result_first_token_99.00_percentile_latency_ns", 1),
            ("result_time_per_output_token_99.00_percentile_ns", 1),
        ):
            add_line(tree.performance(scenario), key, value)
    text = tree.result(scenario) / "accuracy/accuracy.txt"
    text.write_text(f"{_TEXTS[model]}\n{text.read_text().splitlines()[-1]}\n")
    tree.result(scenario).rename(tree.result(scenario).with_name(folder))
    return tree
