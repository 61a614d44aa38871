"""Trees with one result of MLPerf Endpoints: the files as its exports are, with figures that pass, and planted faults.

MLPerf Endpoints itself cannot run here; the figures are made up, in the form that the official parser reads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import Severity
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Scenario
from tests.support.attempts import RealLogs
from tests.support.submission_trees import TreeUnderTest, good_tree, round_v61

CACHING = round_v61().endpoints.compliance["TEST04"]
CONFIG, SUMMARY, SCORES = "config.yaml", "performance/result_summary.json", "accuracy/accuracy_results.json"
_VL = "qwen3-vl-235b-a22b"
_TYPES = {"Offline": "offline", "Server": "online", "Interactive": "online", "SingleStream": "submission"}


def endpoints_tree(
    root: Path, logs: RealLogs, model: str, scenario: Scenario = "Offline", *, closed: bool = False
) -> TreeUnderTest:
    """A result without logs, with all files and figures that it needs."""
    tree = good_tree(
        root,
        logs,
        division="closed" if closed else "open",
        scenarios=("Offline",),
        benchmark=model,
        system_type="datacenter",
    )
    result = tree.result("Offline")
    for name in ("performance", "accuracy", "TEST01", "TEST04"):
        shutil.rmtree(result / name, ignore_errors=True)
    (result / "user.conf").unlink()
    for name in ("performance", "accuracy", "audit"):
        (result / name).mkdir()
    if scenario != "Offline":
        result = result.rename(result.with_name(scenario))
    round_ = round_v61()
    (result / CONFIG).write_text(yaml.safe_dump(settings(round_, scenario)))
    (result / SUMMARY).write_text(json.dumps(summary()))
    (result / SCORES).write_text(json.dumps(scores(round_, model, scenario)))
    audit(tree, passed=True, scenario=scenario)
    return tree


def settings(round_: Round, scenario: Scenario) -> JsonObject:
    """What config.yaml holds."""
    return {
        "type": _TYPES[scenario],
        "settings": {
            "runtime": {
                "min_duration_ms": 600000,
                "dataloader_random_seed": round_.seeds.sample_index_rng_seed,
                "scheduler_random_seed": round_.seeds.schedule_rng_seed,
            }
        },
    }


def summary() -> JsonObject:
    """What result_summary.json holds; latencies in ns."""
    percentiles: JsonObject = {"90": 1.5e8, "99": 2e8, "99.9": 3e8}
    return {
        "n_samples_issued": 72000,
        "n_samples_completed": 72000,
        "n_samples_failed": 0,
        "duration_ns": 720000000000,
        "qps": 100.5,
        "tps": 12500.25,
        "latency": {"avg": 1e8, "early_stopping_percentiles": percentiles},
        "ttft": {"early_stopping_percentiles": percentiles},
        "tpot": {"early_stopping_percentiles": {"99": 1e7}},
        "output_sequence_lengths": {"avg": 1278.2},
    }


def scores(round_: Round, model: str, scenario: Scenario) -> JsonObject:
    """What accuracy_results.json holds, in two data sets."""
    samples = round_.accuracy_sample_count(model, scenario)
    return {
        "accuracy_scores": [
            {"dataset_type": "accuracy", "score": {"f1": 0.7903}, "total_samples": samples - 7},
            {"score": 0.5, "response_counts": {"issued": 7}},
            {"dataset_type": "performance", "total_samples": 72000},
        ]
    }


def audit(tree: TreeUnderTest, *, passed: bool, test: str = CACHING, scenario: Scenario = "Offline") -> None:
    """Write the audit of output caching."""
    path = tree.result(scenario) / f"audit/audit_{CACHING}.json"
    path.write_text(json.dumps({"test": test, "passed": passed}))


def put(name: str, path: str, value: Json) -> Callable[[Path], None]:
    """Return what sets a value in an exported file; names of the path have "/" between them; None removes it."""

    def plant(result: Path) -> None:
        file = result / name
        content = cast("JsonObject", yaml.safe_load(file.read_text()))
        *above, last = path.split("/")
        holder = content
        for key in above:
            found = holder[key]
            holder = cast("JsonObject", found)
        if value is None:
            del holder[last]
        else:
            holder[last] = value
        file.write_text(yaml.safe_dump(content) if name.endswith(".yaml") else json.dumps(content))

    return plant


def put_score(index: int, key: str, value: Json) -> Callable[[Path], None]:
    """Return what sets a value of one data set's score."""

    def plant(result: Path) -> None:
        content = json.loads((result / SCORES).read_text())
        content["accuracy_scores"][index][key] = value
        (result / SCORES).write_text(json.dumps(content))

    return plant


def _issued(beyond: int) -> Callable[[Path], None]:
    """Return what states the number of issued samples of _VL, and of no data set how many were scored."""

    def plant(result: Path) -> None:
        issued = round_v61().accuracy_sample_count(_VL, "Offline") + beyond
        (result / SCORES).write_text(
            json.dumps({"n_samples_issued": issued, "accuracy_scores": [{"score": {"f1": 0.8}}]})
        )

    return plant


