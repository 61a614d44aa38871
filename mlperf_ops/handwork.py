"""What people changed in a submission tree after it was aggregated, and what becomes of it.

Aggregation keeps the digest of every file that it wrote (report/tree.json). A document that was edited since, and a
file that was added, stay; a file that is evidence of a run is taken from the raw results again. What has to give way
is kept under another name first, so that nothing that a person wrote is lost.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from mlperf_ops import tree
from mlperf_ops.errors import ConfigError, SubmissionError, unknown_name
from mlperf_ops.files import JsonObject, read_json, sha256_bytes, sha256_file
from mlperf_ops.tree import Content, Files

RECORD, ASIDE = "tree.json", "replaced"
_DIGITS = 12

EditState: TypeAlias = Literal["yours", "added", "ours"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A file of the tree that is not as aggregation left it.

    Attributes:
        path: Below the tree.
        state: `yours`: an edited document, which stays; `added`: a file that only you know, which stays; `ours`: what
            the results say is there again.
        reason: One sentence.
        aside: Where the file that gave way is kept, below the results folder; "" where none had to.
    """

    path: str
    state: EditState
    reason: str
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """A tree with what people changed in it.

    Attributes:
        files: What the tree is to hold.
        edits: What is not as aggregation left it, by path.
        record: Content of report/tree.json where it has to be written anew; asks for digests, so only when needed.
        bases: Of the documents that stay: the digest of ours that they were made from, None where there was none.
    """

    files: Files
    edits: tuple[Edit, ...]
    fresh: Files
    record: Record | None
    bases: Mapping[PurePosixPath, str | None]

    def new_record(self) -> JsonObject:
        """Return what report/tree.json has to say once the tree holds `files`.

        What it said before of files that are different now stays in `earlier`, so that an interruption between the two
        makes no edit of what is ours.
        """
        digests: dict[str, str] = {}
        for path, content in self.fresh.items():
            base = self.bases.get(path) if path in self.bases else _digest(content)
            if base is not None:
                digests[str(path)] = base
        before = {} if self.record is None else self.record.files
        earlier = {name: digest for name, digest in before.items() if digests.get(name) != digest}
        return {"schema": 1, "files": dict(digests), "earlier": dict(earlier)}


@dataclass(frozen=True, slots=True)
class Record:
    """report/tree.json: path below the tree -> sha256 of what aggregation wrote there, last and before that."""

    files: Mapping[str, str]
    earlier: Mapping[str, str]

    def has(self, path: PurePosixPath, digest: str) -> bool:
        """Whether aggregation wrote exactly this."""
        return digest in {self.files.get(str(path)), self.earlier.get(str(path))}

    def knows(self, path: PurePosixPath) -> bool:
        """Whether aggregation wrote the file, be it with other content."""
        return str(path) in self.files or str(path) in self.earlier


def read_record(path: Path) -> Record | None:
    """Read report/tree.json; None where there is none.

    Raises:
        ResultError: It is no JSON.
        SubmissionError: It has another form.
    """
    if not path.exists():
        return None
    found = read_json(path)
    parts = [found.get(name) for name in ("files", "earlier")]
    if not all(isinstance(part, dict) and all(isinstance(one, str) for one in part.values()) for part in parts):
        raise SubmissionError(
            f"{path}: expected the keys 'files' and 'earlier' with digests",
            hint="remove it: then what differs from the results is put aside, and nothing is lost",
        )
    files, earlier = ({str(name): str(one) for name, one in part.items()} for part in parts if isinstance(part, dict))
    return Record(files, earlier)


