"""From one wanted cell to its request: a spec without what only the host knows. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mlperf_ops.adjusting import Held, allowed, basis, holding, replaced, target_of
from mlperf_ops.catalogue import ModelEntry, Round
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.files import Json
from mlperf_ops.lab_vars import PREFIX, SMOKE_COUNT, Targets
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.model import (
    COMPLIANCE_TESTS,
    AccuracyRequest,
    BackendRequest,
    Cell,
    DatasetRequest,
    Division,
    LoadgenRequest,
    ModelRequest,
    PowerRequest,
    Scenario,
    Spec,
)
from mlperf_ops.plan_inputs import Input
from mlperf_ops.plan_model import Adjustable, AdjustedTarget
from mlperf_ops.plan_wanted import Wanted
from mlperf_ops.tuning import for_scenario, resolve
from mlperf_ops.typed import load
from mlperf_ops.userconf import METRICS, ConfRequest, UserConf, make_user_conf
from mlperf_ops.userconf_keys import checked_keys


@dataclass(frozen=True, slots=True)
class Made:
    """A cell's request and what follows from it."""

    spec: Spec
    conf: UserConf
    sample_count: int | None  # samples of an accuracy run; None: the user's folder decides
    notes: tuple[str, ...]
    adjustable: Adjustable | None = None
    adjusted: AdjustedTarget | None = None
    ranging: UserConf | None = None  # of a measured cell


def make_request(
    wanted: Wanted,
    cell: Cell,
    round_: Round,
    division: Division,
    model: Input | None,
    dataset: Input,
    inventory: str,
) -> Made:
    """Build the request of one cell; `inventory` is what commands name that are told to the user.

    Raises:
        ConfigError: A target or an option of the inventory cannot be used.
    """
    entry, benchmark = wanted.entry, wanted.benchmark
    total, notes = _sample_count(wanted, cell.scenario, dataset, round_)
    known_count = total if total is not None else dataset.sample_count
    target = _asked_target(wanted, cell, division, round_)
    conf = _user_conf(wanted, cell, division, round_, known_count, inventory, target)
    score = round_.accuracy_targets(benchmark.maps_to, cell.scenario)[0].by_rules()
    ranging = None
    if wanted.power_instance and cell.mode == "performance":
        ranging = _user_conf(wanted, cell, division, round_, known_count, inventory, target, ranging=True)
    tuned = resolve(*wanted.tuning, *for_scenario(entry.tuning, cell.scenario), where=wanted.at("tuning"))
    spec = Spec(
        cell=cell,
        official_benchmark=benchmark.maps_to,
        round=round_.name,
        division=division,
        run_style=wanted.run_style,
        implementation=wanted.implementation.name,
        simulated=wanted.implementation.simulated,
        argv=(*_words(wanted), *tuned.prefix, *wanted.implementation.argv, *entry.extra_args),
        env=dict(sorted(entry.env.items())),
        loadgen=LoadgenRequest(
            conf_model=conf.conf_model,
            scenario=conf.scenario,
            mode=TEST_MODES[cell.mode],
            user_conf=conf.text,
            expect=conf.expect,
            audit_conf=conf.audit,
        ),
        model=_model(benchmark.model, model),
        dataset=DatasetRequest(
            component=dataset.entry.name,
            path=dataset.path,
            sha256=dataset.sha256,
            label_file=dataset.label_file,
            total_count=total,
            preprocess=dict(benchmark.preprocess),
        ),
        task=benchmark.task,
        backend=_backend(wanted, conf, cell.scenario),
        accuracy=AccuracyRequest(
            metric=score.metric,
            minimum=score.min,
            maximum=score.max,
            gate=round_.divisions[division].accuracy_target,
        ),
        cpu_affinity=entry.cpu_affinity,
        warmup_seconds=entry.warmup_seconds,
        packages={},
        host_profile=tuned.profile,
        confinement=tuned.confinement(entry.cpu_affinity),
        smoke=wanted.host.vars.smoke,
        power=None if ranging is None else PowerRequest(wanted.power_instance, ranging.text, ranging.expect),
    )
    return Made(
        spec=spec,
        conf=conf,
        sample_count=known_count,
        notes=(*conf.notes, *notes),
        ranging=ranging,
        adjustable=_adjustable(
            conf, target, wanted, cell, lambda other: _user_conf(wanted, cell, division, round_, None, inventory, other)
        ),
        adjusted=_adjusted(target.adjusted),
    )


