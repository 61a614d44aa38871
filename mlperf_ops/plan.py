"""From inventory and catalogue to the plan: what will run where, and why each other thing will not. Pure.

Equal inventories and catalogues give equal plans, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from mlperf_ops.adjusting import AdjustedTargets, in_use, sentence
from mlperf_ops.catalogue import Catalogue, Round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.files import Json, JsonObject, canonical_json
from mlperf_ops.filings import filings
from mlperf_ops.lab import Lab, LabHost, load_lab
from mlperf_ops.lab_problems import Locate
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.model import Cell, Division, Scenario
from mlperf_ops.only import check_patterns, patterns_of
from mlperf_ops.plan_compliance import missing_tests, modes
from mlperf_ops.plan_inputs import ImpossibleError, Input, check_overrides, dataset_input, model_input, named
from mlperf_ops.plan_limits import limits, smoke_limits
from mlperf_ops.plan_model import Component, Filing, Plan, PlannedCell, PlannedHost, Seconds
from mlperf_ops.plan_prior import around, prior_seconds
from mlperf_ops.plan_remarks import no_cells, remarks
from mlperf_ops.plan_request import Made, make_request
from mlperf_ops.plan_scenarios import benchmark_problem, scenario_problem, scenarios
from mlperf_ops.plan_shared import check_owners, held_by, owners, with_order
from mlperf_ops.plan_taken import TakenCells
from mlperf_ops.plan_time import Assumed, expected_seconds, with_ranging
from mlperf_ops.plan_wanted import Wanted, check_targets, tuning_of, wanted_of
from mlperf_ops.power.inventory import PowerLab, to_plan
from mlperf_ops.power.judge import DIRECTORS, power_of, power_remarks
from mlperf_ops.system_plan import check_typed, nodes_problem, with_system_notes
from mlperf_ops.tuning import resolve
from mlperf_ops.typed import dump


def make_plan(
    hosts_vars: Mapping[str, Mapping[str, Json]],
    catalogue: Catalogue,
    inventory: str,
    locate: Locate,
    *,
    default_run_id: str | None = None,
    adjusted: Mapping[str, AdjustedTargets] = MappingProxyType({}),
    groups: Mapping[str, Sequence[str]] | None = None,
    today: date | None = None,
) -> tuple[Plan, tuple[str, ...]]:
    """Plan a lab, and say what the user should know of the plan as a whole.

    Args:
        hosts_vars: host -> `mlperf_*` variable -> value, for the hosts of group `sut`, as Ansible resolved them.
        catalogue: Rounds, benchmarks, implementations and components.
        inventory: The inventory as the user wrote it.
        locate: Finds file and line of a value in the inventory.
        default_run_id: Used where the inventory sets no mlperf_run_id; default: the last part of `inventory`.
        adjusted: host -> the targets that its earlier runs have adjusted, used where the inventory allows it.
        groups: Group of the inventory -> its hosts; None: unknown, and names of other hosts are not compared.
        today: For what grows old, such as calibrations; the plan itself does not depend on it.

    Raises:
        ConfigError: A mistake in the inventory, with file, line, key and the nearest valid name; a cell that two hosts
            would run; or nothing that can run at all.
    """
    lab = load_lab(hosts_vars, inventory, locate, default_run_id=default_run_id)
    round_ = named(lab.hosts[0].place.at(f"{PREFIX}round"), catalogue.round, lab.round)
    power = power_of(lab, round_.power, None if groups is None else groups.get(DIRECTORS, ()))
    check_owners(lab.hosts, None if groups is None else groups.get("all"))
    planner = _Planner(lab, round_, catalogue, adjusted, power)
    for host in lab.hosts:
        planner.add_host(host)
    made = planner.plan()
    told = (*planner.without_cells, *remarks(made, catalogue), *power_remarks(power, round_.power, today))
    return made, (*told, *_adjusted(made, adjusted))


def _adjusted(plan: Plan, adjusted: Mapping[str, AdjustedTargets]) -> Iterator[str]:
    for host, used in in_use(plan, adjusted).items():
        for one in used:
            yield f"{host}: {one.last.benchmark} {one.last.scenario}: {sentence(one)}"


def refuse_other_round(plan: Plan, existing: JsonObject, where: str) -> None:
    """Refuse to plan into a results folder of another round, whose results must not be mixed with this one's.

    Raises:
        ConfigError: The existing plan is of another round.
    """
    held = existing.get("round")
    if held != plan.round:
        raise ConfigError(
            f"{where} belongs to round {held}, and the inventory now says {plan.round}",
            hint="give the new round its own mlperf_run_id",
        )


@dataclass(slots=True)
class _Planner:
    """Collects the plan's parts."""

    lab: Lab
    round_: Round
    catalogue: Catalogue
    adjusted: Mapping[str, AdjustedTargets]
    power: PowerLab
    hosts: list[PlannedHost] = field(default_factory=list)
    cells: list[PlannedCell] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    components: dict[str, Component] = field(default_factory=dict)
    without_cells: list[str] = field(default_factory=list)  # hosts and items that give none, and why
    taken: TakenCells = field(init=False)

    def __post_init__(self) -> None:
        self.taken = TakenCells(self.lab.on_conflict)

    def add_host(self, host: LabHost) -> None:
        """Plan the cells of one host."""
        if host.vars.system_type not in self.round_.system_types:
            where = host.place.at(f"{PREFIX}system_type")
            raise unknown_name("system type", host.vars.system_type, self.round_.system_types, where=where)
        check_overrides(host, self.catalogue)
        check_typed(host, self.round_)
        check_targets(host, self.round_, self.catalogue)
        tuning = tuning_of(host, self.catalogue)
        adjustments = self.adjusted[host.name].adjustments if host.name in self.adjusted else ()
        measured = self.power.sut(host.name)
        instance = measured.instance if measured else ""
        used: set[str] = set()
        needs_python = False
        if not host.vars.benchmarks:
            where = host.place.at(f"{PREFIX}benchmarks")
            self.without_cells.append(f"{where}: the list is empty, so that host {host.name} has no cells")
        for wanted in wanted_of(host, self.lab, self.catalogue, tuning, adjustments, instance):
            inputs = self._add_benchmark(wanted)
            used |= inputs
            needs_python |= bool(inputs) and any("{python}" in word for word in wanted.implementation.argv)
        self.hosts.append(
            PlannedHost(
                name=host.name,
                system=host.system,
                home=host.vars.home,
                system_type=host.vars.system_type,
                system_description=dict(host.vars.system_description),
                components=tuple(sorted(used)),
                requirements=self.round_.loadgen.requirements if needs_python else "",
                host_state=host.vars.host_state.model_dump(exclude_none=True),
                tuning=resolve(*tuning, where=host.place.at(f"{PREFIX}tuning")).profile,
                unofficial_energy=host.vars.unofficial_energy.as_told(),
                power_supplies=host.vars.power_supplies.model_dump(mode="json") if host.vars.power_supplies else None,
            )
        )

    def _add_benchmark(self, wanted: Wanted) -> set[str]:
        """Plan one item of mlperf_benchmarks; return the components that its cells use."""
        division = wanted.entry.division or wanted.host.vars.division
        own = None if division == self.lab.division else division
        system_type, benchmark = wanted.host.vars.system_type, wanted.benchmark
        problem = nodes_problem(wanted.host) or benchmark_problem(
            wanted, self.round_, self.catalogue, division, system_type
        )
        model: Input | None = None
        dataset: Input | None = None
        if problem is None:
            try:
                model = None if wanted.implementation.simulated else model_input(wanted.host, benchmark, self.catalogue)
                dataset = dataset_input(wanted.host, benchmark, wanted.dataset, self.catalogue)
            except ImpossibleError as error:
                problem = str(error)
        names = scenarios(wanted, self.round_, division, system_type)
        runs = [name for name in names if scenario_problem(benchmark, name, self.round_, division, system_type) is None]
        also = {} if problem else filings(wanted, runs, self.round_, division, system_type)
        used: set[str] = set()
        before = len(self.cells)
        for scenario in names or (_any_scenario(self.round_) if problem else ()):
            why = problem or scenario_problem(benchmark, scenario, self.round_, division, system_type)
            for mode, mode_problem in modes(wanted, self.round_, division):
                cell = Cell(wanted.host.system, benchmark.name, scenario, mode)
                self.taken.take(cell, wanted, division)
                reason = why or mode_problem
                if reason is not None or dataset is None:
                    self.cells.append(_impossible(cell, wanted, reason or "", own))
                    continue
                self._add_cell(wanted, cell, model, dataset, division, also.get(scenario, ()))
                used |= {one.entry.name for one in (model, dataset) if one is not None}
        if len(self.cells) == before:
            self.without_cells.append(no_cells(wanted, self.round_, division, names))
        return used

    def _add_cell(
        self,
        wanted: Wanted,
        cell: Cell,
        model: Input | None,
        dataset: Input,
        division: Division,
        also: tuple[Filing, ...],
    ) -> None:
        made = make_request(wanted, cell, self.round_, division, model, dataset, self.lab.inventory)
        self.made.append(made)
        for one in (model, dataset):
            if one is not None:
                component = one.as_component()
                self.components[canonical_json(dump(component))] = component
        samples = made.sample_count
        if samples is None:
            samples = self.round_.accuracy_sample_count(wanted.benchmark.maps_to, cell.scenario)
        self.cells.append(
            PlannedCell(
                cell=cell,
                host=wanted.host.name,
                official_benchmark=wanted.benchmark.maps_to,
                status="planned",
                reason=None,
                notes=made.notes,
                expected=self._expected(wanted, made, samples, dataset.entry.name),
                request=dump(made.spec),
                division=None if division == self.lab.division else division,
                also=also,
                holds=held_by(wanted.host, cell.mode, self.power),
                adjustable=made.adjustable,
                adjusted=made.adjusted,
            )
        )

    def _expected(self, wanted: Wanted, made: Made, samples: int | None, dataset: str) -> Seconds | None:
        """Return how long a cell takes; a measured one runs twice, and talks with its analyzer meanwhile."""
        cell = made.spec.cell
        assumed = self._assumed(wanted, cell, "" if made.sample_count is not None else dataset)
        found = expected_seconds(made.conf, cell.mode, wanted.run_style, samples, assumed)
        if made.ranging is None:
            return found
        return with_ranging(found, expected_seconds(made.ranging, cell.mode, wanted.run_style, samples, assumed))

    def _assumed(self, wanted: Wanted, cell: Cell, dataset: str) -> Assumed:
        """Return what an estimate takes from published runs and from the inventory."""
        official, style = wanted.benchmark.maps_to, wanted.run_style
        return Assumed(
            prior=prior_seconds(self.catalogue, self.round_, official, cell.scenario, cell.mode, style),
            warmup_seconds=wanted.entry.warmup_seconds,
            around=around(self.catalogue),
            dataset=dataset,
        )

    def plan(self) -> Plan:
        """Return the whole plan."""
        for host in self.lab.hosts:
            where = host.place.at(f"{PREFIX}only")
            check_patterns(patterns_of(host.vars.only), (one.cell for one in self.cells), where)
        impossible = [cell for cell in self.cells if cell.status == "impossible"]
        if impossible and len(impossible) == len(self.cells):
            more = f"; {len(impossible) - 1} more cells cannot run either" if len(impossible) > 1 else ""
            raise ConfigError(f"nothing can run: {impossible[0].cell.key}: {impossible[0].reason}{more}")
        return Plan(
            round=self.round_.name,
            division=self.lab.division,
            submitter=self.lab.submitter,
            run_id=self.lab.run_id,
            run_style=self.lab.run_style,
            inventory=self.lab.inventory,
            hosts=with_order(self.hosts, self.cells),
            cells=with_system_notes(self.cells, self.lab.hosts, self.round_),
            components=tuple(sorted(self.components.values(), key=lambda one: (one.name, one.path or ""))),
            limits=(
                *(smoke_limits(self.cells) if self.lab.smoke else limits(self.made, self.round_, self.lab.inventory)),
                *missing_tests(self.cells, self.round_, self.lab.division),
            ),
            on_conflict=self.lab.on_conflict,
            owners=owners(self.lab.hosts, self.power),
            smoke=self.lab.smoke,
            power=to_plan(self.power),
        )


def _any_scenario(round_: Round) -> tuple[Scenario, ...]:
    """Return a scenario to show a problem with, where the round lists none for the category of systems."""
    return round_.scenario_names[:1]


def _impossible(cell: Cell, wanted: Wanted, reason: str, division: Division | None) -> PlannedCell:
    return PlannedCell(
        cell=cell,
        host=wanted.host.name,
        official_benchmark=wanted.benchmark.maps_to,
        status="impossible",
        reason=reason,
        notes=(),
        expected=None,
        request=None,
        division=division,
    )
