"""The compliance tests of a result in a vendor's folder: where their logs are, which count, and what is left aside.

They are found beside the performance and the accuracy run by their official names, or below `compliance` where the runs
lie below `results`, as rounds before v6.0 have it. A test's folder holds the logs itself, or has the folders of a
submission: performance/run_1 and accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue import Round
from mlperf_ops.compliance.audit import named_test, problem_of
from mlperf_ops.errors import ConfigError, nearest
from mlperf_ops.importing.wanted import LOGS_BELOW
from mlperf_ops.loadgen_log import DETAIL_LOG
from mlperf_ops.model import COMPLIANCE_TESTS, ComplianceTest, Division, Mode

_RUN = re.compile(r"run_\d+")
_TEST = re.compile(r"TEST\d\d.*")


@dataclass(frozen=True, slots=True)
class Found:
    """A folder beside the runs of a result.

    Attributes:
        folder: The folder.
        test: The test whose logs it holds; None: it is left aside.
        reason: Why it is left aside; "" when it is not.
    """

    folder: Path
    test: ComplianceTest | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides which tests of a result count."""

    round: Round
    official: str
    division: Division
    declared: frozenset[Mode]


def is_test(mode: Mode) -> bool:
    """Whether a mode is a compliance test."""
    return mode in COMPLIANCE_TESTS


def tests_beside(folders: Mapping[Mode, Path], used: Sequence[Path], asked: Asked) -> Iterator[Found]:
    """Yield the folders beside the runs of a result: its tests, and what is left aside, each with the reason.

    Args:
        folders: Of the result's runs, as far as they are there.
        used: All folders that the map names.
        asked: What counts.
    """
    taken: dict[ComplianceTest, Path] = {}
    named = {path.resolve() for path in used}
    for home in _homes([path for mode, path in folders.items() if not is_test(mode)]):
        for path in sorted(home.iterdir()):
            real = path.resolve()
            if not path.is_dir() or any(one == real or real in one.parents for one in named):
                continue
            found = _judge(path, asked, taken)
            if found is not None:
                yield found
                if found.test is not None:
                    taken[found.test] = path


def _homes(runs: Sequence[Path]) -> list[Path]:
    """Return the folders in which tests may lie: the runs' common one, and its twin below `compliance`."""
    found: dict[Path, None] = {}
    for path in runs:
        parent = path.parent
        home = parent.parent if _RUN.fullmatch(path.name) else parent
        found[home] = None
        parts = list(home.parts)
        if "results" in parts:
            at = len(parts) - 1 - parts[::-1].index("results")
            found[Path(*parts[:at], "compliance", *parts[at + 1 :])] = None
    return [home for home in found if home.is_dir()]


def _judge(path: Path, asked: Asked, taken: Mapping[ComplianceTest, Path]) -> Found | None:
    """Say what a folder is; None: it has nothing to do with tests."""
    guess = nearest(path.name, COMPLIANCE_TESTS)
    if _TEST.fullmatch(path.name) is None:
        looks = path.name.casefold().startswith(("test", "compliance", "audit"))
        if not looks:
            return None
        hint = f"; did you mean {guess}? Rename it, or name it under folders" if guess else "; name it under folders"
        return Found(path, None, f"it has no official name of a compliance test{hint}")
    try:
        test = named_test(asked.round, path.name)
    except ConfigError as error:
        return Found(path, None, str(error))
    reason = problem_of(asked.round, test, asked.official) or ""
    if not asked.round.divisions[asked.division].compliance_tests:
        reason = f"the {asked.division} division demands no compliance tests; name it under folders to see how it does"
    elif test in asked.declared:
        reason = f"the map names another folder for {test}"
    elif test in taken:
        reason = f"{test} is taken from {taken[test].parent.name}/{test}"
    elif not reason and not any((path / name / DETAIL_LOG).is_file() for name in ("", LOGS_BELOW)):
        reason = f"there is no {DETAIL_LOG} in it, and a test is verified by its logs, not by the texts of other tools"
    return Found(path, None if reason else test, reason)
