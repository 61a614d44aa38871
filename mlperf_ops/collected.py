"""Read what was collected from the hosts of a run: results/<run_id>/hosts/<host>/. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlperf_ops.errors import ResultError
from mlperf_ops.files import read_json
from mlperf_ops.model import Result, Spec
from mlperf_ops.plan_model import CollectedCell, CollectedHost
from mlperf_ops.power.rejected import rejected
from mlperf_ops.typed import load


@dataclass(frozen=True, slots=True)
class Earlier:
    """An attempt that was collected: its line in cells.json, its folder, spec and result."""

    host: str
    cell: CollectedCell
    folder: Path
    spec: Spec
    result: Result
    power_rejected: tuple[str, ...] = ()  # why the power of a valid attempt has to be measured again


@dataclass(frozen=True, slots=True)
class Collection:
    """All attempts that can be read, and a sentence for each that cannot."""

    earlier: tuple[Earlier, ...]
    problems: tuple[str, ...]


def read_collection(run: Path) -> Collection:
    """Read all collected attempts of a results folder, by host and in the order of cells.json."""
    found: list[Earlier] = []
    problems: list[str] = []
    for path in sorted(run.glob("hosts/*/cells.json")):
        try:
            cells = load(CollectedHost, read_json(path), str(path)).cells
        except ResultError as error:
            problems.append(str(error))
            continue
        power = rejected(path.parent)
        for cell in cells:
            one = _read(path.parent, cell, tuple(power.get(cell.path, ())))
            if isinstance(one, Earlier):
                found.append(one)
            else:
                problems.append(one)
    return Collection(tuple(found), tuple(problems))


def _read(host: Path, cell: CollectedCell, power_rejected: tuple[str, ...]) -> Earlier | str:
    relative = PurePosixPath(cell.path)
    if relative.is_absolute() or ".." in relative.parts:
        return f"{host / 'cells.json'}: cell {cell.key}: '{cell.path}' is not a folder below {host}"
    folder = host / relative
    try:
        spec = load(Spec, read_json(folder / "spec.json"), str(folder / "spec.json"))
        result = load(Result, read_json(folder / "result.json"), str(folder / "result.json"))
    except ResultError as error:
        return str(error)
    return Earlier(host.name, cell, folder, spec, result, power_rejected)
