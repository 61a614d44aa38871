"""Detail logs of a tree. One run is often filed as several results, so that a log is compared before it is read."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from dataclasses import dataclass

from mlperf_ops.checker.tree import Tree
from mlperf_ops.errors import ResultError
from mlperf_ops.loadgen_log import DetailLog, ForeignLineError, read_detail

_KEPT = 16  # logs of the last results; copies are of the same system
_HEAD_BYTES = 16 << 10  # tells two runs apart: it holds the time of the start
_BLOCK_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class LogFile:
    """A detail log of the tree; `log` is None when it is missing or broken, `problem` says why it is broken.

    `foreign`: it is broken by a line of another program, which the official checkers skip.
    """

    location: str
    exists: bool
    log: DetailLog | None
    problem: str | None
    foreign: bool = False


class DetailLogs:
    """Reads detail logs of a tree, and each of several equal ones once where they are near each other."""

    def __init__(self, tree: Tree, keys: frozenset[str]) -> None:
        """Read these keys."""
        self._tree = tree
        self._keys = keys
        self._last: deque[tuple[int, str, LogFile]] = deque(maxlen=_KEPT)  # size, path and what it says

    def read(self, location: str) -> LogFile:
        """Read a detail log."""
        size_bytes = self._tree.size(location)
        if size_bytes is None:
            return LogFile(location, exists=False, log=None, problem=None)
        path = self._tree.file(location)
        for known_bytes, known_path, known in self._last:
            if known_bytes == size_bytes and have_same_content(known_path, path):
                return dataclasses.replace(known, location=location)
        try:
            log = read_detail(path, self._keys, count_warnings=False)
        except ResultError as error:
            problem = error.message.replace(path, location.rpartition("/")[2])
            foreign = isinstance(error, ForeignLineError)
            return LogFile(location, exists=True, log=None, problem=problem, foreign=foreign)
        file = LogFile(location, exists=True, log=log, problem=None)
        self._last.append((size_bytes, path, file))
        return file


def have_same_content(one: str, other: str) -> bool:
    """Whether two files hold the same bytes; False where one cannot be read."""
    try:
        with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
            asked = _HEAD_BYTES
            while (block := os.read(first.fileno(), asked)) == os.read(second.fileno(), asked):
                if not block:
                    return True
                asked = _BLOCK_BYTES
    except OSError:
        pass
    return False
