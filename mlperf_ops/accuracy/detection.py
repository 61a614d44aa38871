"""mAP of object detection by pycocotools (official: accuracy-openimages.py, accuracy-coco.py).

A response is float32 [detections, 7]: sample, ymin, xmin, ymax, xmax (0..1), score, class. Sample i is image i of the
annotation file.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlperf_ops.accuracy.model import Request, Scored, library, values_of
from mlperf_ops.catalogue.scorer_parameters import Detection
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import Logged, first_responses

_FIELDS = 7
_STATS = ("mAP", "mAP_50", "mAP_75", "mAP_small", "mAP_medium", "mAP_large")


def score(request: Request, parameters: Detection) -> Scored:
    """Evaluate all logged boxes."""
    labels = request.input("labels")
    truth = _annotations(labels)
    images = truth.dataset["images"]
    categories = [0, *truth.getCatIds()] if parameters.use_inv_map else None
    boxes: list[dict[str, Any]] = []
    image_ids: set[int] = set()
    strange = 0
    for response in first_responses(request.log, len(images), str(labels), partial=request.partial):
        image = images[response.index]
        image_ids.add(image["id"])
        for found, foreign in _boxes(response, image, categories, request.log):
            boxes.append(found)
            strange += foreign
    if not boxes:
        raise ResultError(f"{request.log} holds no detection at all", hint="did the model answer?")
    stats = _evaluate(truth, boxes, sorted(image_ids))
    if math.isnan(stats[0]) or stats[0] < 0:
        raise ConfigError(f"{labels} annotates nothing in the images of the log, so there is no mAP")
    notes = (f"{strange} detections name another sample than their response, as if batches were mixed up",)
    details: dict[str, Json] = dict(zip(_STATS, stats, strict=False))
    return Scored(
        f"mAP={100.0 * stats[0]:.3f}%\n",
        len(image_ids),
        {**details, "detections": len(boxes)},
        notes if strange else (),
    )


def _annotations(path: Path) -> Any:  # noqa: ANN401  # pycocotools has no types
    coco = library("pycocotools.coco", "pycocotools")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it talks on stdout, which is for data
            truth = coco.COCO(str(path))
        images = truth.dataset["images"]
        complete = bool(images) and all({"id", "height", "width"} <= set(image) for image in images)
    except OSError as error:
        raise ConfigError(f"cannot read the annotations {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ConfigError(f"{path} is no COCO annotation file: {error!r}") from error
    if not complete:
        raise ConfigError(f"{path} is no COCO annotation file: its images lack id, height or width")
    return truth


def _boxes(
    response: Logged, image: dict[str, Any], categories: list[int] | None, log: Path
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield detections in pycocotools' form, and whether each names another sample than its response."""
    if len(response.data) < _FIELDS * np.dtype("<f4").itemsize:
        return  # SUTs answer an image without detections by nothing, or by one zero
    rows = values_of(response, "float32", log, per_item=_FIELDS, known=("float32",)).reshape(-1, _FIELDS)
    if not np.isfinite(rows).all():
        raise ResultError(f"{log}: entry {response.number}: a detection holds a number that is not finite")
    # float32 throughout, as the official scripts calculate
    ymin, ymax = rows[:, 1] * np.float32(image["height"]), rows[:, 3] * np.float32(image["height"])
    xmin, xmax = rows[:, 2] * np.float32(image["width"]), rows[:, 4] * np.float32(image["width"])
    sizes = np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1).astype(float).tolist()
    for row, bbox in zip(rows.tolist(), sizes, strict=True):
        category = int(row[6])
        if categories is not None:
            if not 0 <= category < len(categories):
                raise ResultError(
                    f"{log}: entry {response.number}: class {category} is none of the {len(categories) - 1} categories",
                    hint="does the model number its classes by category id? --parameter use_inv_map=false",
                )
            category = categories[category]
        found = {"image_id": image["id"], "category_id": category, "bbox": bbox, "score": row[5]}
        yield found, int(row[0]) != response.index


def _evaluate(truth: Any, boxes: list[dict[str, Any]], image_ids: list[int]) -> list[float]:  # noqa: ANN401
    """Return COCOeval's six precisions, each 0..1 or -1."""
    cocoeval = library("pycocotools.cocoeval", "pycocotools")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(boxes), iouType="bbox")
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[: len(_STATS)]]
