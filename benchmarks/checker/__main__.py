"""Measure a check beside the official modular checker: `python -m benchmarks.checker --help`.

Both take turns on one machine in one run, so that what else the machine does hits both; the ratio is what counts. The
official checker ends at the first result without logs, so it gets links to the tree without such results, and ours gets
the whole tree. Of several turns the one with the least CPU counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.checker.measure import Cost, measure
from benchmarks.checker.synthetic import make_tree
from mlperf_ops.catalogue import load_catalogue
from tests.support.published_trees import link_results_with_logs

_CHECKOUT = Path(__file__).resolve().parents[2]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checker", description=__doc__)
    parser.add_argument("--tree", type=Path, help="a published tree, such as a clone of inference_results_v5.1")
    parser.add_argument("--round", default="v5.1", help="its round (default: %(default)s)")
    parser.add_argument("--official", type=Path, help="checkout of mlcommons/inference with the modular checker")
    parser.add_argument("--turns", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--system", help="folder below the tree whose results change for the re-check, copied before")
    parser.add_argument("--synthetic", type=int, default=20000, help="results of the generated tree; 0: none")
    parser.add_argument("--scratch", type=Path, help="folder with room for a copy of the tree and 400,000 files")
    parser.add_argument("--output", type=Path, help="also write the numbers here, as JSON")
    return parser.parse_args(words)


def _ours(tree: Path, round_: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "mlperf_ops", "check", str(tree), "--round", round_, "--json", *more]


def _least(costs: Sequence[Cost]) -> Cost:
    return min(costs, key=lambda cost: cost.cpu_s)


def _official(checkout: Path, tree: Path, round_: str, csv: Path) -> tuple[list[str], Path]:
    command = [sys.executable, "-m", "submission_checker.main", "--input", str(tree), "--version", round_]
    return [*command, "--csv", str(csv)], checkout / "tools/submission"


def _beside(given: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Full check of the published tree by both, in turns."""
    farm = scratch / "farm"
    kept = link_results_with_logs(given.tree.resolve(), farm)
    command, folder = _official(given.official, farm, given.round, scratch / "official.csv")
    ours, official = [], []
    for _ in range(given.turns):
        ours.append(measure(_ours(given.tree, given.round)))
        official.append(measure(command, folder))
    mine, theirs = _least(ours), _least(official)
    return {
        "ours": asdict(mine),
        "official": asdict(theirs),
        "official_results": kept,
        "cpu_ratio": round(mine.cpu_s / theirs.cpu_s, 3),
    }


def _again(given: argparse.Namespace, scratch: Path, part: str = "") -> dict[str, object]:
    """Check a copy twice with a cache, change one system's results, and check again.

    Args:
        given: The tree, its round, the system and how many turns.
        scratch: Where the copy is made.
        part: Copy only this folder of the tree, such as one submitter's; default: all.
    """
    copy, cache = scratch / "copy", scratch / "cache"
    shutil.copytree(given.tree / part, copy / part, symlinks=True)
    found: dict[str, object] = {"first": asdict(measure(_ours(copy, given.round, "--cache", str(cache))))}
    measure(_ours(copy, given.round, "--cache", str(cache)))  # after it no file is too young
    unchanged = [measure(_ours(copy, given.round, "--cache", str(cache))) for _ in range(given.turns)]
    found["nothing_changed"] = asdict(_least(unchanged))
    costs = []
    for turn in range(given.turns):
        logs = sorted((copy / given.system).rglob("mlperf_log_detail.txt"))
        for log in logs:  # a new run: another content, another time
            text = log.read_bytes()
            log.write_bytes(text.replace(b'"test_datetime", "value": "', b'"test_datetime", "value": "%d' % turn, 1))
        costs.append(measure(_ours(copy, given.round, "--cache", str(cache))))
        found["changed_logs"] = len(logs)
    found["one_system_changed"] = asdict(_least(costs))
    shutil.rmtree(copy)
    return found


def _linear(given: argparse.Namespace, scratch: Path) -> list[dict[str, object]]:
    """Check generated trees of growing size."""
    round_ = load_catalogue().round("v6.1")
    found: list[dict[str, object]] = []
    for part in (8, 4, 2, 1):
        tree = scratch / f"generated{part}"
        make_tree(tree, given.synthetic // part, round_)
        cost = measure(_ours(tree, "v6.1"))
        per_result_ms = round(cost.cpu_s / (given.synthetic // part) * 1000, 3)
        found.append({"results": given.synthetic // part, "cpu_ms_per_result": per_result_ms, **asdict(cost)})
        shutil.rmtree(tree)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Measure what the arguments name, and print it as JSON."""
    given = _arguments(words)
    os.environ["PYTHONPATH"] = str(_CHECKOUT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, as after any installation
    found: dict[str, object] = {"load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="mlperf-ops-checker-", dir=given.scratch) as name:
        scratch = Path(name)
        if given.tree is not None and given.official is not None:
            found["full"] = _beside(given, scratch)
        if given.tree is not None and given.system is not None:
            found["again"] = _again(given, scratch)
            division, submitter = Path(given.system).parts[:2]
            found["again_own_tree"] = _again(given, scratch, f"{division}/{submitter}")
        if given.synthetic:
            found["generated"] = _linear(given, scratch)
    text = json.dumps(found, indent=2)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
