"""Read a run folder into plain data: the plan, its cells with their raw results, host facts and the check.

A broken result must not hide the others: it becomes a cell whose `problem` says what is wrong. Only a run without a
readable plan is an error. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from mlperf_ops.campaign.obstacles import obstacles
from mlperf_ops.catalogue import Catalogue
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.model import Cell, Result, Spec
from mlperf_ops.plan_model import CollectedCell, CollectedHost, Plan
from mlperf_ops.report.evidence import CellRun, Fact, HostFacts, Packaging, Run
from mlperf_ops.run_plan import (
    CHECKS,
    EARLIER_CHECKS,
    IMPORTS,
    PLAN,
    REPORT,
    TREE,
    plan_file,
    read_plan,
    round_of,
)
from mlperf_ops.selection import ComplianceOutcome
from mlperf_ops.typed import load

T = TypeVar("T")

AGGREGATE, SYSTEM_ORIGINS = "aggregate.json", "system_origins.json"


def read_run(folder: Path, catalogue: Catalogue) -> Run:
    """Read results/<run_id>.

    Raises:
        ResultError: There is no readable plan.json.
        ConfigError: The catalogue does not know the plan's round.
    """
    if not (folder / PLAN).is_file() and not (folder / IMPORTS).is_file():
        raise ResultError(
            f"{folder} is not a run folder: it has no {PLAN}", hint="give the folder results/<run_id> of a run"
        )
    plan = read_plan(folder)
    checks, problem = _checks(folder)
    return Run(
        folder=folder,
        plan=plan,
        round=round_of(folder, plan, catalogue),
        cells=tuple(_cells(folder, plan)),
        hosts=tuple(_facts(folder, host.name, host.system) for host in plan.hosts),
        packaging=_packaging(folder),
        checks=checks,
        checks_problem=problem,
        has_tree=(folder / TREE).is_dir(),
        plan_file=plan_file(folder).name,
    )


def _checks(folder: Path) -> tuple[CheckReport | None, str | None]:
    path = folder / REPORT / CHECKS
    if not path.is_file():
        if not (folder / TREE).is_dir():
            return None, "there is no submission tree yet"
        if path.with_name(EARLIER_CHECKS).is_file():
            return None, "the submission tree was changed after it was checked"
        return None, "the submission tree was not checked yet"
    try:
        return load(CheckReport, read_json(path), str(path)), None
    except ResultError as error:
        return None, str(error)


def _packaging(folder: Path) -> Packaging:
    summary = _object(folder / REPORT / AGGREGATE)
    origins = _object(folder / REPORT / SYSTEM_ORIGINS)
    systems = origins.get("systems")
    return Packaging(
        locations=tuple(_texts(summary.get("written"), "key", "path")),
        counting=tuple(_counting(summary.get("written"))),
        also=tuple(pair for pair in _texts(summary.get("written"), "stands_for", "key") if pair[0] != "None"),
        refused=tuple(_texts(summary.get("refused"), "key", "reason")),
        tests=tuple(_tests(summary.get("tests"))),
        systems=tuple(
            _host_facts(system, system, one.get("fields"), one.get("unknown"))
            for system, one in (systems if isinstance(systems, dict) else {}).items()
            if isinstance(one, dict)
        ),
    )


def _object(path: Path) -> JsonObject:
    """Read a file that only adds to the report: none, or a broken one, adds nothing."""
    try:
        return read_json(path)
    except ResultError:
        return {}


def _texts(found: Json, *names: str) -> Iterator[tuple[str, str]]:
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            first, second = (str(one.get(name, "")) for name in names)
            yield first, second


def _tests(found: Json) -> Iterator[tuple[str, ComplianceOutcome]]:
    for one in found if isinstance(found, list) else ():
        try:
            outcome = load(ComplianceOutcome, one, AGGREGATE)
        except ResultError:
            continue  # as in `_object`: what is broken adds nothing
        yield outcome.key, outcome


def _counting(written: Json) -> Iterator[tuple[str, str]]:
    """Yield the scenarios of the tree with each host whose runs fill them."""
    for one in written if isinstance(written, list) else ():
        hosts = one.get("hosts") if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(hosts, list):
            yield from ((str(one.get("key", "")), str(host)) for host in hosts)


def _cells(folder: Path, plan: Plan) -> Iterator[CellRun]:
    homes = {host.name: host.home for host in plan.hosts}
    collected: dict[tuple[str, str], list[CollectedCell]] = {}
    problems = obstacles(folder)
    for name in homes:
        answer = _collected(folder, name)
        if isinstance(answer, str):
            problems.setdefault(name, answer)
            continue
        for one in answer:
            collected.setdefault((name, one.key), []).append(one)
    for planned in plan.cells:
        base = CellRun(
            cell=planned.cell,
            host=planned.host,
            home=homes.get(planned.host, ""),
            official_benchmark=planned.official_benchmark,
            planned=planned,
            state="missing",
            problem=problems.get(planned.host, "no result was collected from the host"),
        )
        found = collected.pop((planned.host, planned.cell.key), None)
        if found is not None:
            yield _with_result(folder, plan, base, _choose(found, planned.request_sha256))
        elif planned.status == "impossible":
            yield replace(base, state="impossible", problem=planned.reason)
        else:
            yield base
    for (host, key), found in collected.items():
        cell = _cell_of(key)
        if cell is not None:
            base = CellRun(cell, host, homes[host], cell.benchmark, planned=None, state="missing")
            yield _with_result(folder, plan, base, found[-1])


def _choose(found: Sequence[CollectedCell], request_sha256: str | None) -> CollectedCell:
    """Of several results of one cell take the one that answers this plan's request."""
    return next((one for one in found if one.request_sha256 == request_sha256), found[-1])


