"""The page's sections as plain rows: hosts, software, cells. The template only places them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlperf_ops import wording
from mlperf_ops.files import Json, canonical_json
from mlperf_ops.report import figures, repeat
from mlperf_ops.report.evidence import CellRun, Fact, HostFacts, Run
from mlperf_ops.wording import one_line, visible

_FACT_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Machine", ("system_", "product_", "board_", "bios_", "chassis_", "hypervisor", "hostname")),
    ("Processor", ("cpu_", "numa_nodes", "smt", "microcode")),
    ("Memory", ("memory_", "swap_")),
    ("Accelerators", ("accelerator", "gpu_")),
    ("Storage", ("storage_", "disk_", "filesystem")),
    ("Network", ("network_",)),
    ("Software", ("os_", "kernel", "glibc", "python_", "container", "architecture", "boot_id")),
    ("Tuning state", ("transparent_", "numa_balancing", "tuned_", "clock", "turbo", "governor")),
)
_OTHER_FACTS = "Other"
# What a line about a host says first.
_KEY_FACTS = ("cpu_model", "cpu_logical_count", "memory_total_bytes", "os_name", "kernel")
# Of one process only, or shown elsewhere.
_NOT_SOFTWARE = frozenset({"pid", "python_executable", "cpu_seconds", "warmup_runs"})


@dataclass(frozen=True, slots=True)
class FactRow:
    """A fact in words."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class HostSection:
    """A host's facts, grouped."""

    name: str
    system: str
    summary: str
    groups: tuple[tuple[str, tuple[FactRow, ...]], ...]
    unknown: tuple[tuple[str, str], ...]
    problem: str


@dataclass(frozen=True, slots=True)
class SoftwareSection:
    """What really ran for one system and benchmark.

    Attributes:
        common: Settings that are the same in every cell.
        columns: The cells, as column headings.
        differing: Settings that are not, with a value for each column.
    """

    title: str
    common: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    differing: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class CellSection:
    """A cell with everything that is needed to judge and to repeat it."""

    anchor: str
    key: str
    host: str
    state: str
    when: str
    reasons: tuple[str, ...]
    hint: str
    last_lines: str
    playbook: str
    by_hand: str
    facts: tuple[tuple[str, str], ...]
    user_conf: str
    audit_conf: str
    loadgen: tuple[tuple[str, str], ...]
    manifest: tuple[tuple[str, str], ...]


def host_sections(run: Run) -> tuple[HostSection, ...]:
    """Return every host's facts."""
    return tuple(_host(host) for host in run.hosts)


def _host(host: HostFacts) -> HostSection:
    grouped: dict[str, list[FactRow]] = {title: [] for title in (*(title for title, _ in _FACT_GROUPS), _OTHER_FACTS)}
    for fact in host.facts:
        grouped[_fact_group(fact.name)].append(_fact_row(fact, wording.title(fact.name)))
    return HostSection(
        name=one_line(host.name),
        system=one_line(host.system),
        summary=_summary(host),
        groups=tuple((title, tuple(rows)) for title, rows in grouped.items() if rows),
        unknown=tuple((one_line(wording.title(name)), one_line(reason)) for name, reason in host.unknown),
        problem=one_line(host.problem or ""),
    )


def system_sections(run: Run) -> tuple[HostSection, ...]:
    """Return what the submission says of each system, field by field."""
    return tuple(
        HostSection(
            name=one_line(system.name),
            system=one_line(system.name),
            summary=f"{len(system.facts)} fields, {len(system.unknown)} unknown",
            groups=(("", tuple(_fact_row(fact) for fact in system.facts)),),
            unknown=tuple((one_line(name), one_line(reason)) for name, reason in system.unknown),
            problem="",
        )
        for system in run.packaging.systems
    )


def _fact_row(fact: Fact, name: str = "") -> FactRow:
    shown = wording.value(fact.value, fact.name) or "(left empty)"
    return FactRow(one_line(name or fact.name), shown, one_line(fact.origin))


def _fact_group(name: str) -> str:
    return next((title for title, prefixes in _FACT_GROUPS if name.startswith(prefixes)), _OTHER_FACTS)


def _summary(host: HostFacts) -> str:
    found = {name: host.get(name) for name in _KEY_FACTS}
    known = {name: wording.value(value, name) for name, value in found.items() if value is not None}
    if "cpu_logical_count" in known:
        known["cpu_logical_count"] += " logical CPUs"
    if "memory_total_bytes" in known:
        known["memory_total_bytes"] += " memory"
    if "kernel" in known:
        known["kernel"] = f"kernel {known['kernel']}"
    return ", ".join(known.values())


def software_sections(run: Run) -> tuple[SoftwareSection, ...]:
    """Return what really ran, the common part once."""
    grouped: dict[tuple[str, str], list[CellRun]] = {}
    for cell in run.cells:
        if cell.result is not None:
            grouped.setdefault((cell.cell.system, cell.cell.benchmark), []).append(cell)
    return tuple(_software(f"{system}, {benchmark}", cells) for (system, benchmark), cells in grouped.items())


def _software(title: str, cells: Sequence[CellRun]) -> SoftwareSection:
    columns = _merged({f"{cell.cell.scenario} {cell.cell.mode}": dict(_settings(cell)) for cell in cells})
    names = list(dict.fromkeys(name for settings in columns.values() for name in settings))
    common, differing = [], []
    for name in names:
        values = tuple(settings.get(name, "") for settings in columns.values())
        if len(set(values)) == 1:
            common.append((name, values[0]))
        else:
            differing.append((name, values))
    return SoftwareSection(one_line(title), tuple(common), tuple(columns), tuple(differing))