def _words(wanted: Wanted) -> list[str]:
    own = wanted.entry.cmd_prefix
    try:
        return shlex.split(wanted.host.vars.cmd_prefix if own is None else own)
    except ValueError as error:
        where = wanted.host.place.at(f"{PREFIX}cmd_prefix") if own is None else wanted.at("cmd_prefix")
        raise ConfigError(f"{where}: not a command line: {error}") from error


def _sample_count(
    wanted: Wanted, scenario: Scenario, dataset: Input, round_: Round
) -> tuple[int | None, tuple[str, ...]]:
    """Return how many samples to use (None: all), and what the user should know about it."""
    there = dataset.sample_count
    asked = wanted.entry.sample_count
    if wanted.host.vars.smoke:
        counts = (SMOKE_COUNT, *(count for count in (there, asked) if count is not None))
        return (None if min(counts) == there else min(counts)), ()
    if asked is not None:
        if there is not None and asked > there:
            raise ConfigError(
                f"{wanted.at('sample_count')}: {asked} samples are asked for; {dataset.entry.name} has {there}"
            )
        return (None if asked == there else asked), ()
    if wanted.run_style != "test":
        return None, ()
    if there is None:
        text = f"style test uses all of the user's {dataset.entry.name}; sample_count beside the benchmark limits it"
        return None, (text,)
    count = wanted.host.vars.query_count(scenario) or round_.run_styles.test.query_count
    return (count if count < there else None), ()


def _model(described: ModelEntry | None, given: Input | None) -> ModelRequest | None:
    if described is None or given is None:
        return None
    return ModelRequest(
        component=described.component,
        path=given.path,
        sha256=given.sha256,
        format=described.format,
        input_name=described.input.name,
        input_layout=described.input.layout,
        output_name=described.output.name,
        output_kind=described.output.kind,
        label_offset=described.output.label_offset,
    )


def _backend(wanted: Wanted, conf: UserConf, scenario: Scenario) -> BackendRequest:
    entry = wanted.implementation.backend_defaults.get(conf.scenario)
    defaults = {} if entry is None else entry.model_dump(exclude_none=True)
    largest = _largest_batch(wanted)
    if largest is not None:
        defaults["max_batch"] = min(defaults.get("max_batch", 1), largest)
    asked = wanted.entry.backend.options(scenario)
    devices = wanted.implementation.devices
    device = str(asked.get("device", devices[0]))
    if device not in devices:
        raise unknown_name("device", device, devices, where=wanted.at("backend", "device"))
    made = {"name": wanted.framework, "device": device, **defaults, **asked}
    size = made.get("max_batch", 1)
    if largest is not None and isinstance(size, int) and size > largest:
        raise ConfigError(f"{wanted.at('backend')}: max_batch is {size}, but the model takes batches of {largest} only")
    return load(BackendRequest, made, wanted.at("backend"))


def _largest_batch(wanted: Wanted) -> int | None:
    """Return the batch size that the model's input fixes; None when it leaves it open."""
    if wanted.implementation.simulated:
        return 1  # a stand-in answers sample by sample
    model = wanted.benchmark.model
    if model is None or not model.input.shape or not isinstance(model.input.shape[0], int):
        return None
    return model.input.shape[0]


# --- targets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _AskedTarget:
    """What a cell's user.conf is made of: the inventory's words, and the adjustment that holds for them."""

    given: Mapping[str, Json]
    where: str
    measured: float | None
    basis: str
    adjusted: Held | None


