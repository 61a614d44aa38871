"""Specs of real cells on generated pictures, for tests that run the harness."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.model import AccuracyRequest, BackendRequest, Cell, LoadgenRequest, ModelRequest, Spec
from tests.support.images import ImageFolder

LoadgenScenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
HARNESS_ARGV = ("{python}", "-m", "mlperf_ops.harness.sut", "--spec", "spec.json")
SINGLE_THREAD = BackendRequest("onnxruntime", intra_op_threads=1, streams=1)


def make_spec(
    images: ImageFolder,
    model: ModelRequest | None,
    scenario: LoadgenScenario = "Offline",
    *,
    accuracy: bool = True,
    queries: int = 50,
    **changes: Any,  # noqa: ANN401  # fields of Spec
) -> Spec:
    """Make a cell of a few seconds at most: `queries` queries, no minimum duration, the round's seeds expected."""
    round_ = load_catalogue().round("v6.1")
    count_keys = ("min_query_count",) if scenario == "Server" else ("min_query_count", "max_query_count")
    conf = "".join(f"resnet50.{scenario}.{key} = {queries}\n" for key in count_keys)
    target = "target_latency = 1000" if scenario in ("SingleStream", "MultiStream") else "target_qps = 200"
    spec = Spec(
        cell=Cell("sut", "resnet50", scenario, "accuracy" if accuracy else "performance"),
        official_benchmark="resnet",
        round="v6.1",
        division="open",
        run_style="test",
        implementation="harness",
        simulated=model is None,
        argv=HARNESS_ARGV,
        env={},
        loadgen=LoadgenRequest(
            conf_model="resnet50",
            scenario=scenario,
            mode="AccuracyOnly" if accuracy else "PerformanceOnly",
            user_conf=f"{conf}resnet50.{scenario}.min_duration = 0\nresnet50.{scenario}.{target}\n",
            expect={
                "effective_qsl_rng_seed": round_.seeds.qsl_rng_seed,
                "effective_sample_index_rng_seed": round_.seeds.sample_index_rng_seed,
                "effective_schedule_rng_seed": round_.seeds.schedule_rng_seed,
                "effective_scenario": scenario,
            },
        ),
        model=model,
        dataset=images.request(),
        task="image_classification",
        backend=SINGLE_THREAD,
        accuracy=AccuracyRequest("acc", 75.6954, None, gate=True),
        cpu_affinity=None,
        warmup_seconds=0.05,
        packages={},
    )
    return dataclasses.replace(spec, **changes)


def request_of(spec: Spec) -> dict[str, Any]:
    """The plan's view of a spec: without paths, digests and versions, which only the host knows."""
    request: dict[str, Any] = dataclasses.asdict(spec)
    request["packages"] = {}
    for part in ("model", "dataset"):
        if request[part] is not None:
            request[part] |= {"path": "", "sha256": ""}
    return request


def provision_of(spec: Spec, python: str) -> dict[str, Any]:
    """The host's state/provision.json that holds what a spec needs."""
    components: dict[str, Any] = {spec.dataset.component: {"path": spec.dataset.path, "sha256": "d" * 64}}
    if spec.model is not None:
        components[spec.model.component] = {"path": spec.model.path, "sha256": "a" * 64}
    return {
        "schema": 1,
        "python": {"path": python, "version": "3", "digest": "0", "packages": {"onnxruntime": "1"}},
        "harness": {"path": str(Path(__file__).parents[2]), "sha256": "e" * 64},
        "components": components,
    }