def _merged(columns: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Give a scenario one column where its modes ran alike."""
    by_scenario: dict[str, list[str]] = {}
    for name in columns:
        by_scenario.setdefault(name.partition(" ")[0], []).append(name)
    merged: dict[str, dict[str, str]] = {}
    for scenario, names in by_scenario.items():
        if len(names) > 1 and all(columns[name] == columns[names[0]] for name in names):
            merged[scenario] = columns[names[0]]
        else:
            merged.update((name, columns[name]) for name in names)
    return merged


def _settings(cell: CellRun) -> Iterator[tuple[str, str]]:
    spec, result = cell.spec, cell.result
    if spec is not None:
        if spec.model is not None:
            yield "Model", one_line(spec.model.component)
            yield "Model sha256", one_line(spec.model.sha256)
        yield "Data set", one_line(spec.dataset.component)
        yield "Data set sha256", one_line(spec.dataset.sha256)
        yield "Implementation", one_line(spec.implementation)
        yield "CPU affinity asked for", one_line(spec.cpu_affinity or "none")
        yield "Warm-up asked for", f"{spec.warmup_seconds:g} s"
    if result is not None:
        for name, value in result.effective.items():
            if name not in _NOT_SOFTWARE:
                yield wording.title(one_line(name)), wording.value(value, name)
    if spec is not None:
        for name, version in sorted(spec.packages.items()):
            yield f"Package {one_line(name)}", one_line(str(version))
        for name, value in sorted(spec.env.items()):
            yield f"Environment {one_line(name)}", one_line(value)


def component_rows(run: Run) -> tuple[tuple[str, ...], ...]:
    """Return name, kind, version, sha256 and source of every pinned or given input."""
    held: dict[str, str] = {}
    for cell in run.cells:
        for part in (cell.spec.model, cell.spec.dataset) if cell.spec is not None else ():
            if part is not None and part.sha256:
                held[part.component] = part.sha256
    return tuple(
        tuple(
            one_line(text)
            for text in (
                one.name,
                one.kind,
                one.version,
                one.sha256 or held.get(one.name, "not read yet"),
                one.source + (f" ({one.path})" if one.path else ""),
            )
        )
        for one in run.plan.components
    )


def official_words(run: Run) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what the official checker prints about each result, by the result's folder."""
    official = run.checks.official if run.checks is not None else None
    if official is None:
        return ()
    crashes = tuple((one_line(one.system), (one_line(one.crash),)) for one in official.runs if one.crash)
    return crashes + tuple(
        (
            one_line(one.location),
            tuple(one_line(error).replace(f"{one_line(one.location)}/", "") for error in one.errors),
        )
        for one in official.results
        if one.errors
    )


def cell_sections(run: Run) -> tuple[CellSection, ...]:
    """Return every cell that may run, with its evidence."""
    return tuple(_cell(run, cell) for cell in run.cells if cell.state != "impossible")


def _cell(run: Run, cell: CellRun) -> CellSection:
    result = cell.result
    failure = result.failure if result is not None else None
    reasons = result.reasons if result is not None else (cell.problem or "",)
    tainted = result.tainted if result is not None else ()
    outcome = run.packaging.outcome(cell.cell)
    verified = () if outcome is None else (outcome.sentence, *outcome.notes)
    return CellSection(
        anchor=cell.anchor,
        key=one_line(cell.cell.key),
        host=one_line(cell.host),
        state=cell.state,
        when=_when(cell),
        reasons=tuple(
            one_line(reason) for reason in (*reasons, *(f"tainted: {one}" for one in tainted), *verified) if reason
        ),
        hint=one_line(failure.hint) if failure is not None else "",
        last_lines="\n".join(visible(line) for line in failure.last_lines) if failure is not None else "",
        playbook=visible(repeat.playbook_command(run.plan)),
        by_hand=visible(repeat.host_command(cell) or ""),
        facts=tuple(_identity(cell)),
        user_conf=visible(cell.user_conf) if cell.user_conf is not None else "",
        audit_conf=visible(cell.spec.loadgen.audit_conf) if cell.spec is not None else "",
        loadgen=tuple(_pairs(result.loadgen.fields)) if result is not None and result.loadgen is not None else (),
        manifest=tuple((one_line(name), one_line(digest)) for name, digest in cell.manifest),
    )


def _when(cell: CellRun) -> str:
    span = figures.span(cell.result) if cell.result is not None else None
    return f"{span.start:%Y-%m-%d %H:%M:%S} UTC, {wording.duration(span.seconds)}" if span is not None else ""


def _identity(cell: CellRun) -> Iterator[tuple[str, str]]:
    if cell.result is None:
        return
    yield "Spec sha256", one_line(cell.result.spec_sha256)
    if cell.on_host is not None:
        yield "On the host", one_line(f"{cell.home}/{cell.on_host}")
    if cell.folder is not None:
        yield "In the run folder", one_line(cell.folder)
    yield "Attempts of this spec", str(cell.attempts)
    if cell.result.accuracy is not None:
        yield "Sha256 of the full accuracy log", one_line(cell.result.accuracy.full_log_sha256)
    if cell.result.loadgen is not None:
        yield "LoadGen errors, warnings", f"{len(cell.result.loadgen.errors)}, {cell.result.loadgen.warnings}"
        for error in cell.result.loadgen.errors:
            yield "LoadGen error", one_line(error)
    if cell.planned is not None:
        for note in cell.planned.notes:
            yield "Note of the plan", one_line(note)


def _pairs(found: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Raw figures as LoadGen writes them: a reviewer compares them with the log."""
    for name in sorted(found):
        raw = found[name]
        yield one_line(name), one_line(raw if isinstance(raw, str) else canonical_json(raw))
