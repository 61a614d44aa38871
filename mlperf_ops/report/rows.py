"""The results table: one row per (system, benchmark, scenario), out of its performance and its accuracy cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlperf_ops.checker.model import CheckedResult, OfficialResult
from mlperf_ops.model import COMPLIANCE_TESTS, AccuracyOutcome, AccuracyRequest, Cell
from mlperf_ops.report import figures
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.report.power import power_note
from mlperf_ops.wording import one_line, percent, plural

Tone: TypeAlias = Literal["good", "expected", "bad", "none"]
"""How a value is to be taken: as it should be; short of it as planned; wrong; nothing to say."""

_NONE = "-"
_OURS: dict[str, tuple[str, Tone]] = {
    "pass": ("passes", "good"),
    "expected": ("fails as planned", "expected"),
    "fail": ("fails", "bad"),
}
_WITHOUT_RESULT: dict[str, str] = {
    "missing": "not run",
    "failed": "failed",
    "unreadable": "unreadable",
    "impossible": "impossible",
}


@dataclass(frozen=True, slots=True)
class Word:
    """A short text with its tone; `note` says more."""

    text: str
    tone: Tone = "none"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A result as the reader sees it; every text is visible characters only.

    Attributes:
        maps_to: Official benchmark when the benchmark's own name is another one, else empty.
        result: Metric with unit, or why there is none.
        label: What the metric is, such as "90th percentile".
        loadgen: LoadGen's own verdict on the performance run.
        accuracy: The score; `note` names the target.
        samples: How many samples were scored.
        compliance: What became of its compliance tests; None when it has none.
        ours: Our check's verdict on the result.
        official: The official checker's verdict; None when it did not run.
    """

    system: str
    benchmark: str
    maps_to: str
    scenario: str
    result: str
    label: str
    loadgen: Word
    accuracy: Word
    samples: str
    compliance: Word | None
    ours: Word
    official: Word | None
    notes: tuple[str, ...]
    anchor: str


def result_rows(run: Run) -> tuple[Row, ...]:
    """Build the table in the order of the plan."""
    pairs: dict[tuple[str, str, str], dict[str, CellRun]] = {}
    for cell in run.cells:
        one = cell.cell
        pair = pairs.setdefault((one.system, one.benchmark, one.scenario), {})
        # Where several hosts measured a cell, the row is of the run that the tree holds.
        if one.mode not in pair or run.packaging.counts(one, cell.host):
            pair[one.mode] = cell
    return tuple(
        _row(run, pair) for pair in pairs.values() if any(cell.state != "impossible" for cell in pair.values())
    )


def _row(run: Run, pair: Mapping[str, CellRun]) -> Row:
    performance, accuracy = pair.get("performance"), pair.get("accuracy")
    tests = [pair[test] for test in COMPLIANCE_TESTS if test in pair]
    either = performance or accuracy or tests[0]
    cell = either.cell
    found = figures.metric(performance, run.round)
    checked = checked_result(run, cell)
    own_name = cell.benchmark != either.official_benchmark
    return Row(
        system=one_line(cell.system),
        benchmark=one_line(cell.benchmark),
        maps_to=one_line(either.official_benchmark) if own_name else "",
        scenario=cell.scenario,
        result=_inferred(checked) or (found.text if found else _absent(performance)),
        label="inferred" if _inferred(checked) else found.label if found else "",
        loadgen=_loadgen(performance, checked),
        accuracy=_accuracy(accuracy),
        samples=_samples(accuracy),
        compliance=_compliance(run, tests),
        ours=_ours(run, checked),
        official=_official(run, checked),
        notes=(
            *power_note(run, performance),
            *_notes(found, (performance, accuracy, *tests), checked),
            *_test_notes(run, tests),
            *(f"also stands for {one_line(place)}" for place in run.packaging.stands_for(cell)),
        ),
        anchor=either.anchor,
    )


def _inferred(checked: CheckedResult | None) -> str:
    """Return an inferred result, which is not what the run itself measured; "" for any other."""
    if checked is None or not checked.inferred or checked.metric is None:
        return ""
    return f"{checked.metric:,.6g} {one_line(checked.unit or '')}"


def _absent(cell: CellRun | None) -> str:
    return "not planned" if cell is None else _WITHOUT_RESULT.get(cell.state, _NONE)


def _loadgen(cell: CellRun | None, checked: CheckedResult | None) -> Word:
    outcome = cell.result.loadgen if cell is not None and cell.result is not None else None
    if outcome is None or outcome.validity is None:
        return Word(_NONE)
    if outcome.validity == "VALID":
        return Word("VALID", "good")
    as_planned = checked is not None and checked.verdict == "expected"
    return Word("INVALID", "expected" if as_planned else "bad")


def accuracy_target(request: AccuracyRequest) -> str:
    """Write a target: ">= 75.6954", "20 to 30"; empty when the round states none."""
    low, high = request.minimum, request.maximum
    if low is not None and high is not None:
        return f"{percent(low)} to {percent(high)}"
    if low is not None:
        return f">= {percent(low)}"
    return f"<= {percent(high)}" if high is not None else ""


