"""Top-1 of image classification (official: accuracy-imagenet.py): the code that hosts use, too."""

from __future__ import annotations

from mlperf_ops.accuracy.model import Request, Scored
from mlperf_ops.catalogue.scorer_parameters import Top1
from mlperf_ops.harness.labels import read_labels
from mlperf_ops.harness.scoring import score_classes


def score(request: Request, parameters: Top1) -> Scored:
    """Compare the logged class indices with val_map.txt."""
    labels = read_labels(request.input("labels")).classes
    found = score_classes(request.log, labels, parameters.dtype, partial=request.partial)
    return Scored(found.text, found.sample_count, {"good": found.good_count})
