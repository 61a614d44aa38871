"""Label files of image classification: one line "<file name> <class index>" per sample, in LoadGen's sample order.

This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ConfigError
from mlperf_ops.model import DatasetRequest

CLASS_COUNT = 1000  # ILSVRC 2012; labels count from 0, as in MLPerf's val_map.txt
_EXAMPLE = "ILSVRC2012_val_00000001.JPEG 65"
_COLUMNS = 2
_SHOWN_CHARACTERS = 60
_INTEGER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file: sample i of LoadGen is line i + 1."""

    path: Path
    names: tuple[str, ...]  # relative to the folder of the images
    classes: tuple[int, ...]  # 0 to 999

    def __len__(self) -> int:
        """Count of samples."""
        return len(self.names)

    def where(self, index: int) -> str:
        """Place of a sample for an error message."""
        return f"{self.path}:{index + 1}"


def labels_of(request: DatasetRequest) -> Labels:
    """Read the labels that a dataset request names.

    Raises:
        ConfigError: As `read_labels`.
    """
    return read_labels(Path(request.path, request.label_file), request.total_count, component=request.component)


def read_labels(path: Path, total_count: int | None = None, *, component: str = "imagenet") -> Labels:
    """Read a label file.

    Args:
        path: The file.
        total_count: Samples to use, from the first line on; None for all.
        component: Name of the data set, for the hint.

    Raises:
        ConfigError: The file is missing, empty, not a label file, too short, or a label is out of range.
    """
    hint = f'the label file has lines such as "{_EXAMPLE}"; set mlperf_components.{component}.label_file to it'
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ConfigError(f"the label file {path} is missing", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"cannot read the label file {path}: {error.strerror or error}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a label file: it is not text", hint=hint) from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ConfigError(f"the label file {path} is empty", hint=hint)
    if total_count is not None and len(lines) < total_count:
        raise ConfigError(
            f"the label file {path} has {len(lines)} lines; {total_count} samples are asked for", hint=hint
        )
    names: list[str] = []
    classes: list[int] = []
    for number, line in enumerate(lines[:total_count], start=1):
        name, label = _parse(line, f"{path}:{number}", hint)
        names.append(name)
        classes.append(label)
    return Labels(path, tuple(names), tuple(classes))


def _parse(line: str, where: str, hint: str) -> tuple[str, int]:
    columns = line.split()
    if len(columns) != _COLUMNS or not _INTEGER.fullmatch(columns[1]):
        shown = line.strip()
        shown = shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
        raise ConfigError(f"{where}: expected '<file name> <class index>', found {shown!r}", hint=hint)
    label = int(columns[1])
    if not 0 <= label < CLASS_COUNT:
        raise ConfigError(f"{where}: class index {label} is not in 0..{CLASS_COUNT - 1}", hint="labels count from 0")
    return columns[0], label
