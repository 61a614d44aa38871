"""What was found in a tree before, and of it what still holds.

An outcome holds as long as every folder and file that its checks looked at is the same: by names, sizes, times and file
numbers, or, where only times or numbers are other ones, by the contents of what was read. It is that of one round and
of one state of this package. Whatever cannot be read or trusted is not used; a cache is never needed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlperf_ops
from mlperf_ops.checker.model import CheckedResult, Finding
from mlperf_ops.checker.subjects import Submission
from mlperf_ops.checker.tree import Folder, Tree
from mlperf_ops.checker.units import Outcome, Unit
from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import Json, JsonObject, sha256_file, sha256_json, sha256_text, write_atomic
from mlperf_ops.typed import dump, load

# A file that changed this shortly before it was read may change again without another time (cf. git's index).
_TOO_YOUNG_NS = 2_000_000_000


class Cache:
    """The kept outcomes of one tree for one round."""

    def __init__(self, folder: Path, tree: Path, submission: Submission) -> None:
        """Read what was kept; nothing when there is nothing that can be used."""
        self._tree = submission.tree
        self._started_ns = time.time_ns()
        self._version = rules_digest(submission)
        name = sha256_text(f"{tree.resolve()}\n{submission.round.name}")[:20]
        self._path = folder / f"check-{name}.json"
        self._kept: dict[str, JsonObject] = _read(self._path, self._version)
        self._retold = False

    def valid(self, units: Iterable[Unit]) -> dict[Unit, Outcome]:
        """Return the outcomes that still hold."""
        held: dict[Unit, Outcome] = {}
        for unit in units:
            entry = self._kept.get(_key(unit))
            if entry is not None and (outcome := self._hold(entry)) is not None:
                held[unit] = outcome
        return held

    def _hold(self, entry: JsonObject) -> Outcome | None:
        try:
            folders, files = _texts(entry["folders"]), _texts(entry["files"])
            if entry["stamp"] != self._stamp(folders):
                if entry["content"] != self._content(folders, files):
                    return None
                entry["stamp"], self._retold = self._stamp(folders), True
            return _outcome(entry, folders, files)
        except (KeyError, TypeError, ValueError, OSError, MlperfOpsError):
            return None

    def keep(self, known: Mapping[Unit, Outcome], changed: Iterable[Unit]) -> None:
        """Write the outcomes for the next check."""
        fresh = set(changed)
        if not fresh and not self._retold and len(known) == len(self._kept):
            return
        entries = {}
        for unit, outcome in known.items():
            entries[_key(unit)] = self._entry(outcome) if unit in fresh else self._kept[_key(unit)]
        body = json.dumps(entries, separators=(",", ":"))
        head = json.dumps({"version": self._version, "sha256": sha256_text(body)})
        write_atomic(self._path, f"{head}\n{body}\n")

    def _entry(self, outcome: Outcome) -> JsonObject:
        young_ns = self._started_ns - _TOO_YOUNG_NS
        young = any(self._folder(location).newest_ns > young_ns for location in outcome.folders)
        row = None if outcome.row is None else dump(outcome.row)
        findings: list[Json] = [dump(finding) for finding in outcome.findings]
        return {
            "folders": list(outcome.folders),
            "files": list(outcome.files),
            "stamp": "" if young else self._stamp(outcome.folders),
            "content": self._content(outcome.folders, outcome.files),
            "findings": findings,
            "row": row,
        }

    def _folder(self, location: str) -> Folder:
        return self._tree.folders.get(location, _NOTHING)

    def _stamp(self, folders: Iterable[str]) -> str:
        return hashlib.blake2b(
            "\n".join([self._folder(location).stamp for location in folders]).encode(), digest_size=16
        ).hexdigest()

    def _content(self, folders: Iterable[str], files: Iterable[str]) -> str:
        listed: list[Json] = []
        for location in folders:
            folder = self._folder(location)
            listed.append([location, list(folder.folders), [[name, size] for name, size in folder.files.items()]])
        read: list[Json] = [[location, _digest(self._tree, location)] for location in files]
        return sha256_json([listed, read])


_NOTHING = Folder(stamp="absent")


def _key(unit: Unit) -> str:
    return f"{unit.kind} {unit.location}"


def _digest(tree: Tree, location: str) -> str:
    path = tree.root / location
    return sha256_file(path) if path.is_file() else "none"


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(str(one) for one in value)


def _read(path: Path, version: str) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as stream:
            head, body = json.loads(stream.readline()), stream.readline().rstrip("\n")
        if head["version"] != version or head["sha256"] != sha256_text(body):
            return {}
        entries = json.loads(body)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _outcome(entry: JsonObject, folders: tuple[str, ...], files: tuple[str, ...]) -> Outcome:
    findings, row = entry["findings"], entry["row"]
    if not isinstance(findings, list):
        raise TypeError(findings)
    return Outcome(
        tuple(load(Finding, one, "cache") for one in findings),
        None if row is None else load(CheckedResult, row, "cache"),
        folders,
        files,
    )


def rules_digest(submission: Submission) -> str:
    """Return the digest of everything but the tree that findings depend on: the round, and this package's code."""
    return sha256_json([mlperf_ops.__version__, submission.round.model_dump_json(), _code_digest()])


@functools.cache
def _code_digest() -> str:
    package = Path(mlperf_ops.__file__).parent
    sources = sorted([*package.glob("*.py"), *package.glob("checker/*.py"), *package.glob("catalogue/*.py")])
    digest = hashlib.sha256()
    for source in sources:
        digest.update(os.fsencode(source.name) + b"\0" + source.read_bytes())
    return digest.hexdigest()
