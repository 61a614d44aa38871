"""What a check says: findings, results and the verdict. These classes are the schema of checks.json.

`mlperf_ops.typed.dump` writes them, `mlperf_ops.typed.load` reads them; docs/reference/files.md lists the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

SCHEMA = 1

Severity = Literal["official", "rules", "advice"]
"""Who objects: the official submission checker; the rules, though the official checker accepts; or only good sense."""

TreeVerdict = Literal["submittable", "demonstration", "rejected"]
"""submittable: nobody objects; demonstration: every objection was ruled out by the plan itself; else rejected."""

ResultVerdict = Literal["pass", "expected", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that one place of the tree breaks.

    Attributes:
        rule: Id of the rule, see docs/reference/rules.md.
        severity: Who objects.
        location: File or folder, relative to the tree, with "/"; "." is the tree itself.
        affects: Folder whose results the finding concerns: a result, all results of a system, of a submitter, or
            "." for all.
        message: What is wrong, in one sentence.
        value: What was found.
        limit: What was expected.
        meaning: Why the rule exists.
        fix: What to do.
        expected_because: Why the plan itself already ruled this out; None for a real problem.
    """

    rule: str
    severity: Severity
    location: str
    affects: str
    message: str
    value: str | None
    limit: str | None
    meaning: str
    fix: str
    expected_because: str | None = None

    @property
    def rejects(self) -> bool:
        """Whether a result with this finding is not accepted by the official checker or by the rules."""
        return self.severity != "advice"

    def concerns(self, result: str) -> bool:
        """Whether the result folder `result` is among those that the finding affects."""
        return self.affects in (".", result) or result.startswith(self.affects + "/")


def places_of(result: str) -> tuple[str, ...]:
    """Return the folders whose findings concern a result folder, the widest first; it is the last itself."""
    parts = result.split("/")
    return (".", *("/".join(parts[: depth + 1]) for depth in range(len(parts))))


class FindingsByPlace:
    """Finds what concerns a result without looking at every finding of the tree."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Sort findings by the folder that they affect."""
        self._by_place: dict[str, list[Finding]] = {}
        for finding in findings:
            self._by_place.setdefault(finding.affects, []).append(finding)

    def of(self, result: str) -> list[Finding]:
        """Return the findings that concern a result folder, those of the widest place first."""
        return [finding for place in places_of(result) for finding in self._by_place.get(place, ())]


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """One scenario folder: what it claims and whether it passes.

    Attributes:
        location: The scenario folder, relative to the tree.
        model: Official benchmark that it stands for; None when unknown.
        scenario: Scenario of the folder, as MLPerf spells it; None when unknown.
        measured_scenario: Scenario that LoadGen ran; another one than `scenario` when the result is inferred.
        metric: The result, in `unit`; None when the log does not give it.
        unit: Unit as the official result table names it.
        accuracy: Metric -> number as accuracy.txt writes it.
        validity: LoadGen's own verdict on the performance run, VALID or INVALID.
        inferred: The result is computed from another scenario's run.
        verdict: "expected" when all its findings follow from the plan.
        has_power: It claims a power measurement.
        power: Power metric, in `power_unit`; None where there is none or the logs do not give it.
        power_unit: Unit as the official result table names it.
    """

    location: str
    division: str
    submitter: str
    system: str
    benchmark: str
    model: str | None
    scenario: str | None
    measured_scenario: str | None
    metric: float | None
    unit: str | None
    accuracy: dict[str, str]
    validity: str | None
    inferred: bool
    verdict: ResultVerdict
    has_power: bool = False
    power: float | None = None
    power_unit: str | None = None


@dataclass(frozen=True, slots=True)
class OfficialResult:
    """The official checker's verdict on one result.

    Attributes:
        location: The scenario folder, relative to the tree.
        passed: None when the checker crashed or ran out of time before it said anything.
        metric: The result that it read, in its own unit.
        errors: Its error lines about this result.
        row: The result's row of its CSV, by column.
    """

    location: str
    passed: bool | None
    metric: float | None
    errors: tuple[str, ...]
    row: dict[str, str]


@dataclass(frozen=True, slots=True)
class OfficialRun:
    """One run of the official checker, over one system."""

    system: str  # folder of the system's results, relative to the tree
    exit_code: int | None  # None: stopped because it ran out of time
    crash: str | None  # last line of its traceback
    summary: str | None  # its last SUMMARY line


@dataclass(frozen=True, slots=True)
class OfficialReport:
    """What the official checker of a checkout said.

    Attributes:
        commit: Commit of the checkout; None without git.
        pinned_commit: Commit that the round names.
        note: What to know about the checkout, such as another commit; None when there is nothing.
        flags: Flags that were given beyond --input, --version and --csv.
        accepted: It found no error in any system, and at least one result.
        kind: "modular" since January 2026; "release" is the single script of an earlier round's tag.
    """

    commit: str | None
    pinned_commit: str
    version: str
    note: str | None
    flags: tuple[str, ...]
    runs: tuple[OfficialRun, ...]
    results: tuple[OfficialResult, ...]
    accepted: bool
    kind: Literal["modular", "release"] = "modular"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A result on which the official checker and our findings of severity "official" differ.

    Attributes:
        location: The scenario folder.
        ours: What our findings say.
        official: What it says.
        message: Our rules, or its reasons.
        known: The known defect of the official checker that explains it; None when nothing does.
    """

    location: str
    ours: Literal["accepts", "rejects"]
    official: Literal["accepts", "rejects", "crashed"]
    message: str
    known: str | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """checks.json: everything that is known about a tree.

    Attributes:
        tree: The tree that was checked.
        round: Round whose rules were applied.
        verdict: See `TreeVerdict`.
        findings: In the order of the tree, worst first within a place.
        results: One per scenario folder.
        official: The second opinion; None when no checkout was given.
        official_note: Why there is no second opinion, in one line.
        disagreements: Where the two opinions differ.
    """

    tree: str
    round: str
    verdict: TreeVerdict
    findings: tuple[Finding, ...]
    results: tuple[CheckedResult, ...]
    official: OfficialReport | None = None
    official_note: str | None = None
    disagreements: tuple[Disagreement, ...] = field(default=())
    schema: int = SCHEMA

    def of(self, result: str) -> tuple[Finding, ...]:
        """Return the findings that concern one result folder."""
        return tuple(finding for finding in self.findings if finding.concerns(result))