def _asked_target(wanted: Wanted, cell: Cell, division: Division, round_: Round) -> _AskedTarget:
    scenario = cell.scenario
    given, where = _target(wanted.host.vars.targets, "targets", wanted, scenario)
    measured = _measured(wanted, scenario, division, round_)
    metric = METRICS["Server" if scenario == "Interactive" else scenario]
    base = basis(checked_keys(given, scenario, division, round_.user_conf, where).get(metric), measured)
    if cell.mode == "accuracy" or not allowed(wanted.host.vars, wanted.entry, scenario):
        return _AskedTarget(given, where, measured, base, None)
    held = holding(wanted.adjustments, wanted.benchmark.name, scenario, wanted.run_style, base)
    if held is not None:
        given = replaced(given, metric, held.last.value)
    return _AskedTarget(given, where, measured, base, held)


def _adjustable(
    conf: UserConf, target: _AskedTarget, wanted: Wanted, cell: Cell, conf_with: Callable[[_AskedTarget], UserConf]
) -> Adjustable | None:
    """Return the target that may be adjusted: one that the run style writes into user.conf just as it was asked for."""
    if cell.mode != "performance" or not allowed(wanted.host.vars, wanted.entry, cell.scenario):
        return None
    key = METRICS[conf.scenario]
    was = target_of(conf.text, key)
    other = replace(target, given=replaced(target.given, key, 2 * was))
    if target_of(conf_with(other).text, key) != 2 * was:
        return None
    return Adjustable(key=key, basis=target.basis, target=was)


def _adjusted(held: Held | None) -> AdjustedTarget | None:
    return None if held is None else AdjustedTarget(held.last.key, held.own, held.last.value, held.last.attempt)


def _user_conf(
    wanted: Wanted,
    cell: Cell,
    division: Division,
    round_: Round,
    samples: int | None,
    inventory: str,
    target: _AskedTarget,
    *,
    ranging: bool = False,
) -> UserConf:
    host, scenario, mode = wanted.host, cell.scenario, cell.mode
    name = wanted.benchmark.name
    test = next((test for test in COMPLIANCE_TESTS if test == mode), None)
    own = wanted.entry.compliance_min_duration_ms
    request = ConfRequest(
        official=wanted.benchmark.maps_to,
        scenario=scenario,
        mode=mode,
        division=division,
        run_style=wanted.run_style,
        conf_model=wanted.benchmark.loadgen_conf_model or name,
        given=target.given,
        measured=target.measured,
        query_count=host.vars.query_count(scenario),
        min_duration_ms=host.vars.min_duration_ms if test is None or own is None else own,
        compliance=test,
        total_sample_count=samples,
        ranging=ranging,
        where=target.where,
        inventory=inventory,
    )
    return make_user_conf(request, round_)


def _target(targets: Targets, kind: str, wanted: Wanted, scenario: Scenario) -> tuple[Mapping[str, Json], str]:
    """Return what a targets variable says of a cell, under the benchmark's name or an alias, and where it says so."""
    for name in (wanted.benchmark.name, *wanted.benchmark.aliases):
        keys = targets.get(name, {}).get(scenario)
        if keys is not None:
            return keys, wanted.host.place.at(f"{PREFIX}{kind}", name, scenario)
    return {}, ""


def _measured(wanted: Wanted, scenario: Scenario, division: Division, round_: Round) -> float | None:
    keys, where = _target(wanted.host.vars.measured_targets, "measured_targets", wanted, scenario)
    if not keys:
        return None
    metric = METRICS["Server" if scenario == "Interactive" else scenario]
    found = checked_keys(keys, scenario, division, round_.user_conf, where)
    if set(found) != {metric}:
        raise ConfigError(
            f"{where}: expected only {metric}, found {', '.join(keys)}", hint="use mlperf_targets for more"
        )
    return float(found[metric])