def _collected(folder: Path, host: str) -> tuple[CollectedCell, ...] | str:
    """Return a host's results, or why there are none."""
    path = folder / "hosts" / host / "cells.json"
    if not path.is_file():
        return "nothing was collected from the host"
    try:
        return load(CollectedHost, read_json(path), str(path)).cells
    except ResultError as error:
        return str(error)


def _cell_of(key: str) -> Cell | None:
    parts = key.split("/")
    if len(parts) != len(fields(Cell)):
        return None
    names = [field.name for field in fields(Cell)]
    try:
        return load(Cell, dict(zip(names, parts, strict=True)), key)
    except ResultError:
        return None


def _with_result(folder: Path, plan: Plan, base: CellRun, found: CollectedCell) -> CellRun:
    """Add what the attempt's files say; a file that cannot be read makes the cell unreadable, not the report."""
    inside = Path("hosts", base.host, found.path)
    if inside.is_absolute() or ".." in inside.parts:
        return replace(base, state="unreadable", problem=f"cells.json names a path outside the run: {found.path}")
    if inside.name != found.attempt:
        inside /= found.attempt
    attempt = folder / inside
    wanted = None if base.planned is None else base.planned.request_sha256
    known = replace(
        base,
        folder=inside.as_posix(),
        on_host=f"runs/{plan.run_id}/{base.cell.key}/{found.spec_sha256[:12]}/{found.attempt}",
        stale=wanted is not None and wanted != found.request_sha256,
        user_conf=_text(attempt / "user.conf"),
        attempts=sum(1 for _ in attempt.parent.glob("attempt_*")),
        problem=None,
    )
    try:
        result = _read(Result, attempt / "result.json")
        spec = _read(Spec, attempt / "spec.json")
        manifest = _manifest(attempt / "manifest.json")
    except ResultError as error:
        return replace(known, state="unreadable", problem=str(error))
    return replace(
        known,
        state=result.verdict,
        result=result,
        spec=spec,
        manifest=manifest,
        official_benchmark=spec.official_benchmark,
    )


def _read(cls: type[T], path: Path) -> T:
    return load(cls, read_json(path), str(path))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _manifest(path: Path) -> tuple[tuple[str, str], ...]:
    files = read_json(path).get("files")
    if not isinstance(files, dict):
        raise ResultError(f"{path}: key 'files' is not an object")
    return tuple(sorted((name, str(digest)) for name, digest in files.items()))


def _facts(folder: Path, host: str, system: str) -> HostFacts:
    path = folder / "hosts" / host / "facts.json"
    if not path.is_file():
        return HostFacts(host, system, (), (), problem="no facts were collected from this host")
    try:
        data = read_json(path)
    except ResultError as error:
        return HostFacts(host, system, (), (), problem=str(error))
    return _host_facts(host, system, data.get("values"), data.get("unknown"))


def _host_facts(host: str, system: str, values: Json, unknown: Json) -> HostFacts:
    missing = tuple((name, str(reason)) for name, reason in (unknown if isinstance(unknown, dict) else {}).items())
    names = {name for name, _ in missing}
    return HostFacts(
        host,
        system,
        tuple(
            _fact(name, entry)
            for name, entry in (values if isinstance(values, dict) else {}).items()
            if name not in names
        ),
        missing,
    )


def _fact(name: str, entry: Json) -> Fact:
    if isinstance(entry, dict) and "value" in entry:
        return Fact(name, entry["value"], str(entry.get("origin", "not stated")))
    return Fact(name, entry, "not stated")
