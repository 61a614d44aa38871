"""Whether a tree is visibly of another round than the one that it was checked by: its seeds and its folders tell."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.checker.performance_rules import SEEDS
from mlperf_ops.checker.structure import OLD_LAYOUT

SIGNS = frozenset({SEEDS.id, OLD_LAYOUT.id})
"""Rules that a tree of another round breaks; without a finding of them there is no hint."""

_MOST = 0.5  # of the results, or of the submitters


def hint_of_other_round(report: CheckReport, rounds: Mapping[str, Round]) -> str | None:
    """Say which round a tree looks of, and how to check it by that; None where nothing speaks for another one.

    Args:
        report: The check by the round that was asked for.
        rounds: All that can be checked.
    """
    asked = rounds[report.round]
    by_layout, folders = _by_layout(report, asked, rounds)
    seeded = [finding for finding in report.findings if finding.rule == SEEDS.id]
    places = {finding.affects for finding in seeded}
    many = len(places) > _MOST * len(report.results)
    by_seeds, count = _by_seeds(seeded, rounds) if many else (None, 0)
    if by_seeds is not None:
        shown = f"the seeds of {count} of {len(report.results)} results are that round's"
        command = f"mlperf-ops check {shlex.quote(report.tree)} --round {by_seeds}"
        if folders:
            return f"this tree looks of round {by_seeds}: {shown}, and its folders are. Check it with: {command}"
        return (
            f"this tree looks of round {by_seeds}: {shown}. Check it with: {command} (or, if it is meant for "
            f"{asked.name}, its runs were made with another round's LoadGen)"
        )
    shown = f"its folders {', '.join(f'{name}/' for name in folders)} are not of the layout of {asked.name}"
    if many:
        known = ", ".join(sorted(rounds))
        seeds = (
            f"the seeds of {len(places)} of {len(report.results)} results are of no round that can be checked ({known})"
        )
        return f"this tree looks of another round than {asked.name}: {f'{shown}, and ' if folders else ''}{seeds}"
    if not by_layout:
        return None
    command = f"mlperf-ops check {shlex.quote(report.tree)} --round {by_layout[-1]}"
    return f"this tree looks of round {' or '.join(by_layout)}: {shown}. Check it with: {command}"


def _by_seeds(findings: Iterable[Finding], rounds: Mapping[str, Round]) -> tuple[str | None, int]:
    """Return the round whose seeds most results have that have other ones, and how many these are."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        seeds = dict(pair.split("=", 1) for pair in (finding.value or "").split(", ") if "=" in pair)
        for name, round_ in rounds.items():
            if seeds and all(str(getattr(round_.seeds, seed, None)) == value for seed, value in seeds.items()):
                found.setdefault(name, set()).add(finding.affects)
    if not found:
        return None, 0
    name, places = max(found.items(), key=lambda item: len(item[1]))
    return name, len(places)


def _by_layout(
    report: CheckReport, asked: Round, rounds: Mapping[str, Round]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rounds that have the folders of most submitters, and these folders; nothing where few have any."""
    found = [finding for finding in report.findings if finding.rule == OLD_LAYOUT.id and finding.value]
    theirs = {finding.location.rpartition("/")[0] for finding in found}
    everybody = {f"{result.division}/{result.submitter}" for result in report.results} | theirs
    if len(theirs) <= _MOST * len(everybody):
        return (), ()
    counts = Counter(str(finding.value) for finding in found)
    folders = [name for name, count in counts.items() if count > _MOST * len(theirs)] or list(counts)
    matching = [name for name, one in rounds.items() if name != asked.name and set(folders) <= _folders(one)]
    return tuple(sorted(matching)), tuple(sorted(folders))


def _folders(round_: Round) -> set[str]:
    layout = round_.layout
    return {template.split("/")[2] for template in (layout.measurements_dir, layout.compliance_dir, layout.src_dir)}
