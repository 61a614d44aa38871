"""What an INVALID run of real LoadGen says: figures of that very run, and a target that leads to a valid one."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from mlperf_ops.harness.supervisor import new_attempt, run_cell
from mlperf_ops.model import ModelRequest, Result
from tests.support.images import ImageFolder, make_images, write_colour_model
from tests.support.specs import LoadgenScenario, make_spec

pytestmark = pytest.mark.integration

_STEPS = 5  # a run of a few queries knows its speed badly


class Bench:
    """A small model whose settings of LoadGen can be chosen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: ImageFolder = make_images(folder / "imagenet", 12)
        self.model: ModelRequest = write_colour_model(folder / "m.onnx")

    def run(self, scenario: LoadgenScenario, **settings: float) -> Result:
        spec = make_spec(self.images, self.model, scenario, accuracy=False)
        conf = "".join(f"resnet50.{scenario}.{key} = {value:g}\n" for key, value in settings.items())
        spec = dataclasses.replace(spec, loadgen=dataclasses.replace(spec.loadgen, user_conf=conf))
        return run_cell(spec, new_attempt(self.folder / scenario), request_sha256="request")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    ("scenario", "key", "target", "queries", "advice"),
    [
        ("Offline", "target_qps", 20.0, 20, r"raise target_qps from ([\d.]+) to about ([\d.]+)"),
        ("SingleStream", "target_latency", 900.0, 100, r"lower target_latency_ms from ([\d.]+) to about ([\d.]+)"),
        ("MultiStream", "target_latency", 900.0, 700, r"lower target_latency_ms from ([\d.]+) to about ([\d.]+)"),
    ],
)
def test_the_target_that_a_run_too_short_suggests_makes_it_long_enough(
    bench: Bench, scenario: LoadgenScenario, key: str, target: float, queries: int, advice: str
) -> None:
    seconds = 12.0 if scenario == "MultiStream" else 3.0
    for _ in range(_STEPS):
        settings = {key: target, "min_query_count": queries, "min_duration": seconds * 1000}
        result = bench.run(scenario, **settings)
        assert result.failure is None
        if result.verdict == "valid":
            return
        (reason,) = result.reasons
        told = re.fullmatch(
            rf"LoadGen says INVALID: shorter than its minimum duration: ([\d.]+) s of {seconds:g} s \({advice}\)",
            reason,
        )
        assert told is not None, reason
        took, was, new = map(float, told.groups())
        assert took < seconds
        assert was == pytest.approx(target, rel=1e-3)
        target = new
    raise AssertionError("the suggestions did not lead to a valid run")


def test_a_rate_that_is_too_high_is_told_with_its_latency_and_a_lower_rate(bench: Bench) -> None:
    settings = {"target_qps": 20000.0, "target_latency": 15.0, "min_query_count": 5000, "min_duration": 500}
    result = bench.run("Server", **settings)
    assert result.verdict == "invalid"
    (reason,) = result.reasons
    told = re.fullmatch(
        r"LoadGen says INVALID: the latency constraint was missed: p99 (\d+) ms > 15 ms at 20000 qps "
        r"\(lower target_qps to about 10000, it completed only (\d+) qps\)",
        reason,
    )
    assert told is not None, reason
    assert int(told[1]) > 15
    assert int(told[2]) < 0.98 * 20000


def test_too_few_queries_for_early_stopping_are_counted(bench: Bench) -> None:
    result = bench.run("SingleStream", target_latency=1000, min_query_count=10, min_duration=0)
    (reason,) = result.reasons
    assert reason == (
        "LoadGen says INVALID: early stopping was not satisfied: 10 of 64 queries "
        "(raise mlperf_test_query_count to at least 64)"
    )
