"""What was found in a tree before, and of it what still holds.

An outcome holds as long as every folder and file that its checks looked at is the same: by names, sizes, times and file
numbers, or, where only times or numbers are other ones, by the contents of what was read. For this the cache holds what
the walk noted of every folder of the tree. It is that of one round and of one state of this package. Whatever cannot be
read or trusted is not used; a cache is never needed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import sys
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mlperf_ops
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import CheckedResult, Finding
from mlperf_ops.checker.sections import Sections, numbers_of, rows_of, rows_section, write_sections
from mlperf_ops.checker.tree import Folder, Tree, join
from mlperf_ops.checker.units import Outcome, Unit
from mlperf_ops.checker.walk import STATE
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, sha256_file, sha256_json, sha256_text

# Folders of this package whose code findings depend on.
CODE = (".", "catalogue", "checker", "compliance", "harness", "power_check")
_FINDING = tuple(field.name for field in dataclasses.fields(Finding))
_ROW = tuple(field.name for field in dataclasses.fields(CheckedResult))
_OWN = 4  # numbers of a folder's own state
_NOTHING = Folder()

_Uses: TypeAlias = tuple[str, list[str], list[str]]
"""What an outcome rests on: a digest of the contents, the folders, the files."""


@dataclass(frozen=True, slots=True)
class Cache:
    """What an earlier check of one tree, or of one submitter in it, for one round wrote.

    Attributes:
        path: Its file.
        version: Of the rules.
        folders: What every folder of the tree was when all outcomes held, by location.
        facts: What is known of single files, by location.
        outcomes: By kind and location of the unit, as JSON.
        uses: Read only when something has changed.
    """

    path: Path
    version: str
    folders: Mapping[str, Folder]
    facts: Mapping[str, str]
    outcomes: Mapping[str, str]
    _sections: Sections

    @classmethod
    def read(cls, folder: Path, tree: Path, round_: Round, submitter: str | None = None) -> Cache:
        """Read what was kept; nothing when there is nothing that can be used.

        Raises:
            ConfigError: The cache cannot be written, which is said before the work and not after it.
        """
        _require_writable(folder)
        name = sha256_text(f"{tree.resolve()}\n{round_.name}\n{submitter or ''}")[:20]
        path, version = folder / f"check-{name}.cache", f"{rules_digest(round_)} {sys.byteorder}"
        sections = Sections(path, version)
        try:
            folders = _folders(rows_of(sections.get("names")), numbers_of(sections.get("numbers")))
            facts = dict(rows_of(sections.get("facts")))
            outcomes = dict(rows_of(sections.get("outcomes")))
        except (ValueError, IndexError):
            folders, facts, outcomes = {}, {}, {}
        return cls(path, version, folders, facts, outcomes, sections)

    def uses(self) -> dict[str, _Uses]:
        """Return what each outcome rests on, by kind and location of the unit; nothing where that cannot be read."""
        places = list(self.folders)
        if not places:  # the cache is not used
            return {}
        try:
            rows = rows_of(self._sections.get("uses"))
        except ValueError:
            return {}
        return {
            key: (content, [_place(one, places) for one in folders], [_place(one, places) for one in files])
            for (key, content), folders, files in zip(rows, rows, rows)  # noqa: B905  # three rows of one iterator
        }

    def compared(self, tree: Tree) -> Comparison:
        """Find out what of a tree is no longer as it was."""
        then, now = self.folders, tree.folders
        changed = {
            location
            for location, folder in now.items()
            if folder.young or ((earlier := then.get(location)) is not folder and not folder.is_as(earlier or _NOTHING))
        }
        changed.update(then.keys() - now.keys(), now.keys() - then.keys())
        return Comparison(self, tree, changed, self.uses() if changed else {})


@dataclass(frozen=True, slots=True)
class Comparison:
    """A tree beside what was kept of it.

    Attributes:
        cache: What was kept.
        tree: As it is now.
        changed: Folders that came, went or changed; those that may change again without showing it, too.
        uses: What the kept outcomes rest on; nothing where nothing has changed.
    """

    cache: Cache
    tree: Tree
    changed: Collection[str]
    uses: Mapping[str, _Uses]

    def facts(self) -> dict[str, str]:
        """Return what is still known of single files."""
        held = self.cache.facts.items()
        return {location: fact for location, fact in held if location.rpartition("/")[0] not in self.changed}

    def valid(self, units: Iterable[Unit]) -> dict[Unit, Outcome]:
        """Return the outcomes that still hold."""
        held = [unit for unit in units if _key(unit) in self.cache.outcomes and self._holds(unit)]
        told = json.loads(f"[{','.join(self.cache.outcomes[_key(unit)] for unit in held)}]")
        return {unit: _outcome(*one) for unit, one in zip(held, told, strict=True)}

    def _holds(self, unit: Unit) -> bool:
        if not self.changed:
            return True
        if (
            unit.kind == "tree" or (uses := self.uses.get(_key(unit))) is None
        ):  # a check of the tree looks at everything
            return False
        content, folders, files = uses
        touched = [location for location in folders if location in self.changed]
        if not touched:
            return True
        if not all(_has_same_names(self._folder(one), self.cache.folders.get(one, _NOTHING)) for one in touched):
            return False
        try:
            return content == self._content(folders, files)
        except OSError:
            return False

    def keep(self, known: Mapping[Unit, Outcome], fresh: Collection[Unit]) -> None:
        """Write the outcomes for the next check.

        Args:
            known: All of them.
            fresh: Units that were judged by this check.
        """
        if not fresh and not self.changed and len(known) == len(self.cache.outcomes):
            return
        judged, numbers = set(fresh), {location: str(number) for number, location in enumerate(self.tree.folders)}
        uses = self.uses if self.changed else self.cache.uses()
        facts = {} if self.changed else dict(self.cache.facts)  # after a change, checks of the whole tree give all
        outcomes, rests = list[tuple[str, str]](), list[Sequence[str]]()
        for unit, outcome in known.items():
            key = _key(unit)
            if unit in judged:
                facts.update(outcome.facts)
                told, folders, files = _told(outcome), list(outcome.folders), list(outcome.files)
                content = self._content(folders, files)
            elif key in uses:
                told, (content, folders, files) = self.cache.outcomes[key], uses[key]
            else:
                continue
            outcomes.append((key, told))
            rests += (
                (key, content),
                [_number(one, numbers) for one in folders],
                [_number_and_name(one, numbers) for one in files],
            )
        names, states = _noted(self.tree.folders)
        sections = {"names": names, "numbers": states, "facts": rows_section(facts.items())}
        sections |= {"outcomes": rows_section(outcomes), "uses": rows_section(rests)}
        write_sections(self.cache.path, self.cache.version, sections)

    def _folder(self, location: str) -> Folder:
        return self.tree.folders.get(location, _NOTHING)

    def _content(self, folders: Iterable[str], files: Iterable[str]) -> str:
        listed: list[Json] = []
        for location in folders:
            folder = self._folder(location)
            listed.append([location, list(folder.folders), [[name, size] for name, size in folder.files.items()]])
        read: list[Json] = [[location, _digest(self.tree, location)] for location in files]
        return sha256_json([listed, read])


def _has_same_names(folder: Folder, earlier: Folder) -> bool:
    return folder.folders == earlier.folders and folder.files == earlier.files


def _noted(folders: Mapping[str, Folder]) -> tuple[bytes, bytes]:
    """Return what tells folders from later ones, as names and numbers."""
    names, numbers = list[Sequence[str]](), array("q")
    for location, folder in folders.items():
        names += ((location, *folder.folders), tuple(folder.files), folder.odd)
        numbers.extend((len(folder.states), len(folder.own), folder.young))
        numbers += folder.states
        numbers += folder.own
    return rows_section(names), numbers.tobytes()


def _folders(names: Iterable[list[str]], numbers: array[int]) -> dict[str, Folder]:
    """Return the folders of which names and numbers tell."""
    found, start = {}, 0
    rows = iter(names)
    for (location, *folders), files, odd in zip(rows, rows, rows):  # noqa: B905  # three rows of one iterator
        states, own = start + 3, start + 3 + numbers[start]
        end = own + numbers[start + 1]
        young, start = bool(numbers[start + 2]), end
        sizes = dict(zip(files, numbers[states + STATE - 1 : own : STATE], strict=False))  # links have states, too
        found[location] = Folder(folders, sizes, tuple(odd), numbers[states:own], numbers[own:end], young)
    return found


def _number(location: str, numbers: Mapping[str, str]) -> str:
    """Return a folder's number among those of the tree, which is shorter; its location after a "/" where it is none."""
    return numbers.get(location) or f"/{location}"


def _number_and_name(location: str, numbers: Mapping[str, str]) -> str:
    """Return a file's folder by number, and its name."""
    parent, _, name = location.rpartition("/")
    return f"{numbers[parent]}/{name}" if parent in numbers else f"/{location}"


def _place(told: str, places: Sequence[str]) -> str:
    """Return the location of a folder or file that `_number` or `_number_and_name` gave."""
    number, slash, name = told.partition("/")
    if not number:
        return name
    return join(places[int(number)], name) if slash else places[int(number)]


def _told(outcome: Outcome) -> str:
    row: Json = None if outcome.row is None else [getattr(outcome.row, name) for name in _ROW]
    findings = [[getattr(finding, name) for name in _FINDING] for finding in outcome.findings]
    return json.dumps([findings, row], separators=(",", ":"))


def _outcome(findings: list[list[Any]], row: list[Any] | None) -> Outcome:
    """Return what a unit gave; what it had looked at stays in the cache."""
    made = tuple([Finding(*values) for values in findings])
    return Outcome(made, None if row is None else CheckedResult(*row))


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
