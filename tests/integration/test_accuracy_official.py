"""Our figures against those of the official accuracy scripts, on generated data: equal to the last printed digit.

MLPERF_INFERENCE_CHECKOUT names a checkout of mlcommons/inference. MLPERF_ACCURACY_PYTHON names a Python that has what
its scripts import (docs/reference/accuracy.md lists it). A script whose packages that Python lacks fails its test,
because a skip would hide that nothing was compared. nltk's punkt_tab has to be where nltk looks for it (NLTK_DATA).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlperf_ops.cli import app
from tests.support import accuracy_logs as made

CHECKOUT, PYTHON = os.environ.get("MLPERF_INFERENCE_CHECKOUT"), os.environ.get("MLPERF_ACCURACY_PYTHON")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHECKOUT is None, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"),
    pytest.mark.skipif(PYTHON is None, reason="MLPERF_ACCURACY_PYTHON names no Python with the scripts' packages"),
]

Make = Callable[[Path], dict[str, Path]]
INT32 = "dtype=int32"
CASES: dict[str, tuple[Make, str, str, list[str]]] = {
    "top-1, float32": (partial(made.images, dtype="float32"), "resnet", "v6.1", []),
    "top-1, int32": (partial(made.images, dtype="int32"), "resnet", "v6.1", [INT32]),
    "top-1, int64": (partial(made.images, dtype="int64"), "resnet", "v6.1", ["dtype=int64"]),
    "top-1 of a graph": (made.graph, "rgat", "v6.1", []),
    "top-1 of a graph, int64": (partial(made.graph, dtype="int64"), "rgat", "v5.1", ["dtype=int64"]),
    "mAP": (made.detections, "retinanet", "v6.0", []),
    "mAP, inverse map": (partial(made.detections, inverse=True), "retinanet", "v6.0", ["use_inv_map=true"]),
    "mAP, COCO": (made.detections, "yolo-99", "v6.1", []),
    "F1": (made.squad, "bert-99.9", "v6.1", []),
    "F1, transposed": (
        partial(made.squad, dtype="float16", transposed=True),
        "bert",
        "v5.1",
        ["dtype=float16", "transposed=true"],
    ),
    "Dice": (made.volumes, "3d-unet", "v6.1", []),
    "Dice, int32": (partial(made.volumes, dtype="int32"), "3d-unet", "v6.1", [INT32]),
    "WER": (made.transcripts, "whisper", "v6.1", []),
    "WER, int8": (partial(made.transcripts, dtype="int8"), "whisper", "v6.1", ["dtype=int8"]),
    "AUC": (made.clicks, "dlrm-v2", "v5.1", ["sample_count=40"]),
    "AUC, labels apart": (partial(made.clicks, beside=False), "dlrm-v2", "v5.1", []),
    "entropy, accuracy and session AUC": (made.sessions, "dlrm-v3", "v6.1", ["sample_count=30"]),
    "ROUGE": (made.articles, "llama3.1-8b", "v6.1", [INT32]),
    "ROUGE, int64": (partial(made.articles, clean_up=False, dtype="int64"), "llama3.1-8b-edge", "v6.0", []),
    "ROUGE and tokens": (made.articles, "llama2-70b", "v6.0", [INT32]),
    "long context": (made.long_texts, "llama3.1-405b", "v6.0", [INT32]),
    "mixed questions": (made.mixed_questions, "mixtral-8x7b", "v6.0", [INT32]),
}


@pytest.mark.parametrize("case", CASES)
def test_both_print_the_same_line(case: str, tmp_path: Path) -> None:
    make, benchmark, round_, parameters = CASES[case]
    inputs = make(tmp_path)
    if benchmark in ("llama2-70b", "llama3.1-405b", "mixtral-8x7b"):
        inputs["labels"] = _as_pickle(inputs["labels"])  # what these scripts read
    argv = ["accuracy", "--benchmark", benchmark, "--round", round_, "--json", "--official-checkout", str(CHECKOUT)]
    argv += ["--official-python", str(PYTHON), *(part for text in parameters for part in ("--parameter", text))]
    argv += [part for name, path in inputs.items() for part in (f"--{name}", str(path))]

    result = CliRunner().invoke(app, argv)

    assert result.exit_code in (0, 1), result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["problems"] == []
    assert report["official"]["differences"] == []
    own, official = report["text"].strip(), report["official"]["text"]
    assert set(own.splitlines()) <= set(official.splitlines()) or _without_code(official) == own


def _as_pickle(table: Path) -> Path:
    """Write the table as the pandas of the official script's Python does: ours may write what that cannot read."""
    target = table.with_suffix(".pkl")
    code = f"import pandas; pandas.read_json({str(table)!r}, dtype=str).to_pickle({str(target)!r})"
    subprocess.run([str(PYTHON), "-c", code], check=True)
    return target


def _without_code(text: str) -> str:
    """The line of mixtral without what only the official script computes."""
    line = next((line for line in text.splitlines() if line.startswith("{'rouge1'")), "")
    before, _, rest = line.partition("'mbxp': ")
    return before + rest.partition(", ")[2]
