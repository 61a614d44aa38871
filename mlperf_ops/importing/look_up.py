"""From a map to its cells: names looked up, folders found, and everything that is wrong told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.errors import ConfigError, ResultError, unknown_name
from mlperf_ops.files import Json
from mlperf_ops.importing.attempt import verify
from mlperf_ops.importing.import_map import ImportedMode, MapFile
from mlperf_ops.importing.mistakes import Mistakes
from mlperf_ops.importing.names import (
    Frame,
    NamedBenchmark,
    benchmark_of,
    frame_of,
    maker_of,
    numbers_of,
    refuse_scenario,
    refuse_tests,
    system_of,
)
from mlperf_ops.importing.tests_beside import Asked, tests_beside
from mlperf_ops.importing.wanted import Wanted
from mlperf_ops.model import Cell, Division
from mlperf_ops.plan_model import Plan, PlannedHost


@dataclass(frozen=True, slots=True)
class Looked:
    """What a map asks for.

    Attributes:
        frame: What its import has in common.
        cells: Its cells, with the compliance tests that lie beside their runs.
        aside: Folders beside the runs that are left aside: name below --from, and why.
    """

    frame: Frame
    cells: list[Wanted]
    aside: list[tuple[str, str]]


def look_up(file: MapFile, catalogue: Catalogue, planned: Plan | None) -> Looked:
    """Return what a map's import has in common, and its cells.

    Args:
        file: The map.
        catalogue: Rounds and benchmarks.
        planned: plan.json of the results folder; None when it has none.

    Raises:
        ConfigError: All mistakes of the map, each with file, line and key; beside them what is wrong in its folders.
    """
    mistakes = Mistakes([one.error for one in file.misfits])
    cells: list[Wanted] = []
    aside: list[tuple[str, str]] = []
    frame = _frame(file, catalogue, planned, mistakes)
    seen: dict[str, int] = {}
    for index, result in enumerate(file.map.results):
        if frame is None:
            _look_at_files(file, index, mistakes)
            continue
        before = len(mistakes.found)
        made = list(_Result(file, index, frame, catalogue, mistakes).cells(seen))
        if len(mistakes.found) > before:
            continue  # what its logs lack may follow from that
        cells += made
        if made and result.compliance:
            found, left = _beside(file, made, frame, seen)
            seen |= dict.fromkeys((one.cell.key for one in found), index)
            cells += found
            aside += left
    if mistakes.found and frame is not None:
        for wanted in cells:
            _look_at_logs(wanted, frame, catalogue, mistakes)
    mistakes.refuse(file.path)
    assert frame is not None  # noqa: S101  # without it there is a mistake
    return Looked(frame, cells, aside)


def _frame(file: MapFile, catalogue: Catalogue, planned: Plan | None, mistakes: Mistakes) -> Frame | None:
    try:
        return frame_of(file, catalogue, planned, mistakes)
    except ConfigError as error:
        mistakes.found.append(error)
        return None


def _look_at_files(file: MapFile, index: int, mistakes: Mistakes) -> None:
    """Tell what is wrong with a result for which no round has to be known."""
    result = file.map.results[index]
    for mode, name in result.folders.items():
        with mistakes.told():
            file.below(name, file.at("results", index, "folders", mode), folder=True)
    with mistakes.told():
        if result.user_conf is not None:
            file.below(result.user_conf, file.at("results", index, "user_conf"))
    with mistakes.told():
        if not file.lost("implementation", index):
            maker_of(file, index)
    systems = [entry.system for entry in file.map.systems]
    with mistakes.told():
        if result.system not in systems:
            raise unknown_name("system", result.system, systems, where=file.at("results", index, "system"))


def _look_at_logs(wanted: Wanted, frame: Frame, catalogue: Catalogue, mistakes: Mistakes) -> None:
    """Tell what is wrong with a folder beside mistakes of the map, so that both are mended at once."""
    try:
        verify(wanted, frame.round, catalogue)
    except ResultError as error:
        mistakes.found.append(ConfigError(error.message, hint=error.hint))


def _beside(
    file: MapFile, made: Sequence[Wanted], frame: Frame, seen: Mapping[str, int]
) -> tuple[list[Wanted], list[tuple[str, str]]]:
    """Return the tests that lie beside the runs of a result, and what is left aside there."""
    like = made[0]
    used = [file.base / name for result in file.map.results for name in result.folders.values()]
    runs = {one.mode: one.folder for one in made}
    asked = Asked(frame.round, like.benchmark.official, like.division, frozenset(runs))
    found: list[Wanted] = []
    left: list[tuple[str, str]] = []
    for one in tests_beside(runs, used, asked):
        inside = one.folder.is_relative_to(file.base)
        name = one.folder.relative_to(file.base).as_posix() if inside else one.folder.name
        if one.test is None:
            left.append((name, one.reason))
            continue
        cell = replace(like.cell, mode=one.test)
        if cell.key in seen:
            left.append((name, f"results[{seen[cell.key]}] of the map names another folder for {one.test}"))
            continue
        where = like.where.rpartition(".")[0]
        found.append(
            replace(like, where=where, cell=cell, mode=one.test, folder=one.folder, folder_name=name, found=True)
        )
    return found, left


@dataclass(slots=True)
class _Result:
    """One result of a map. What depends on a name that is wrong is not looked up: its mistake would be no news."""

    file: MapFile
    index: int
    frame: Frame
    catalogue: Catalogue
    mistakes: Mistakes
    host: PlannedHost | None = None
    benchmark: NamedBenchmark | None = None
    user_conf: Path | None = None
    numbers: dict[str, Json] = field(default_factory=dict)

    def cells(self, seen: dict[str, int]) -> Iterator[Wanted]:
        """Yield the cells, or some of them beside mistakes; `seen` holds the results that gave a cell before."""
        file, index, frame, told = self.file, self.index, self.frame, self.mistakes.told
        result = file.map.results[index]
        division: Division = result.division or frame.division
        maker = None
        with told():
            self.host = system_of(file, index, frame)
        with told():
            self.benchmark = benchmark_of(file, index, frame, self.catalogue, division)
        with told():
            self._refuse_scenario(division)
        with told():
            if result.user_conf is not None:
                self.user_conf = file.below(result.user_conf, file.at("results", index, "user_conf"))
        with told():
            if not file.lost("implementation", index):
                maker = maker_of(file, index)
        with told():
            if not file.lost("measurements", index):
                self.numbers = numbers_of(file, index, frame.round, self.catalogue)
        answers: dict[str, Json] = {"answer_type": result.answer_type, "eos_token_id": result.eos_token_id}
        for mode, name in result.folders.items():
            folder = None
            with told():
                folder = file.below(name, file.at("results", index, "folders", mode), folder=True)
            cell = None
            with told():
                cell = self._cell(mode, seen)
            if None in (folder, cell, maker, self.host, self.benchmark):
                continue
            assert folder is not None  # noqa: S101
            assert cell is not None  # noqa: S101
            assert maker is not None  # noqa: S101
            assert self.host is not None  # noqa: S101
            assert self.benchmark is not None  # noqa: S101
            yield Wanted(
                where=file.at("results", index, "folders", mode),
                cell=cell,
                mode=mode,
                host=self.host.name,
                benchmark=self.benchmark,
                system_type=self.host.system_type,
                division=division,
                folder=folder,
                folder_name=name,
                user_conf=self.user_conf,
                maker=maker,
                numbers=self.numbers,
                calibration=result.calibration,
                answers={key: value for key, value in answers.items() if value is not None},
            )

    def _refuse_scenario(self, division: Division) -> None:
        wrong = self.file.misfit("results", self.index, "scenario")
        if not wrong and self.benchmark is not None and self.host is not None:
            refuse_scenario(self.file, self.index, self.frame, self.benchmark, self.host, division)

    def _cell(self, mode: ImportedMode, seen: dict[str, int]) -> Cell | None:
        result = self.file.map.results[self.index]
        if self.benchmark is None:
            return None
        refuse_tests(self.file, self.index, self.frame, self.benchmark, mode)
        if self.host is None:
            return None
        cell = Cell(self.host.system, self.benchmark.name, result.scenario, mode)
        if self.file.misfit("results", self.index, "scenario"):
            return None
        if cell.key in seen:
            where = self.file.at("results", self.index, "folders", mode)
            raise ConfigError(f"{where}: cell {cell.key} is given twice, first by results[{seen[cell.key]}]")
        seen[cell.key] = self.index
        return cell
