"""Dice of kidney and tumour segmentation on KiTS19 (official: accuracy_kits.py).

A response is the volume of class indices (0 background, 1 kidney, 2 tumour), in the order of the preprocessed case.
Labels are the folder of preprocessed data: preprocessed_files.pkl has the order of the cases, and
nifti/<case>/segmentation.nii.gz the truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlperf_ops.accuracy.model import Array, Request, Scored, another_type, library, values_of
from mlperf_ops.accuracy.tables import read_pickle
from mlperf_ops.catalogue.scorer_parameters import Segmentation
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.harness.accuracy_log import first_responses

_SMOOTH = 1e-6
_CLASSES = (1, 2)  # kidney, tumour


def score(request: Request, parameters: Segmentation) -> Scored:
    """Return the mean Dice over the cases; of each case the mean of kidney and tumour."""
    folder = request.input("labels")
    cases = _cases(folder / "preprocessed_files.pkl")
    kidney, tumour = np.zeros(len(cases)), np.zeros(len(cases))
    scored: list[int] = []
    where = str(folder / "preprocessed_files.pkl")
    for response in first_responses(request.log, len(cases), where, partial=request.partial):
        case = cases[response.index]
        truth = _truth(folder / "nifti" / case / "segmentation.nii.gz")
        answer = values_of(response, parameters.dtype, request.log)
        if answer.size != truth.size:
            raise ResultError(
                f"{request.log}: entry {response.number}: {case} has {truth.size} voxels {truth.shape}, the response "
                f"{answer.size}",
                hint=another_type(answer.nbytes, parameters.dtype, per_item=truth.size),
            )
        if answer.max() > max(_CLASSES) or answer.min() < 0:
            raise ResultError(
                f"{request.log}: entry {response.number}: the response of {case} holds {answer.max():g}; "
                "expected the classes 0, 1 and 2",
                hint=another_type(answer.nbytes, parameters.dtype, per_item=truth.size),
            )
        kidney[response.index], tumour[response.index] = dice(answer.reshape(truth.shape), truth)
        scored.append(response.index)
    order = sorted(scored)
    both = np.stack([kidney[order], tumour[order]])
    composite = both.mean(axis=0)
    text = f"Accuracy: mean = {composite.mean():.5f}, kidney = {both[0].mean():.4f}, tumor = {both[1].mean():.4f}\n"
    return Scored(text, len(order), {"by_case": {cases[i]: float(c) for i, c in zip(order, composite, strict=True)}})


def dice(answer: Array, truth: Array) -> tuple[float, float]:
    """Return the smoothed Dice of kidney and tumour of two volumes of class indices, each 0..1."""
    values = []
    for label in _CLASSES:
        ours, theirs = answer == label, truth == label
        shared = np.count_nonzero(ours & theirs)
        total = np.count_nonzero(ours) + np.count_nonzero(theirs)
        values.append((2.0 * shared + _SMOOTH) / (total + _SMOOTH))
    return values[0], values[1]


def _cases(path: Path) -> list[str]:
    content = read_pickle(path)
    cases = content.get("file_list") if isinstance(content, dict) else None
    if not isinstance(cases, list) or not cases or not all(isinstance(case, str) for case in cases):
        raise ConfigError(f"{path} has no list of cases 'file_list'", hint="the official preprocess.py writes it")
    return cases


def _truth(path: Path) -> Array:
    """Class indices of a case, uint8."""
    nibabel = library("nibabel", "nibabel")
    try:
        return np.asarray(np.asanyarray(nibabel.load(path).dataobj)).astype(np.uint8)
    except (OSError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        raise ConfigError(f"cannot read the segmentation {path}: {error}") from error
