"""The compliance tests of a place in a submission tree: each is verified, and its folder made of what that gives.

A test that failed is packed as what it is: its texts say TEST FAIL, and both checkers reject the result. Only a log
that cannot be read gives no folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlperf_ops.accuracy_txt import hash_line
from mlperf_ops.attempts import Attempt
from mlperf_ops.compliance.model import Request, Runs, Verification
from mlperf_ops.compliance.scoring import options_of
from mlperf_ops.compliance.verify import ACCURACY_TXT, verify
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.model import COMPLIANCE_TESTS, ComplianceTest, Scenario
from mlperf_ops.packed_place import Files, Place
from mlperf_ops.selection import ComplianceOutcome
from mlperf_ops.truncate import shorten


@dataclass(slots=True)
class PackedTests:
    """What the tests of a place give.

    Attributes:
        outcomes: Of every test that was run.
        files: For the tree; empty in a division that demands no tests.
        full_logs: Path of a shortened accuracy log in the tree -> the whole one and its sha256.
    """

    outcomes: list[ComplianceOutcome] = field(default_factory=list)
    files: Files = field(default_factory=dict)
    full_logs: dict[PurePosixPath, tuple[Path, str]] = field(default_factory=dict)


def pack_tests(place: Place) -> PackedTests:
    """Verify the tests of a place that have a run, and make their folders."""
    made = PackedTests()
    wanted = place.round.divisions[place.claim.division].compliance_tests
    for test, attempt in _attempts(place):
        key = f"{place.claim.key}/{test}"
        try:
            found = verify(_request(place, test, attempt))
            if wanted:
                _add_folder(made, place, found)
        except ResultError as error:
            made.outcomes.append(
                ComplianceOutcome(key, passed=False, reasons=(error.message,), remedy=error.hint or "")
            )
            continue
        made.outcomes.append(ComplianceOutcome(key, found.passed, found.reasons, found.remedy, found.notes))
    return made


def _attempts(place: Place) -> Iterator[tuple[ComplianceTest, Attempt]]:
    """Yield each test's attempt: of the performance run's host where that has one, as the two are compared."""
    performance = place.claim.pair.performance
    cell, host = performance.spec.cell, performance.planned.host
    for test in COMPLIANCE_TESTS:
        found = [
            attempt
            for planned in place.plan.cells
            if planned.status == "planned"
            and (planned.cell.system, planned.cell.benchmark, planned.cell.scenario, planned.cell.mode)
            == (cell.system, cell.benchmark, cell.scenario, test)
            and isinstance(attempt := place.selection.attempt(planned), Attempt)
        ]
        if found:
            yield test, next((one for one in found if one.planned.host == host), found[0])


def _request(place: Place, test: ComplianceTest, attempt: Attempt) -> Request:
    claim = place.claim
    performance = claim.pair.performance.spec
    return Request(
        test=test,
        round=place.round,
        official=claim.official_benchmark,
        scenario=scenario_of(performance.cell.scenario, performance.loadgen.scenario),
        runs=Runs(attempt.folder, claim.pair.performance.folder, claim.pair.accuracy.folder),
        options=options_of(attempt.spec, attempt.folder),
    )


def scenario_of(claimed: Scenario, ran: Scenario) -> Scenario:
    """Return the scenario whose rules the runs of a cell are held to: what ran, and Interactive where Server did.

    A cell of an imported result may be filed under a scenario that is inferred from what LoadGen ran.
    """
    return claimed if claimed == "Interactive" and ran == "Server" else ran


def _add_folder(made: PackedTests, place: Place, found: Verification) -> None:
    """Add a test's files: what the round lists, and the logs that they stand on.

    Raises:
        ResultError: A log is missing.
    """
    folder = place.claim.paths.compliance / found.test
    files: Files = {folder / name: content for name, content in found.files.items() if _kept(place, found, name)}
    log = folder / "accuracy" / ACCURACY_LOG
    raw = files.get(log)
    if isinstance(raw, Path) and not place.round.compliance_files[found.test].whole_accuracy_log:
        text = folder / "accuracy" / ACCURACY_TXT
        before = files.get(text, b"")
        assert isinstance(before, bytes)  # noqa: S101  # verification makes it, no host does
        short = shorten(raw, before, place.round.limits, place.round.hash_regex, str(text))
        files[log] = short.log
        files[text] = short.text if before else hash_line(short.sha256).encode()
        made.full_logs[log] = (raw, short.sha256)
    missing = next((content for content in files.values() if isinstance(content, Path) and not content.is_file()), None)
    if missing is not None:
        raise ResultError(f"{missing} is missing", hint="run the cell again")
    made.files |= files


def _kept(place: Place, found: Verification, name: str) -> bool:
    """Whether the tree holds a file: all where the round lists no folders of the test, else those of its folders."""
    folders = place.round.compliance_files[found.test].folders
    parent, _, _ = name.rpartition("/")
    return not parent or not folders or parent in folders
