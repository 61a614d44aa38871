from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ToolError
from mlperf_ops.harness.dataset import open_dataset
from mlperf_ops.model import DatasetRequest
from mlperf_ops.store import Prepared, prepare

pytestmark = [pytest.mark.integration, pytest.mark.network]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def _prepare(name: str, cache: Path) -> Prepared:
    try:
        return prepare(load_catalogue().component(name), cache)
    except ToolError as error:
        if "cannot be reached" in error.message:
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(
    ("benchmark_name", "top1", "top5"),
    [("efficientnet-lite0", 18, 19), ("efficientnet-lite1", 18, 20), ("efficientnet-lite2", 18, 20)],
)
def test_the_embedded_models_know_18_of_the_20_pictures(cache: Path, benchmark_name: str, top1: int, top5: int) -> None:
    catalogue = load_catalogue()
    benchmark = catalogue.benchmark(benchmark_name)
    data = catalogue.component("imagenet-20")
    assert benchmark.model is not None
    assert data.label_file is not None
    model = _prepare(benchmark.model.component, cache)
    pictures = _prepare(data.name, cache)
    request = DatasetRequest(
        component=data.name,
        path=str(pictures.path),
        sha256=pictures.sha256,
        label_file=data.label_file,
        total_count=None,
        preprocess=benchmark.preprocess,
    )
    dataset = open_dataset(request, None)
    assert dataset.count == data.sample_count == 20
    dataset.load(range(dataset.count))
    session = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])

    logits: Any = session.run([benchmark.model.output.name], {benchmark.model.input.name: dataset.batch(range(20))})[0]

    ranked = np.argsort(-logits, axis=1)
    labels = [dataset.label(index) for index in range(20)]
    assert sum(label == best[0] for label, best in zip(labels, ranked, strict=True)) == top1
    assert sum(label in best[:5] for label, best in zip(labels, ranked, strict=True)) == top5


def test_the_prepared_bytes_are_those_that_the_catalogue_pins(cache: Path) -> None:
    catalogue = load_catalogue()
    for name in ("efficientnet-lite0", "imagenet-20"):
        made = _prepare(name, cache)

        assert made.sha256 == catalogue.component(name).sha256
        assert not prepare(catalogue.component(name), cache, offline=True).fetched
