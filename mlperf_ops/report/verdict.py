"""The verdict in plain words: what kind of result this is, why, and whether anything else is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlperf_ops.checker.model import CheckReport, Finding
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.wording import one_line, plural

ReportVerdict: TypeAlias = Literal["submittable", "demonstration", "rejected", "unchecked"]

_CELLS_NAMED = 3
_OF_SHORT_RUNS = frozenset({"min-duration", "min-queries", "early-stopping", "loadgen-validity"})


@dataclass(frozen=True, slots=True)
class Headline:
    """The report's first sentence.

    Attributes:
        verdict: The check's verdict; "unchecked" when there is no checks.json.
        word: The verdict as one loud word or two.
        reasons: Why, one clause each.
        rest: What else there is to say: that everything else holds, or what does not.
    """

    verdict: ReportVerdict
    word: str
    reasons: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def line(self) -> str:
        """All of it in one line."""
        why = "; ".join(self.reasons)
        first = f"{self.word}: {why}" if why else self.word
        return " ".join([f"{first.rstrip('.')}." if self.rest and why else first, *self.rest])


@dataclass(frozen=True, slots=True)
class Expected:
    """Findings that follow from one decision of the plan."""

    because: str
    findings: tuple[Finding, ...]

    @property
    def rules(self) -> tuple[tuple[str, int], ...]:
        """Rule ids with the number of findings each."""
        return tuple((rule, len(found)) for rule, found in by_rule(self.findings))


def headline(run: Run) -> Headline:
    """Put the verdict into words."""
    incomplete = _incomplete(run)
    if run.checks is None:
        return Headline("unchecked", "NOT CHECKED", (one_line(run.checks_problem or ""),), incomplete)
    objections = unexpected(run.checks)
    official = _official(run.checks)
    simulated = (*_simulated(run), *_tainted(run))
    rest = (*official, *_failed(run), *simulated, *incomplete)
    if run.checks.verdict == "rejected":
        if not run.checks.results:
            return Headline("rejected", "REJECTED", ("the tree holds no result",), (*simulated, *incomplete))
        return Headline("rejected", "REJECTED", (plural(len(objections), "finding"),), rest)
    if run.checks.verdict == "demonstration":
        why = _reasons(run, run.checks)
        return Headline("demonstration", "DEMONSTRATION, not submittable", why, rest or ("Everything else holds.",))
    return Headline("submittable", "SUBMITTABLE", (f"every rule of {run.plan.round} holds",), rest)


def _reasons(run: Run, checks: CheckReport) -> tuple[str, ...]:
    """Return the plan's reasons for the first sentence: all that follows from short runs is one of them."""
    found = {one.rule for one in checks.findings if one.expected_because is not None}
    least_seconds = run.round.limits.min_duration_ms / 1000
    reasons = dict.fromkeys(
        f"runs shorter than {least_seconds:g} s"
        if "min-duration" in found and all(rule in _OF_SHORT_RUNS for rule, _ in group.rules)
        else group.because
        for group in expected(run)
    )
    return tuple(reasons)


def unexpected(checks: CheckReport) -> tuple[Finding, ...]:
    """Return the findings that reject and that the plan did not rule out."""
    return tuple(found for found in checks.findings if found.rejects and found.expected_because is None)


def advice(checks: CheckReport) -> tuple[Finding, ...]:
    """Return the findings that reject nothing."""
    return tuple(found for found in checks.findings if not found.rejects and found.expected_because is None)


def expected(run: Run) -> tuple[Expected, ...]:
    """Return the findings that the plan ruled out, by its reasons, in the order of the plan."""
    if run.checks is None:
        return ()
    grouped: dict[str, list[Finding]] = {}
    for found in run.checks.findings:
        if found.expected_because is not None:
            grouped.setdefault(one_line(found.expected_because), []).append(found)
    order = [one_line(limit.because) for limit in run.plan.limits]
    known = sorted(grouped, key=lambda because: order.index(because) if because in order else len(order))
    return tuple(Expected(because, tuple(grouped[because])) for because in known)


def by_rule(findings: tuple[Finding, ...]) -> tuple[tuple[str, tuple[Finding, ...]], ...]:
    """Group findings by rule, in the order in which rules first occur."""
    grouped: dict[str, list[Finding]] = {}
    for found in findings:
        grouped.setdefault(found.rule, []).append(found)
    return tuple((rule, tuple(found)) for rule, found in grouped.items())


