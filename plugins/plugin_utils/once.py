"""Work of the controller that all hosts of a play share: done by the first that needs it, kept until the play ends.

Ansible runs each host's task in a process of its own. Its temporary folder is common to all of them and is removed when
the play ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ansible import constants
from filelock import FileLock

DROPPED = "dropped"  # the note of the callback dropped_hosts
_FOLDER = "mlperf-ops"


def archive(name: str, write: Callable[[Path], object]) -> Path:
    """Return a file of the play; the first caller writes it, the others wait for it.

    Args:
        name: Names the content by its digest.
        write: Gets the path to write to.
    """
    path = _folder() / f"{name}.tar"
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            descriptor, temporary = tempfile.mkstemp(dir=path.parent)
            os.close(descriptor)
            try:
                write(Path(temporary))
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)  # as large as a data set
                raise
    return path


def answer(question: list[str], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return an answer that is the same for all hosts of a play; a failure is not kept."""
    digest = hashlib.sha256(json.dumps(question).encode()).hexdigest()
    path = archive(f"answer.{digest}", lambda path: path.write_text(json.dumps(ask()), encoding="utf-8"))
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))


def note(name: str, text: str) -> None:
    """Leave a note for a later task of the same `ansible-playbook`."""
    note_path(name).write_text(text, encoding="utf-8")


def note_path(name: str) -> Path:
    """Return where a note is, or would be."""
    return _folder() / f"{name}.note"


def noted(name: str) -> str | None:
    """Return a note that an earlier task has left."""
    path = note_path(name)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _folder() -> Path:
    folder = Path(constants.DEFAULT_LOCAL_TMP) / _FOLDER
    folder.mkdir(exist_ok=True)
    return folder