@dataclass(frozen=True)
class EndpointsCase:
    """A change of a good result, and who objects by which rules; none: nobody does."""

    name: str
    plant: Callable[[Path], object]
    rules: frozenset[str] = frozenset()
    severity: Severity = "official"
    model: str = "llama3.1-8b"
    scenario: Scenario = "Server"

    def __str__(self) -> str:
        """Name the test."""
        return self.name


def _case(  # a row of the table below
    name: str,
    plant: Callable[[Path], object],
    *rules: str,
    severity: Severity = "official",
    model: str = "llama3.1-8b",
    scenario: Scenario = "Server",
) -> EndpointsCase:
    return EndpointsCase(name, plant, frozenset(rules), severity, model, scenario)


_RUN = "settings/runtime"
CASES = (
    _case("index seed of another round", put(CONFIG, f"{_RUN}/dataloader_random_seed", 42), "seeds"),
    _case("schedule seed of another round", put(CONFIG, f"{_RUN}/scheduler_random_seed", 42), "seeds"),
    _case("no seed", put(CONFIG, f"{_RUN}/scheduler_random_seed", None), "seeds"),
    _case("600 s", put(CONFIG, f"{_RUN}/min_duration_ms", 600000)),
    _case("a millisecond too short", put(CONFIG, f"{_RUN}/min_duration_ms", 599999), "min-duration"),
    _case("no duration", put(CONFIG, f"{_RUN}/min_duration_ms", None), "min-duration"),
    _case("duration as text", put(CONFIG, f"{_RUN}/min_duration_ms", "600000"), "min-duration"),
    _case("first token in time", put(SUMMARY, "ttft/early_stopping_percentiles/99", 2e9 - 1)),
    _case("first token late", put(SUMMARY, "ttft/early_stopping_percentiles/99", 2e9), "token-latency"),
    _case("output token late", put(SUMMARY, "tpot/early_stopping_percentiles/99", 1e8), "token-latency"),
    _case("no token latency", put(SUMMARY, "tpot", None), "token-latency"),
    _case(
        "Interactive has limits of its own",
        put(SUMMARY, "ttft/early_stopping_percentiles/99", 5e8),
        "token-latency",
        scenario="Interactive",
    ),
    _case("Interactive in time", put(SUMMARY, "ttft/early_stopping_percentiles/99", 5e8 - 1), scenario="Interactive"),
    _case("Offline has no latency", put(SUMMARY, "ttft", None), scenario="Offline"),
    _case("latency within the limit", put(SUMMARY, "latency/early_stopping_percentiles/99", 12e9), model=_VL),
    _case(
        "latency above the limit",
        put(SUMMARY, "latency/early_stopping_percentiles/99", 12e9 + 1),
        "latency-limit",
        model=_VL,
    ),
    _case("no latency", put(SUMMARY, "latency", None), "latency-limit", model=_VL),
    _case("another scenario", put(CONFIG, "type", "offline"), "log-scenario"),
    _case("no scenario", put(CONFIG, "type", None), "log-scenario", scenario="Offline"),
    _case("submission as scenario", put(CONFIG, "type", "submission"), "log-scenario", scenario="Offline"),
    _case("no result", put(SUMMARY, "tps", None), "result-value"),
    _case("result of zero", put(SUMMARY, "tps", 0), "result-value"),
    _case("result below zero", put(SUMMARY, "tps", -1.5), "result-value", severity="rules"),
    _case("rate out of count and duration", put(SUMMARY, "qps", None), scenario="Offline"),
    _case("neither rate nor duration", put(SUMMARY, "duration_ns", None), "result-value", scenario="Offline"),
    _case("one sample is not scored", put_score(1, "response_counts", {"issued": 6}), "dataset-size"),
    _case("a sample too many", put_score(1, "response_counts", {"issued": 8}), "dataset-size"),
    _case("samples of the performance data do not count", put_score(2, "total_samples", 1)),
    _case("issued samples where no data set has a number", _issued(0), model=_VL, scenario="Offline"),
    _case("an issued sample too many", _issued(1), "dataset-size", model=_VL, scenario="Offline"),
    _case("settings under their other name", lambda result: (result / CONFIG).rename(result / "config.yml")),
    _case("failed samples of the accuracy run", put(SCORES, "n_samples_failed", 3), "loadgen-errors"),
    _case("failed samples of the performance run", put(SUMMARY, "n_samples_failed", 3)),
    _case("short outputs", put(SUMMARY, "output_sequence_lengths/avg", 1150), "endpoints-audit", model="gpt-oss-120b"),
    _case("long outputs", put(SUMMARY, "output_sequence_lengths/avg", 1407), "endpoints-audit", model="gpt-oss-120b"),
    _case(
        "outputs of no length", put(SUMMARY, "output_sequence_lengths", None), "endpoints-audit", model="gpt-oss-120b"
    ),
)