def settle(
    folder: Path, fresh: Files, documents: Collection[PurePosixPath], record: Record | None, take_ours: Sequence[str]
) -> Settled:
    """Find what was changed by hand, and what the tree is to hold.

    Args:
        folder: The tree; need not be there.
        fresh: What the results say.
        documents: The paths among them that people may edit; the others are evidence of runs.
        record: What aggregation wrote last; None: nothing tells.
        take_ours: Paths, or folders, whose edits give way.

    Raises:
        ConfigError: A name in `take_ours` was not edited.
        SubmissionError: A file cannot be read.
    """
    files: dict[PurePosixPath, Content] = dict(fresh)
    edits: list[Edit] = []
    bases: dict[PurePosixPath, str | None] = {}
    wanted = [_below(name, folder) for name in take_ours]
    try:
        for path in _found(folder):
            digest = _by_hand(folder / path, path, fresh.get(path), record)
            if digest is None:
                continue
            edit = _judge(path, digest, fresh, documents, record, wanted)
            edits.append(edit)
            if edit.state != "ours":
                files[path] = folder / path
            if edit.state == "yours" and record is not None:
                bases[path] = record.files.get(str(path))
    except OSError as error:
        raise SubmissionError(f"cannot read {error.filename}: {error.strerror or error}") from error
    _refuse_unedited(take_ours, wanted, [edit.path for edit in edits])
    return Settled(files, tuple(edits), fresh, record, bases)


def put_aside(run: Path, folder: Path, edits: Sequence[Edit]) -> None:
    """Keep the files that give way under another name.

    Raises:
        ToolError: They cannot be written.
    """
    for edit in edits:
        source = folder / edit.path
        if edit.aside and source.is_file():
            tree.keep(source, run / edit.aside, sha256_file(source))


def _found(folder: Path) -> Iterator[PurePosixPath]:
    """Yield the plain files of a tree, sorted; links are no work that could be kept."""
    if folder.is_symlink():
        return
    for home, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(home, name)
            if path.is_file() and not path.is_symlink():
                yield PurePosixPath(path.relative_to(folder).as_posix())


def _by_hand(path: Path, name: PurePosixPath, content: Content | None, record: Record | None) -> str | None:
    """Return the digest of a file that aggregation did not write, None of one that it wrote or would write."""
    if content is not None and tree.is_same(path, content):
        return None
    digest = sha256_file(path)
    return None if record is not None and record.has(name, digest) else digest


def _judge(
    path: PurePosixPath,
    digest: str,
    fresh: Files,
    documents: Collection[PurePosixPath],
    record: Record | None,
    wanted: Sequence[PurePosixPath],
) -> Edit:
    name, aside = str(path), f"{ASIDE}/{path}.{digest[:_DIGITS]}"
    here = "the results' file is here" if path in fresh else "it is gone from the tree"
    if record is None:
        return Edit(name, "ours", f"it differs, and nothing tells whether you edited it; {here}", aside)
    if any(path == one or one in path.parents for one in wanted):
        return Edit(name, "ours", f"{here}, as you asked", aside)
    if path not in fresh:
        if record.knows(path):
            return Edit(name, "ours", "you edited it, and its result is no longer part of the tree", aside)
        return Edit(name, "added", "it was added by hand; it stays")
    if path not in documents:
        return Edit(name, "ours", "it was edited, and it is evidence of a run: the raw result's file is here", aside)
    base = record.files.get(name)
    since = "" if base == _digest(fresh[path]) else ", although the results' file has changed meanwhile"
    return Edit(name, "yours", f"you edited it after it was aggregated; yours stays{since}")


def _below(name: str, folder: Path) -> PurePosixPath:
    """Return a path below the tree, given so or from the current folder."""
    given = Path(name)
    inside = Path(os.path.abspath(given))
    if inside.is_relative_to(os.path.abspath(folder)):
        given = inside.relative_to(os.path.abspath(folder))
    return PurePosixPath(given.as_posix())


def _refuse_unedited(names: Sequence[str], wanted: Sequence[PurePosixPath], edited: Sequence[str]) -> None:
    for name, path in zip(names, wanted, strict=True):
        if any(PurePosixPath(one) == path or path in PurePosixPath(one).parents for one in edited):
            continue
        if not edited:
            raise ConfigError(f"--take-ours {name}: no file of the tree was edited")
        raise unknown_name("edited file", name, edited, where="--take-ours")


def _digest(content: Content) -> str:
    return sha256_bytes(content) if isinstance(content, bytes) else sha256_file(content)
