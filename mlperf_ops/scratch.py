"""Temporary folders: what their disk refuses is a sentence, and never ends a command with a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.harness.failures import tells_of_full_disk

_HINT = "TMPDIR can name another folder"
_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@contextlib.contextmanager
def scratch_folder(prefix: str = "mlperf-ops.") -> Iterator[Path]:
    """Make a folder for temporary files, without links in its own path; it is gone afterwards.

    Raises:
        ToolError: It cannot be made, or the disk refused a file while it was in use: in it, or one that it was to show.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise _unusable(error) from error
    with made as name:
        folder = Path(name).resolve()
        try:
            yield folder
        except OSError as error:
            told = _refused(error, folder)
            if told is None:
                raise
            raise told from error


def raise_if_disk_full(said: str) -> None:
    """Tell what a program met that wrote into the scratch folder: it says nothing of what it was to judge.

    Args:
        said: What it printed, or how it ended.

    Raises:
        OSError: It met a full disk.
    """
    if tells_of_full_disk(said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unusable(error: OSError) -> ToolError:
    why = error.strerror or error
    try:
        return ToolError(f"cannot use the temporary folder {tempfile.gettempdir()}: {why}", hint=_HINT)
    except OSError:  # there is none, and the reason names those that were tried
        return ToolError(f"cannot write temporary files: {why}", hint=_HINT)


def _refused(error: OSError, folder: Path) -> ToolError | None:
    """Tell a file of the scratch folder, which a full disk leaves unnamed, from one elsewhere; None: it is neither."""
    named = [Path(os.path.realpath(os.fsdecode(name))) for name in (error.filename, error.filename2) if _is_path(name)]
    if not named:
        return _unusable(error) if error.errno in _OF_A_DISK else None
    if any(path.is_relative_to(folder) for path in named):
        return _unusable(error)
    return ToolError(f"cannot read {named[0]}: {error.strerror or error}")


def _is_path(name: object) -> bool:
    return isinstance(name, (str, bytes, os.PathLike))  # else a descriptor, or nothing
