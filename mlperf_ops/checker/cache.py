"""What was found in a tree before, and of it what still holds.

An outcome holds as long as every folder and file that its checks looked at is the same: by names, sizes, times and file
numbers, or, where only times or numbers are other ones, by the contents of what was read. For this the cache holds a
stamp of every folder of the tree. It is that of one round and of one state of this package. Whatever cannot be read or
trusted is not used; a cache is never needed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlperf_ops
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import listing
from mlperf_ops.checker.listing import Listing
from mlperf_ops.checker.model import CheckedResult, Finding
from mlperf_ops.checker.tree import Folder, Tree
from mlperf_ops.checker.units import Outcome, Unit
from mlperf_ops.errors import ConfigError, MlperfOpsError
from mlperf_ops.files import Json, JsonObject, sha256_file, sha256_json, sha256_text, write_atomic

_STAMP_BYTES = 12
# Folders of this package whose code findings depend on.
CODE = (".", "catalogue", "checker", "compliance", "harness", "power_check")
_FINDING = tuple(field.name for field in dataclasses.fields(Finding))
_ROW = tuple(field.name for field in dataclasses.fields(CheckedResult))


class Cache:
    """The kept outcomes of one tree for one round."""

    def __init__(self, folder: Path, tree: Path, round_: Round) -> None:
        """Read what was kept; nothing when there is nothing that can be used."""
        self._started_ns = time.time_ns()  # before the walk: what changes from now on may have been seen half
        self._folder_of_all = folder
        self._version = rules_digest(round_)
        name = sha256_text(f"{tree.resolve()}\n{round_.name}")[:20]
        self._path = folder / f"check-{name}.json"
        self._kept = _read(self._path, self._version)

    @property
    def listing(self) -> Listing:
        """The names that the tree held."""
        return self._kept.listing

    def compare(self, tree: Tree) -> None:
        """Find out what of a tree is no longer as it was.

        Raises:
            ConfigError: The cache cannot be written, which is said before the work and not after it.
        """
        _require_writable(self._folder_of_all)
        self._tree = tree
        self._stamps = self._stamped(self._started_ns - listing.TOO_YOUNG_NS)
        self._changed = self._kept.changed(self._stamps)
        tree.facts = {
            location: fact
            for location, fact in self._kept.facts.items()
            if location.rpartition("/")[0] not in self._changed
        }

    def valid(self, units: Iterable[Unit]) -> dict[Unit, Outcome]:
        """Return the outcomes that still hold."""
        held: dict[Unit, Outcome] = {}
        changed = {number for number, text in enumerate(self._kept.table) if text in self._changed}
        for unit in units:
            entry = self._kept.entries.get(_key(unit))
            if entry is not None and (outcome := self._hold(unit, entry, changed)) is not None:
                held[unit] = outcome
        return held

    def _hold(self, unit: Unit, entry: dict[str, Any], changed: set[int]) -> Outcome | None:
        try:
            if self._changed and unit.kind == "tree":  # it looks at everything
                return None
            if not changed.isdisjoint(entry["folders"]):
                folders, files = self._kept.texts(entry["folders"]), self._kept.texts(entry["files"])
                if entry["content"] != self._content(folders, files):
                    return None
            return self._kept.outcome(entry)
        except (KeyError, TypeError, ValueError, IndexError, OSError, MlperfOpsError):
            return None

    def keep(self, known: Mapping[Unit, Outcome], changed: Iterable[Unit]) -> None:
        """Write the outcomes for the next check."""
        fresh = set(changed)
        if not fresh and not self._changed and len(known) == len(self._kept.entries):
            return
        table = _Table()
        entries = {}
        facts = {} if self._changed else dict(self._kept.facts)  # after a change, checks of the whole tree give all
        for unit, outcome in known.items():
            facts |= dict(outcome.facts)
            if unit in fresh:
                entries[_key(unit)] = self._entry(table, outcome)
            else:
                entries[_key(unit)] = self._kept.moved(self._kept.entries[_key(unit)], table)
        folders, stamps = table.of(self._stamps), list(self._stamps.values())
        names = [
            [*one.state, len(one.folders), *table.of(one.folders), *table.of(one.files)] if one.state else 0
            for one in self._tree.folders.values()
        ]
        told = {
            "folders": folders,
            "stamps": stamps,
            "names": names,
            "facts": [table.of(facts), list(facts.values())],
        }
        body = json.dumps({"texts": list(table.numbers), "entries": entries, **told}, separators=(",", ":"))
        head = {"version": self._version, "sha256": sha256_text(body)}
        write_atomic(self._path, f"{json.dumps(head)}\n{body}\n")

    def _entry(self, table: _Table, outcome: Outcome) -> JsonObject:
        row: Json = None if outcome.row is None else [getattr(outcome.row, name) for name in _ROW]
        findings = [getattr(finding, name) for finding in outcome.findings for name in _FINDING]
        return {
            "folders": table.of(outcome.folders),
            "files": table.of(outcome.files),
            "content": self._content(outcome.folders, outcome.files),
            "findings": table.of(findings),
            "row": row,
        }

    def _stamped(self, young_ns: int) -> dict[str, str]:
        """Return the stamp of each folder; "" where it may change again without another one."""
        return {
            location: hashlib.blake2b(folder.stamp, digest_size=_STAMP_BYTES).hexdigest()
            if folder.newest_ns <= young_ns
            else ""
            for location, folder in self._tree.folders.items()
        }

    def _folder(self, location: str) -> Folder:
        return self._tree.folders.get(location, _NOTHING)

    def _content(self, folders: Iterable[str], files: Iterable[str]) -> str:
        listed: list[Json] = []
        for location in folders:
            folder = self._folder(location)
            listed.append([location, list(folder.folders), [[name, size] for name, size in folder.files.items()]])
        read: list[Json] = [[location, _digest(self._tree, location)] for location in files]
        return sha256_json([listed, read])


class _Table:
    """Texts by number: most of a cache's texts are in it many times."""

    def __init__(self) -> None:
        self.numbers: dict[str | None, int] = {}

    def of(self, texts: Iterable[str | None]) -> list[Json]:
        """Return the numbers of texts, new ones for those that are new."""
        return [self.numbers.setdefault(text, len(self.numbers)) for text in texts]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a cache held.

    Attributes:
        table: Texts, which the entries name by number.
        entries: By kind and location of the unit.
        stamps: Of every folder of the tree, as it was when all outcomes held.
        facts: What is known of single files, by location.
        listing: The names in the folders of the tree.
    """

    table: list[Any] = field(default_factory=list)
    entries: dict[str, Any] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    listing: Listing = field(default_factory=Listing)

    def changed(self, now: Mapping[str, str]) -> set[str]:
        """Return the folders that came, went or changed; of stamps that say nothing, each has."""
        then = self.stamps
        return {location for location, stamp in now.items() if not stamp or then.get(location) != stamp}.union(
            then.keys() - now.keys()
        )

    def texts(self, numbers: list[int]) -> list[Any]:
        """Return the texts of some numbers."""
        return [self.table[number] for number in numbers]

    def outcome(self, entry: Mapping[str, Any]) -> Outcome:
        """Return what a unit gave; what it had looked at stays in the entry."""
        texts, width, row = self.texts(entry["findings"]), len(_FINDING), entry["row"]
        findings = [Finding(*texts[start : start + width]) for start in range(0, len(texts), width)]
        return Outcome(tuple(findings), None if row is None else CheckedResult(*row))

    def moved(self, entry: dict[str, Any], table: _Table) -> dict[str, Any]:
        """Return an entry with the numbers of another table."""
        return entry | {name: table.of(self.texts(entry[name])) for name in ("folders", "files", "findings")}


_NOTHING = Folder()


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the cache {folder} cannot be made: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"the cache {folder} cannot be written")


def _key(unit: Unit) -> str:
    return f"{unit.kind} {unit.location}"


def _digest(tree: Tree, location: str) -> str:
    path = tree.path(location)
    known = tree.size(location) is not None
    return sha256_file(path) if known or path.is_file() else "none"


def _read(path: Path, version: str) -> _Kept:
    try:
        with path.open(encoding="utf-8") as stream:
            head, body = json.loads(stream.readline()), stream.readline().rstrip("\n")
        if head["version"] != version or head["sha256"] != sha256_text(body):
            return _Kept()
        content = json.loads(body)
        kept = _Kept(content["texts"], content["entries"])
        folders, (located, facts) = kept.texts(content["folders"]), content["facts"]
        return dataclasses.replace(
            kept,
            stamps=dict(zip(folders, content["stamps"], strict=True)),
            facts=dict(zip(kept.texts(located), facts, strict=True)),
            listing=Listing(kept.table, {one: row for one, row in zip(folders, content["names"], strict=True) if row}),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return _Kept()


def rules_digest(round_: Round) -> str:
    """Return the digest of everything but the tree that findings depend on: the round, and this package's code."""
    return sha256_json([mlperf_ops.__version__, round_.model_dump_json(), _code_digest()])


@functools.cache
def _code_digest() -> str:
    package = Path(mlperf_ops.__file__).parent
    digest = hashlib.sha256()
    for source in sorted(source for folder in CODE for source in (package / folder).glob("*.py")):
        digest.update(os.fsencode(source.name) + b"\0" + source.read_bytes())
    return digest.hexdigest()