def by_message(findings: tuple[Finding, ...]) -> tuple[tuple[Finding, ...], ...]:
    """Group findings that say the same of several places."""
    grouped: dict[tuple[str, str], list[Finding]] = {}
    for found in findings:
        grouped.setdefault((found.rule, found.message), []).append(found)
    return tuple(tuple(found) for found in grouped.values())


def official_line(run: Run) -> str:
    """Say in one line what became of the second opinion."""
    checks = run.checks
    if checks is None:
        return "Official checker: not run; nothing was checked yet."
    if checks.official is None:
        why = one_line(checks.official_note or "no checkout of mlcommons/inference was given").rstrip(".")
        return f"Official checker: could not be had ({why}), so our own check stands alone."
    report = checks.official
    commit = report.commit[:8] if report.commit else "an unknown commit"
    pinned = " (the one that the round names)" if report.commit == report.pinned_commit else ""
    accepted = sum(1 for one in report.results if one.passed)
    flags = f" with {' '.join(report.flags)}" if report.flags else ""
    note = f" {one_line(report.note).rstrip('.')}." if report.note else ""
    agreed = (
        "it agrees with our check on every result"
        if not checks.disagreements
        else f"it disagrees with our check on {plural(len(checks.disagreements), 'result')}"
    )
    return (
        f"Official checker: ran at commit {commit}{pinned}, --version {report.version}{flags}; it accepts "
        f"{accepted} of {plural(len(report.results), 'result')}; {agreed}.{note}"
    )


def unfinished(run: Run) -> tuple[CellRun, ...]:
    """Return the planned cells without a result that counts; what the plan calls impossible is not among them."""
    return tuple(cell for cell in run.cells if cell.state in ("missing", "failed", "unreadable"))


def _incomplete(run: Run) -> tuple[str, ...]:
    without = unfinished(run)
    said: list[str] = []
    if without:
        names = ", ".join(one_line(cell.cell.key) for cell in without[:_CELLS_NAMED])
        more = f" and {len(without) - _CELLS_NAMED} more" if len(without) > _CELLS_NAMED else ""
        planned = sum(1 for cell in run.cells if cell.state != "impossible")
        verb = "has" if len(without) == 1 else "have"
        said.append(f"{len(without)} of {plural(planned, 'cell')} {verb} no result: {names}{more}.")
    stale = sum(1 for cell in run.cells if cell.stale)
    if stale:
        said.append(f"{plural(stale, 'result')} {'is' if stale == 1 else 'are'} of an earlier plan.")
    if run.packaging.refused:
        key, reason = run.packaging.refused[0]
        count = len(run.packaging.refused)
        first = "" if count == 1 else "the first is "
        said.append(
            f"{plural(count, 'cell')} {'was' if count == 1 else 'were'} kept out of the tree: "
            f"{first}{one_line(key)}, {one_line(reason)}."
        )
    return tuple(said)


def failed_tests(run: Run) -> tuple[str, ...]:
    """Return a sentence for each compliance test that is not passed: by how much, and what to do."""
    return tuple(f"{one_line(key)}: {one_line(one.sentence)}" for key, one in run.packaging.tests if not one.passed)


def _failed(run: Run) -> tuple[str, ...]:
    failed = [key for key, one in run.packaging.tests if not one.passed]
    if not failed:
        return ()
    first = "" if len(failed) == 1 else "the first is "
    return (f"{plural(len(failed), 'compliance test')} failed: {first}{one_line(failed[0])}.",)


def _simulated(run: Run) -> tuple[str, ...]:
    count = sum(1 for cell in run.cells if cell.result is not None and cell.result.simulated)
    return (f"{plural(count, 'cell')} {'is' if count == 1 else 'are'} simulated and never packed.",) if count else ()


def _tainted(run: Run) -> tuple[str, ...]:
    count = sum(1 for cell in run.cells if cell.result is not None and cell.result.tainted)
    if not count:
        return ()
    return (f"{plural(count, 'cell')} {'is' if count == 1 else 'are'} tainted: the host drifted while it measured.",)


def _official(checks: CheckReport) -> tuple[str, ...]:
    count = len(checks.disagreements)
    if not count:
        return ()
    return (f"The official checker disagrees on {plural(count, 'result')}.",)
