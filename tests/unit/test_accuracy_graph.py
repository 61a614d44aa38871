"""Labels of a graph's nodes, out of files as torch and numpy write them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mlperf_ops.errors import ConfigError
from tests.support.accuracy_scores import log_of, score


def _saved_tensor(path: Path, values: list[int]) -> None:
    """Write an int64 tensor as torch.save does."""

    def name(module: str, attribute: str) -> bytes:
        return b"c" + f"{module}\n{attribute}\n".encode()

    identity = b"(X\x07\x00\x00\x00storage" + name("torch", "LongStorage") + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    identity += b"J" + struct.pack("<i", len(values)) + b"tQ"
    tensor = b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + b"K\x00"
    tensor += (
        b"J" + struct.pack("<i", len(values)) + b"\x85K\x01\x85\x89" + name("collections", "OrderedDict") + b")RtR."
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("val_idx/data.pkl", tensor)
        archive.writestr("val_idx/data/0", np.array(values, "<i8").tobytes())


@pytest.mark.parametrize("bare", [False, True])
def test_graph_labels_are_those_of_the_validation_nodes(tmp_path: Path, bare: bool) -> None:  # noqa: FBT001
    (tmp_path / "paper").mkdir()
    classes = np.array([5, 6, 7, 8], "<f4")
    file = tmp_path / "paper" / "node_label_2K.npy"
    if bare:
        classes.tofile(file)
    else:
        np.save(file, classes)
    _saved_tensor(tmp_path / "val_idx.pt", [3, 0, 2])
    log = log_of(tmp_path, *(np.array([one], "<i4").tobytes() for one in (8, 5, 6)))
    found = score("graph_top1", {"log": log, "labels": tmp_path}, dtype="int32")
    assert found.text == "accuracy=66.667%, good=2, total=3\n"


def test_graph_labels_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the labels.*val_idx\.pt"):
        score("graph_top1", {"log": tmp_path / "log", "labels": tmp_path})
