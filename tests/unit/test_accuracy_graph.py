"""Labels of a graph's nodes, out of files as torch and numpy write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlperf_ops.errors import ConfigError
from tests.support.accuracy_scores import log_of, score
from tests.support.torch_files import write_tensor


@pytest.mark.parametrize("bare", [False, True])
def test_graph_labels_are_those_of_the_validation_nodes(tmp_path: Path, bare: bool) -> None:  # noqa: FBT001
    (tmp_path / "paper").mkdir()
    classes = np.array([5, 6, 7, 8], "<f4")
    file = tmp_path / "paper" / "node_label_2K.npy"
    if bare:
        classes.tofile(file)
    else:
        np.save(file, classes)
    write_tensor(tmp_path / "val_idx.pt", [3, 0, 2])
    log = log_of(tmp_path, *(np.array([one], "<i4").tobytes() for one in (8, 5, 6)))
    found = score("graph_top1", {"log": log, "labels": tmp_path}, dtype="int32")
    assert found.text == "accuracy=66.667%, good=2, total=3\n"


def test_graph_labels_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the labels.*val_idx\.pt"):
        score("graph_top1", {"log": tmp_path / "log", "labels": tmp_path})
