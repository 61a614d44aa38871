"""Files as interface: canonical JSON, digests and writes that are whole or absent.

This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TypeAlias

from mlperf_ops.errors import ResultError, ToolError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = "dict[str, Json]"

_CHUNK_BYTES = 1 << 20


def canonical_json(value: object) -> str:
    """Serialise so that equal values give equal bytes: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty_json(value: object) -> str:
    """Serialise for people and for diffs: sorted keys, two spaces, final newline."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_text(text: str) -> str:
    """Return the hexadecimal sha256 of UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(value: object) -> str:
    """Return the sha256 of the canonical form of a JSON value."""
    return sha256_text(canonical_json(value))


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(folder: Path) -> str:
    """Return one digest over the relative names and contents of all files below a folder."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sha256_json([[name, sha256_file(folder / name)] for name in names])


def sha256_path(path: Path) -> str:
    """Return `sha256_file` of a file, `sha256_tree` of a folder."""
    return sha256_tree(path) if path.is_dir() else sha256_file(path)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    Raises:
        ToolError: The folder cannot be written or the disk is full.
    """
    # Half a character, as JSON or the name of a file may hold it, is written as its escape.
    raw = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise ToolError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: object) -> bool:
    """Write pretty JSON unless the file already holds exactly that; say whether it changed."""
    text = pretty_json(value)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_atomic(path, text)
    return True


def read_json(path: Path) -> JsonObject:
    """Read a JSON object.

    Raises:
        ResultError: The file is missing, is not JSON (with line and column) or not an object.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        value = json.loads(raw.decode())
    except ValueError as error:
        raise ResultError(f"{path} is not JSON: {error}") from error
    except RecursionError as error:
        raise ResultError(f"{path} is nested too deeply") from error
    if not isinstance(value, dict):
        raise ResultError(f"{path} holds a {type(value).__name__}; expected a JSON object")
    return value
