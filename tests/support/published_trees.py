"""Trees of links to a published results repository: a checker runs on them, and the repository stays as it is."""

from __future__ import annotations

from pathlib import Path

DIVISIONS = ("closed", "open", "network")
_DETAIL = ("performance/run_1/mlperf_log_detail.txt", "accuracy/mlperf_log_detail.txt")


def has_logs(result: Path) -> bool:
    """Whether a result has both of its detail logs; a copy of a repository may lack large files."""
    return all((result / detail).is_file() for detail in _DETAIL)


def link_results_with_logs(tree: Path, farm: Path) -> int:
    """Link a tree without the results that have no logs, at which the modular checker ends; return how many it has."""
    kept = 0
    for division in DIVISIONS:
        for submitter in sorted((tree / division).iterdir()) if (tree / division).is_dir() else ():
            home = farm / division / submitter.name
            home.mkdir(parents=True)
            for entry in submitter.iterdir():
                if entry.name != "results":
                    (home / entry.name).symlink_to(entry)
            (home / "results").mkdir()
            for result in sorted((submitter / "results").glob("*/*/*/")):
                if has_logs(result):
                    place = farm / result.relative_to(tree)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(result)
                    kept += 1
    return kept
