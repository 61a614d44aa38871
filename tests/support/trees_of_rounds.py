"""Trees of other rounds: a tree of v6.1, good or broken, rearranged as of another round, with its seeds EDITED in.

It is done after something was broken, so that every fault is planted in one way; what a fault has removed, renamed or
made unreadable stays so.
"""

from __future__ import annotations

import os
from pathlib import Path

from mlperf_ops.catalogue.round import Round
from tests.support.submission_trees import round_v61

_ABOUT_RUNS = ("user.conf", "readme.md", "measurements.json")


def as_of_round(root: Path, round_: Round) -> None:
    """Rearrange a tree of v6.1."""
    _edit_seeds(root, round_)
    for submitter in (path for division in root.glob("*") if division.is_dir() for path in division.glob("*")):
        if "/measurements/" in round_.layout.measurements_dir and (submitter / "results").is_dir():
            _divide(submitter)
        source = submitter / "src"
        if source.is_dir():
            source.rename(submitter / round_.layout.src_dir.rpartition("/")[2])


def _edit_seeds(root: Path, round_: Round) -> None:
    """Replace the seeds of v6.1 wherever a log or summary has them: a seed that a fault has changed stays."""
    ours, theirs = round_v61().seeds.model_dump(), round_.seeds.model_dump()
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file() or "mlperf_log_" not in path.name.lower():
            continue
        content = path.read_bytes()
        for name, seed in ours.items():
            for code in ("ascii", "utf-16-le"):
                content = content.replace(str(seed).encode(code), str(theirs[name]).encode(code))
        path.write_bytes(content)


def _divide(submitter: Path) -> None:
    """Move what is about runs to measurements/, and compliance tests to compliance/, as rounds before v6.0 have it."""
    for result in sorted((submitter / "results").glob("*/*/*")):
        if not result.is_dir() or result.is_symlink():
            continue
        system, benchmark, scenario = result.relative_to(submitter / "results").parts
        place = f"{system}/{benchmark}/{scenario}"
        for path in sorted(result.iterdir()):
            name = path.name
            if name.lower() == "measurements.json":
                stem = f"{system}_{scenario}"
                name = f"{stem}.json" if name.islower() else f"{stem}.json".upper()
            if path.name.lower() in _ABOUT_RUNS:
                _move(path, submitter / "measurements" / place / name)
            elif path.name.startswith("TEST"):
                _move(path, submitter / "compliance" / place / name)


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and os.readlink(path) == path.name:  # a link to itself stays one
        path.unlink()
        target.symlink_to(target.name)
    else:
        path.rename(target)
