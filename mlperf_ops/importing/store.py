"""Write verified attempts into a results folder: append-only, and a second import of the same logs changes nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mlperf_ops.attempts import MANIFEST, RESULT, SPEC, collected
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import ResultError, ToolError
from mlperf_ops.files import JsonObject, pretty_json, read_json, sha256_file, sha256_text, write_json
from mlperf_ops.importing.attempt import Verified, verify
from mlperf_ops.importing.compliance import other_runs, prove
from mlperf_ops.importing.import_map import MapFile
from mlperf_ops.importing.look_up import look_up
from mlperf_ops.importing.names import Frame
from mlperf_ops.importing.wanted import Wanted
from mlperf_ops.merits import merit
from mlperf_ops.model import Mode
from mlperf_ops.plan_model import CollectedCell, CollectedHost, Plan, PlannedCell
from mlperf_ops.run_plan import IMPORTS, PLAN, read_part
from mlperf_ops.typed import dump

State: TypeAlias = Literal["imported", "there already", "refused", "ignored"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one cell of a map.

    Attributes:
        key: The cell.
        host: Where it is filed.
        state: `refused`: nothing was written of it; `ignored`: a folder that nobody asked for, `key` is its name.
        verdict: LoadGen's and the target's word on it; "" when it was refused.
        reason: Why it is refused or not valid.
        path: Its folder below the results folder; "" when it was refused.
        result: Its number with the unit; "" where it has none.
        found: The map does not name its folder; it was found by its official name.
    """

    key: str
    host: str
    state: State
    verdict: str
    reason: str
    path: str
    result: str = ""
    found: bool = False


def import_all(file: MapFile, run: Path, catalogue: Catalogue, *, dry_run: bool = False) -> list[Imported]:
    """Import every result of a map that can be; one that cannot does not stop the others.

    Args:
        file: The map.
        run: The results folder; made when it is not there.
        catalogue: Rounds and benchmarks.
        dry_run: Write nothing; only say what would be imported.

    Raises:
        ConfigError: Mistakes in the map, all of them; nothing was written.
        ResultError: plan.json or imported.json of the folder cannot be used.
        ToolError: The folder cannot be written.
    """
    looked = look_up(file, catalogue, read_part(run / PLAN))
    frame, wanted_all = looked.frame, looked.cells
    told: list[Imported] = []
    good: list[tuple[Wanted, Verified, Path]] = []
    seen: dict[tuple[str, str], dict[Mode, Path | str]] = {}
    for wanted in sorted(wanted_all, key=lambda one: one.test is not None):  # tests are compared with the other runs
        try:
            verified = verify(wanted, frame.round, catalogue)
            failed = _failed_test(wanted, verified, other_runs(wanted, run, seen), frame.round)
            folder = _folder_of(run, wanted, verified)
            there = _same_attempt(folder, verified)
        except ResultError as error:
            seen.setdefault(wanted.place, {})[wanted.mode] = "that is refused"
            told.append(Imported(wanted.cell.key, wanted.host, "refused", "", str(error), "", found=wanted.found))
            continue
        seen.setdefault(wanted.place, {})[wanted.mode] = wanted.folder
        attempt = there or _next(folder) if dry_run else there or _write(folder, verified)
        good.append((wanted, verified, attempt))
        told.append(
            Imported(
                wanted.cell.key,
                wanted.host,
                "there already" if there is not None else "imported",
                "failed test" if failed else verified.result.verdict,
                "; ".join((*failed, *verified.result.reasons)),
                attempt.relative_to(run).as_posix(),
                result=_number(wanted, verified, frame.round),
                found=wanted.found,
            )
        )
    order = {(one.host, one.cell.key): index for index, one in enumerate(wanted_all)}
    told.sort(key=lambda one: order[one.host, one.key])
    if good and not dry_run:
        _write_plan(run, frame, good)
        _write_cells(run, frame, good)
    return told + [Imported(name, "", "ignored", "", reason, "", found=True) for name, reason in looked.aside]


def _number(wanted: Wanted, verified: Verified, round_: Round) -> str:
    """Return the number of a run with its unit."""
    accuracy, loadgen = verified.result.accuracy, verified.result.loadgen
    if accuracy is not None:
        return f"{accuracy.metric} {accuracy.value:.6g}"
    found = None if loadgen is None else merit(loadgen.fields, verified.spec, round_, wanted.cell.scenario)
    return "" if found is None else found.text


def _failed_test(
    wanted: Wanted, verified: Verified, others: Mapping[Mode, Path | str], round_: Round
) -> tuple[str, ...]:
    """Return why a test is not passed; empty where it is, and for other runs."""
    if wanted.test is None:
        return ()
    found = prove(wanted, verified, others, round_)
    return () if found.passed else (found.sentence,)


def _folder_of(run: Path, wanted: Wanted, verified: Verified) -> Path:
    cell = wanted.cell
    return run / "hosts" / wanted.host / cell.benchmark / cell.scenario / cell.mode / verified.spec.sha256[:12]


