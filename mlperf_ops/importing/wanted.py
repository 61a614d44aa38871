"""The cells that a map asks for, with their names looked up and their folders found; and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.compliance.audit import problem_of
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.importing.attempt import Wanted
from mlperf_ops.importing.import_map import MapFile
from mlperf_ops.importing.names import (
    Frame,
    Gathered,
    NamedBenchmark,
    benchmark_of,
    maker_of,
    numbers_of,
    refuse_scenario,
    system_of,
)
from mlperf_ops.importing.tests_beside import Asked, is_test, tests_beside
from mlperf_ops.model import COMPLIANCE_TESTS, Cell, Mode

State: TypeAlias = Literal["imported", "there already", "refused", "ignored"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one cell of a map, or of a folder beside the runs that is none.

    Attributes:
        key: The cell; of what was ignored, the folder below --from.
        host: Where it is filed.
        state: `refused`: nothing was written of it; `ignored`: nobody asked for it.
        verdict: LoadGen's and the target's word on it; "" when it was refused.
        result: Its number with the unit; "" where it has none.
        test: Of a compliance test, whether it is passed; "" where only aggregation can tell.
        found: The map does not name its folder; it was found by its official name.
        reason: Why it is refused, ignored, not valid or not passed.
        path: Its folder below the results folder; "" when it was refused.
    """

    key: str
    host: str
    state: State
    verdict: str
    result: str
    test: str
    found: bool
    reason: str
    path: str


def wanted_cells(
    file: MapFile, frame: Frame | None, catalogue: Catalogue, told: Gathered
) -> tuple[list[Wanted], list[Imported]]:
    """Return the cells of a map that nothing is wrong with, and the folders beside their runs that are left aside.

    Args:
        file: The map.
        frame: What it has in common; None: the round is not known, so only what needs none is looked up.
        catalogue: Rounds and benchmarks.
        told: Gets every mistake, with file, line and key.
    """
    cells: list[Wanted] = []
    aside: list[Imported] = []
    seen: dict[str, int] = {}
    for index in range(len(file.map.results)):
        made = list(_of_result(file, index, frame, catalogue, told))
        for wanted in made:
            if wanted.cell.key in seen:
                first = file.at("results", seen[wanted.cell.key]).rpartition(" ")[2]
                told.problems.append(
                    ConfigError(f"{wanted.where}: cell {wanted.cell.key} is given twice, first by {first}")
                )
            seen.setdefault(wanted.cell.key, index)
        cells += made
        if made and frame is not None and file.map.results[index].compliance:
            found, left = _beside(file, index, made[0], frame)
            seen |= {one.cell.key: index for one in found}
            cells += found
            aside += left
    return cells, aside


def _of_result(
    file: MapFile, index: int, frame: Frame | None, catalogue: Catalogue, told: Gathered
) -> Iterator[Wanted]:
    """Yield the cells that a result names; every look-up is made, so that every mistake is told."""
    result = file.map.results[index]
    host = told.of(lambda: system_of(file, index, frame))
    maker = told.of(lambda: maker_of(file, index))
    folders = {
        mode: folder
        for mode, name in result.folders.items()
        if (folder := told.of(lambda: file.below(name, file.at("results", index, "folders", mode), folder=True)))  # noqa: B023  # called at once
    }
    user_conf = None
    if result.user_conf is not None:
        at = file.at("results", index, "user_conf")
        user_conf = told.of(lambda: file.below(str(result.user_conf), at))
    if frame is None:
        return
    division = result.division or frame.division
    benchmark = told.of(lambda: benchmark_of(file, index, frame, catalogue, division))
    numbers = told.of(lambda: numbers_of(file, index, frame.round, catalogue))
    if benchmark is None or host is None:
        return
    before = len(told.problems)
    told.of(lambda: refuse_scenario(file, index, frame, benchmark, host, division))
    for mode, folder in folders.items():
        told.of(lambda: _refuse_test(file, index, frame, benchmark, mode))  # noqa: B023  # called at once
        if maker is None or numbers is None or len(told.problems) > before:
            continue
        yield Wanted(
            where=file.at("results", index, "folders", mode),
            cell=Cell(host.system, benchmark.name, result.scenario, mode),
            host=host.name,
            benchmark=benchmark,
            system_type=host.system_type,
            division=division,
            folder=folder,
            folder_name=result.folders[mode],
            user_conf=None if is_test(mode) else user_conf,
            maker=maker,
            numbers=numbers,
            calibration=result.calibration,
            options=_options(file, index) if is_test(mode) else {},
            runs={one: path for one, path in folders.items() if not is_test(one)},
        )


def _refuse_test(file: MapFile, index: int, frame: Frame, benchmark: NamedBenchmark, mode: Mode) -> None:
    for test in COMPLIANCE_TESTS:
        if test == mode and (problem := problem_of(frame.round, test, benchmark.official)) is not None:
            raise ConfigError(f"{file.at('results', index, 'folders', mode)}: {problem}")


def _options(file: MapFile, index: int) -> dict[str, Json]:
    result = file.map.results[index]
    return {"answer_type": result.answer_type, "eos_token_id": result.eos_token_id}


def _beside(file: MapFile, index: int, like: Wanted, frame: Frame) -> tuple[list[Wanted], list[Imported]]:
    """Return the tests that lie beside the runs of a result, and what is left aside there."""
    used = [file.base / name for result in file.map.results for name in result.folders.values()]
    declared = frozenset(file.map.results[index].folders)
    asked = Asked(frame.round, like.benchmark.official, like.division, declared)
    found: list[Wanted] = []
    left: list[Imported] = []
    for one in tests_beside(like.runs, used, asked):
        name = _name(one.folder, file.base)
        if one.test is None:
            left.append(Imported(name, "", "ignored", "", "", "", found=True, reason=one.reason, path=""))
            continue
        cell = Cell(like.cell.system, like.cell.benchmark, like.cell.scenario, one.test)
        more: Mapping[str, Json] = _options(file, index)
        found.append(
            replace(
                like,
                where=file.at("results", index, "folders"),
                cell=cell,
                folder=one.folder,
                folder_name=name,
                user_conf=None,
                options=more,
                found=True,
            )
        )
    return found, left


def _name(folder: Path, base: Path) -> str:
    return folder.relative_to(base).as_posix() if folder.is_relative_to(base) else folder.name
