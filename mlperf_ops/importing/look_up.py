"""From a map to its cells: names looked up, folders found, and everything that is wrong told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
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
from mlperf_ops.importing.wanted import Wanted
from mlperf_ops.model import Cell, Division, Plan, PlannedHost


def look_up(file: MapFile, catalogue: Catalogue, planned: Plan | None) -> tuple[Frame, list[Wanted]]:
    """Return what a map's import has in common, and its cells.

    Args:
        file: The map.
        catalogue: Rounds and benchmarks.
        planned: plan.json of the results folder; None when it has none.

    Raises:
        ConfigError: All mistakes of the map, each with file, line and key.
    """
    mistakes = Mistakes([one.error for one in file.misfits])
    cells: list[Wanted] = []
    frame = None
    with mistakes.told():
        frame = frame_of(file, catalogue, planned, mistakes)
        seen: dict[str, int] = {}
        for index in range(len(file.map.results)):
            cells += _Result(file, index, frame, catalogue, mistakes).cells(seen)
    mistakes.refuse(file.path)
    assert frame is not None  # noqa: S101  # without it there is a mistake
    return frame, cells


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
            maker = maker_of(file, index)
        with told():
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
        if self.benchmark is None or self.host is None:
            return None
        refuse_tests(self.file, self.index, self.frame, self.benchmark, mode)
        cell = Cell(self.host.system, self.benchmark.name, result.scenario, mode)
        if self.file.misfit("results", self.index, "scenario"):
            return None
        if cell.key in seen:
            where = self.file.at("results", self.index, "folders", mode)
            raise ConfigError(f"{where}: cell {cell.key} is given twice, first by results[{seen[cell.key]}]")
        seen[cell.key] = self.index
        return cell
