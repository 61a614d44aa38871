"""Package files that pip accepts, with the members a test wants; and catalogue entries for them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlperf_ops.catalogue import ComponentEntry
from mlperf_ops.files import sha256_file

VERSION = "1.0"


def write_wheel(folder: Path, package: str, members: Mapping[str, bytes], *, comment: bytes = b"") -> Path:
    """Write `<package>-1.0-py3-none-any.whl`; `comment` changes the file and no member, as a re-pack does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package}-{VERSION}-py3-none-any.whl"
    info = f"{package}-{VERSION}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {VERSION}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.comment = comment
    return path


def component(wheel: Path, members: Mapping[str, bytes], **fields: Any) -> ComponentEntry:  # noqa: ANN401  # YAML values
    """The catalogue entry of a wheel that `write_wheel` wrote; `fields` replace or add keys of the YAML file."""
    package = wheel.name.split("-")[0]
    return ComponentEntry.model_validate(
        {
            "schema": 1,
            "name": package,
            "kind": "model",
            "license": "none",
            "source": {
                "type": "pypi",
                "package": package,
                "version": VERSION,
                "file": wheel.name,
                "sha256": sha256_file(wheel),
            },
            "members": tuple({"path": k, "sha256": hashlib.sha256(v).hexdigest()} for k, v in members.items()),
            **fields,
        }
    )