def accuracy_text(outcome: AccuracyOutcome) -> str:
    """Write a score: "80 % acc"."""
    unit = f" {outcome.unit}" if outcome.unit else ""
    return f"{percent(outcome.value)}{one_line(unit)} {one_line(outcome.metric)}"


def _accuracy(cell: CellRun | None) -> Word:
    if cell is None or cell.result is None or cell.spec is None or cell.result.accuracy is None:
        return Word(_absent(cell), "bad" if cell is not None and cell.state in ("failed", "unreadable") else "none")
    outcome = cell.result.accuracy
    target = accuracy_target(cell.spec.accuracy)
    if outcome.met is None:
        return Word(accuracy_text(outcome), "none", "the round states no target")
    if outcome.met:
        return Word(accuracy_text(outcome), "good", f"target {target}: met")
    if cell.spec.accuracy.gate:
        return Word(accuracy_text(outcome), "bad", f"target {target}: missed")
    return Word(accuracy_text(outcome), "expected", f"target {target}: missed; {cell.spec.division} asks for none")


def checked_result(run: Run, cell: Cell) -> CheckedResult | None:
    """Return our check's word on the result that a cell belongs to; None when it is not in the tree."""
    location = run.packaging.location(cell)
    if run.checks is None or location is None:
        return None
    return next((result for result in run.checks.results if result.location == location), None)


def _ours(run: Run, checked: CheckedResult | None) -> Word:
    if run.checks is None:
        return Word("not checked")
    if checked is None:
        return Word("not in the tree", "bad")
    text, tone = _OURS[checked.verdict]
    return Word(text, tone)


def _official_result(run: Run, checked: CheckedResult | None) -> OfficialResult | None:
    if run.checks is None or run.checks.official is None or checked is None:
        return None
    return next((one for one in run.checks.official.results if one.location == checked.location), None)


def _official(run: Run, checked: CheckedResult | None) -> Word | None:
    if run.checks is None or run.checks.official is None:
        return None
    found = _official_result(run, checked)
    if found is None:
        return Word("not seen", "bad" if checked is not None else "none")
    if found.passed is None:
        return Word("crashed", "bad")
    if found.passed:
        return Word("accepts", "good")
    as_planned = checked is not None and checked.verdict == "expected"
    return Word("rejects", "expected" if as_planned else "bad")


def _samples(cell: CellRun | None) -> str:
    if cell is None or cell.result is None or cell.result.accuracy is None:
        return ""
    return plural(cell.result.accuracy.sample_count, "sample")


def _compliance(run: Run, tests: Sequence[CellRun]) -> Word | None:
    """Say in one word how the tests stand: each by its name, the worst deciding about the tone."""
    if not tests:
        return None
    words: list[str] = []
    tone: Tone = "good"
    for cell in tests:
        outcome = run.packaging.outcome(cell.cell)
        if outcome is None:
            words.append(f"{cell.cell.mode} {_WITHOUT_RESULT.get(cell.state, 'not verified')}")
            tone = "none" if tone == "good" else tone
        elif outcome.passed:
            words.append(f"{cell.cell.mode} passed")
        else:
            words.append(f"{cell.cell.mode} failed")
            tone = "bad"
    return Word(", ".join(words), tone)


def _test_notes(run: Run, tests: Sequence[CellRun]) -> Iterator[str]:
    for cell in tests:
        outcome = run.packaging.outcome(cell.cell)
        if outcome is not None:
            yield from (f"{cell.cell.mode}: {one_line(text)}" for text in (outcome.sentence, *outcome.notes) if text)


def _notes(
    found: figures.Metric | None, cells: Iterable[CellRun | None], checked: CheckedResult | None
) -> Iterator[str]:
    if found is not None and found.note:
        yield found.note
    for cell in cells:
        if cell is None:
            continue
        mode = cell.cell.mode
        if cell.result is None and cell.problem:
            yield f"{mode}: {one_line(cell.problem)}"
        elif cell.result is not None and cell.result.verdict != "valid":
            yield from (f"{mode}: {one_line(reason)}" for reason in cell.result.reasons)
        if reason := _loadgen_reason(cell):
            yield f"LoadGen: {reason}"
        if cell.stale:
            yield f"{mode}: of an earlier plan"
        if cell.result is not None and cell.result.simulated:
            yield f"{mode}: simulated"
        if cell.result is not None:
            yield from (f"{mode}: tainted: {one_line(sentence)}" for sentence in cell.result.tainted)
    if checked is not None and checked.inferred and checked.measured_scenario:
        yield f"inferred from {checked.measured_scenario}"


def _loadgen_reason(cell: CellRun) -> str:
    """Return LoadGen's own advice on an INVALID run."""
    outcome = cell.result.loadgen if cell.result is not None else None
    return one_line(str(outcome.fields.get("result_invalid_reason") or "")) if outcome is not None else ""
