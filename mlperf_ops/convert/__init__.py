"""Converters: from the members of a fetched package to the file or folder that a host uses.

A converter is one function and one row of CONVERTERS; a component names it in `convert.with`. Equal members and options
give equal bytes: no versions, dates or paths get into the result.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mlperf_ops.errors import unknown_name
from mlperf_ops.files import Json

CONVERTERS: dict[str, str] = {
    "efficientnet_lite": "mlperf_ops.convert.efficientnet_lite",
    "labelled_file_names": "mlperf_ops.convert.labelled_images",
}


class Converter(Protocol):
    """What each module of CONVERTERS offers as `convert`."""

    def __call__(self, members: tuple[Path, ...], options: Mapping[str, Json], folder: Path, name: str) -> Path:
        """Write the component into the empty folder and return it: the folder itself or one file in it.

        Args:
            members: Checked files out of the package, in the order of the catalogue.
            options: `convert.options` of the component.
            folder: Where to write.
            name: Of the component; a file that is made is called after it.
        """


def converter(name: str, *, where: str = "") -> Converter:
    """Find a converter.

    Raises:
        ConfigError: No such converter; names the nearest one.
    """
    if name not in CONVERTERS:
        raise unknown_name("converter", name, CONVERTERS, where=where)
    found: Converter = importlib.import_module(CONVERTERS[name]).convert
    return found
