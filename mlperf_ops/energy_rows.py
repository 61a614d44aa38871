"""The unofficial energy of a run's cells, read from what the hosts left beside the results. Only reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.collected import read_collection
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.harness.energy.model import ENERGY
from mlperf_ops.model import Result, Verdict
from mlperf_ops.typed import load


@dataclass(frozen=True, slots=True)
class EnergyRow:
    """What one source says of one cell.

    Attributes:
        key: Of the cell.
        host: Where it ran; "" where only the attempt's folder is known.
        source: Name of the source.
        kind: Of the source.
        average_watts: In LoadGen's window; None where it cannot be told.
        joules: The same.
        joules_per_query: The same; also None where LoadGen states no number of queries.
        duration_seconds: Of the window.
        problem: Why a value is missing, or what failed meanwhile.
        file: The readings.
        attempt: Whose they are.
        verdict: Of the attempt: the energy of one that is not valid is that of no result.
        tainted: Its host drifted meanwhile.
    """

    key: str
    host: str
    source: str
    kind: str
    average_watts: float | None
    joules: float | None
    joules_per_query: float | None
    duration_seconds: float | None
    problem: str | None
    file: str
    attempt: str
    verdict: Verdict
    tainted: bool

    @property
    def remark(self) -> str:
        """What one should know before the numbers are used; "" for nothing."""
        bad = "" if self.verdict == "valid" else f"{self.attempt} is {self.verdict.upper()}"
        drifted = f"{self.attempt} is tainted" if self.tainted else ""
        return "; ".join(text for text in (bad, drifted, self.problem) if text)


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """The rows of all cells that have any, and a sentence for each file that cannot be read."""

    rows: tuple[EnergyRow, ...]
    problems: tuple[str, ...]


def energy_table(folder: Path) -> EnergyTable:
    """Read a run's results folder, or the folder of one attempt.

    Raises:
        ResultError: The folder is neither.
    """
    if (folder / ENERGY).is_file():
        result = load(Result, read_json(folder / "result.json"), str(folder / "result.json"))
        return EnergyTable(rows_of(folder, result, "", result.verdict), ())
    if not (folder / "hosts").is_dir():
        raise ResultError(
            f"{folder} is no results folder with collected cells, and no attempt with {ENERGY}",
            hint="give results/<run id>, or the folder of an attempt",
        )
    collection = read_collection(folder)
    rows: list[EnergyRow] = []
    problems = list(collection.problems)
    for one in collection.earlier:
        if (one.folder / ENERGY).is_file():
            try:
                verdict = "invalid" if one.power_rejected else one.result.verdict
                rows += rows_of(one.folder, one.result, one.host, verdict)
            except ResultError as error:
                problems.append(str(error))
    return EnergyTable(tuple(rows), tuple(problems))


def rows_of(attempt: Path, result: Result, host: str, verdict: Verdict) -> tuple[EnergyRow, ...]:
    """Return what each source says of one attempt that has unofficial energy.

    Args:
        attempt: Its folder.
        result: Of it.
        host: Where it ran; "" where that is not known.
        verdict: That counts: the result's, or what the judge of its power measurement made of it.

    Raises:
        ResultError: The file cannot be read.
    """
    return tuple(_rows(attempt, result, host, verdict))


def _rows(attempt: Path, result: Result, host: str, verdict: Verdict) -> Iterator[EnergyRow]:
    found = read_json(attempt / ENERGY)
    sources, window = found.get("sources"), found.get("window")
    if not isinstance(sources, list) or not isinstance(window, dict):
        raise ResultError(f"{attempt / ENERGY}: expected the keys 'sources' with a list and 'window' with an object")
    for source in sources:
        if not isinstance(source, dict):
            raise ResultError(f"{attempt / ENERGY}: sources: expected objects")
        yield EnergyRow(
            key=result.cell.key,
            host=host,
            source=_text(source, "name"),
            kind=_text(source, "kind"),
            average_watts=_number(source.get("average_watts")),
            joules=_number(source.get("joules")),
            joules_per_query=_number(source.get("joules_per_query")),
            duration_seconds=_number(window.get("duration_seconds")),
            problem=_text(source, "problem") or None,
            file=str(attempt / Path(_text(source, "file")).name),
            attempt=attempt.name,
            verdict=verdict,
            tainted=bool(result.tainted),
        )


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(source: JsonObject, key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""
