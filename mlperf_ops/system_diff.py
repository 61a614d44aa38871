"""What changed in a system's description since an earlier file, such as last round's. Pure but for reading files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, read_json
from mlperf_ops.system_lint import canonical

Kind: TypeAlias = Literal["changed", "spelling", "added", "removed"]
_FOLDERS = ("systems", "*/systems", "*/*/systems", "")  # a submitter's folder, a division, a tree, a folder of files


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """A field that is not the same in two descriptions.

    Attributes:
        field: Its name.
        old: Earlier value, None when the field was not there.
        new: Present value, None when the field is gone.
        kind: "spelling": the words or the type changed and the meaning did not.
    """

    field: str
    old: Json
    new: Json
    kind: Kind


def compare(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[FieldDiff, ...]:
    """Return the fields that differ, in the order of the new description."""
    found = []
    for key in dict.fromkeys([*new, *old]):
        before, now = old.get(key), new.get(key)
        if key not in old:
            found.append(FieldDiff(key, None, now, "added"))
        elif key not in new:
            found.append(FieldDiff(key, before, None, "removed"))
        elif before != now or type(before) is not type(now):
            same = canonical(key, before) == canonical(key, now)
            found.append(FieldDiff(key, before, now, "spelling" if same else "changed"))
    return tuple(found)


def read_descriptions(path: Path) -> dict[str, dict[str, Json]]:
    """Read the system descriptions of a file, or of a submission tree or a part of one.

    Returns:
        Name of the system to its fields; with the folders before it where two submitters have a system of one name.

    Raises:
        SubmissionError: There is none.
        ResultError: A file is no JSON object.
    """
    if path.is_file():
        return {path.stem: read_json(path)}
    for folder in _FOLDERS:
        files = sorted(file for file in path.glob(f"{folder}/*.json" if folder else "*.json") if file.is_file())
        if files:
            stems = [file.stem for file in files]
            names = [
                file.stem if stems.count(file.stem) == 1 else str(file.relative_to(path).with_suffix(""))
                for file in files
            ]
            return {name: read_json(file) for name, file in zip(names, files, strict=True)}
    raise SubmissionError(
        f"{path} holds no system description",
        hint="give a systems/<name>.json, or a submission tree with such files",
    )
