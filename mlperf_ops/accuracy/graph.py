"""Top-1 of graph node classification (official: accuracy_igbh.py).

Labels are the folder `<data set>/<size>/processed` of IGBH: paper/node_label_2K.npy, and val_idx.pt whose entry i is
the node of sample i. The label file of the large graphs is bare float32 under an .npy name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlperf_ops.accuracy.model import Array, Request, Scored
from mlperf_ops.catalogue.scorer_parameters import GraphTop1
from mlperf_ops.convert.torch_stream import read_tensor
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.harness.scoring import score_classes

_NPY_MAGIC = b"\x93NUMPY"


def score(request: Request, parameters: GraphTop1) -> Scored:
    """Compare the logged classes with the labels of the validation nodes."""
    folder = request.input("labels")
    labels = _labels(folder, folder / parameters.label_file)
    found = score_classes(request.log, labels, parameters.dtype, partial=request.partial, source=f"{folder}/val_idx.pt")
    return Scored(found.text, found.sample_count, {"good": found.good_count})


def _labels(folder: Path, label_file: Path) -> Array:
    """Class of each sample [samples], int64."""
    try:
        nodes = read_tensor(folder / "val_idx.pt")
        with label_file.open("rb") as stream:
            is_npy = stream.read(len(_NPY_MAGIC)) == _NPY_MAGIC
        classes = np.load(label_file, mmap_mode="r") if is_npy else np.memmap(label_file, "<f4", "r")
    except (OSError, ValueError, ToolError) as error:
        raise ConfigError(
            f"cannot read the labels of {folder}: {error}",
            hint="expected <data set>/<size>/processed of IGBH, with val_idx.pt (split_seeds.py) and paper/…",
        ) from error
    if nodes.ndim != 1 or nodes.size == 0 or int(nodes.max()) >= classes.size:
        raise ConfigError(
            f"val_idx.pt of {folder} names node {int(nodes.max()) if nodes.size else '-'}; "
            f"{label_file.name} has {classes.size}"
        )
    return np.asarray(classes[nodes]).astype(np.int64)