def _same_attempt(folder: Path, verified: Verified) -> Path | None:
    """Return the attempt that holds these very files."""
    digests = _digests(verified)
    for attempt in sorted(folder.glob("attempt_*")):
        if (attempt / RESULT).is_file() and read_json(attempt / MANIFEST).get("files") == digests:
            return attempt
    return None


def _digests(verified: Verified) -> JsonObject:
    try:
        found = {
            name: sha256_text(content) if isinstance(content, str) else sha256_file(content)
            for name, content in verified.files.items()
        }
    except OSError as error:
        raise ResultError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return {**found, SPEC: sha256_text(_spec_text(verified))}


def _fill(folder: Path, verified: Verified) -> None:
    for name, content in verified.files.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if isinstance(content, str):
            target.write_text(content)
        else:
            shutil.copyfile(content, target)
    (folder / SPEC).write_text(_spec_text(verified))


def _spec_text(verified: Verified) -> str:
    return pretty_json(dump(verified.spec))


def _next(folder: Path) -> Path:
    numbers = [int(path.name.partition("_")[2]) for path in folder.glob("attempt_*")]
    return folder / f"attempt_{max(numbers, default=0) + 1}"


def _write(folder: Path, verified: Verified) -> Path:
    """Write an attempt whole: under another name first, result.json last."""
    target = _next(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import.") as scratch:
            made = Path(scratch) / target.name
            made.mkdir()
            _fill(made, verified)
            copied = sorted(path for path in made.rglob("*") if path.is_file())
            digests = {path.relative_to(made).as_posix(): sha256_file(path) for path in copied}
            write_json(made / MANIFEST, {"schema": 1, "files": dict(digests)})
            write_json(made / RESULT, dump(verified.result))
            made.rename(target)
    except OSError as error:
        raise ToolError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _write_plan(run: Path, frame: Frame, good: Iterable[tuple[Wanted, Verified, Path]]) -> None:
    """Add the hosts and cells to imported.json; what another map has put there stays."""
    held = read_part(run / IMPORTS)
    cells = {} if held is None else {(one.host, one.cell.key): one for one in held.cells}
    used = set()
    for wanted, verified, _ in good:
        used.add(wanted.host)
        cells[wanted.host, wanted.cell.key] = PlannedCell(
            cell=wanted.cell,
            host=wanted.host,
            official_benchmark=wanted.benchmark.official,
            status="planned",
            reason=None,
            notes=(f"imported: {wanted.maker.made_by}",),
            expected=None,
            request=verified.request,
            division=wanted.division,
        )
    hosts = {} if held is None else {host.name: host for host in held.hosts}
    hosts |= {host.name: host for host in frame.hosts.values() if host is not None and host.name in used}
    fresh = Plan(
        round=frame.round.name,
        division=frame.division,
        submitter=frame.submitter,
        run_id=run.resolve().name,
        run_style="valid",
        inventory="imported",
        hosts=tuple(hosts[name] for name in sorted(hosts)),
        cells=tuple(cells[key] for key in sorted(cells)),
        components=(),
        limits=(),
        on_conflict=frame.on_conflict,
    )
    if held is not None and (held.round, held.submitter) != (fresh.round, fresh.submitter):
        raise ResultError(
            f"{run / IMPORTS} holds results of round {held.round}, submitter {held.submitter}; the map says "
            f"{fresh.round} and {fresh.submitter}",
            hint="one results folder is one submission; import into another folder",
        )
    write_json(run / IMPORTS, dump(fresh))


def _write_cells(run: Path, frame: Frame, good: Iterable[tuple[Wanted, Verified, Path]]) -> None:
    """Write which attempt stands for each cell of each host, as the collecting does for our own."""
    new: dict[str, dict[str, CollectedCell]] = {}
    for wanted, verified, attempt in good:
        new.setdefault(wanted.host, {})[wanted.cell.key] = CollectedCell(
            key=wanted.cell.key,
            spec_sha256=verified.result.spec_sha256,
            request_sha256=verified.result.request_sha256,
            attempt=attempt.name,
            path=attempt.relative_to(run / "hosts" / wanted.host).as_posix(),
            verdict=verified.result.verdict,
            simulated=verified.result.simulated,
        )
    systems = {wanted.host: wanted.cell.system for wanted, _, _ in good}
    for host, cells in new.items():
        held = collected(run, host)
        before: Mapping[str, CollectedCell] = (
            {one.key: one for one in held.cells} if isinstance(held, CollectedHost) else {}
        )
        merged = {**before, **cells}
        made = CollectedHost(host, systems[host], tuple(merged[key] for key in sorted(merged)))
        write_json(run / "hosts" / host / "cells.json", dump(made))
        if host in frame.tells:
            write_json(run / "hosts" / host / "facts.json", {"values": {}, "unknown": {}})
