"""How `mlperf-ops catalogue show` shows a round."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from mlperf_ops.catalogue import Round
from mlperf_ops.catalogue.round import ModelRules


def print_round(console: Console, entry: Round) -> None:
    """Print a round's facts, and a table of its benchmarks."""
    facts = {
        "facts from": f"{entry.source.repository} at {entry.source.commit} ({entry.source.date})",
        "loadgen": f"{entry.loadgen.package} {entry.loadgen.version}, lock {entry.loadgen.requirements}",
        "checker": f"{entry.checker.repository} at {entry.checker.commit}{_release(entry)}",
        "seeds": f"qsl {entry.seeds.qsl_rng_seed}, sample index {entry.seeds.sample_index_rng_seed}, "
        f"schedule {entry.seeds.schedule_rng_seed}",
        "divisions": " ".join(entry.divisions),
        "shortest run": f"{entry.limits.min_duration_ms / 1000:g} s",
    }
    for key, text in facts.items():
        console.print(f"{key}: {text}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE)
    table.add_column("benchmark", no_wrap=True)
    for column in ("datacenter", "edge", "both", "accuracy", "samples", "latency bound", "compliance"):
        table.add_column(column, overflow="fold")
    for name, rules in entry.models.items():
        table.add_row(
            name,
            _scenarios(entry, name, "datacenter"),
            _scenarios(entry, name, "edge"),
            _scenarios(entry, name, "datacenter,edge"),
            _accuracy(rules),
            f"{rules.performance_sample_count} / {rules.accuracy_sample_count}",
            _latency(rules),
            " ".join(rules.compliance),
        )
    console.print(table)


def _release(entry: Round) -> str:
    release = entry.checker.release
    return "" if release is None else f"; of the round's own time: {release.script} at {release.commit}"


def _scenarios(entry: Round, model: str, system_type: str) -> str:
    suite = entry.scenarios(model, system_type)
    if suite is None:
        return "-"
    one_of = [" or ".join(suite.one_of)] if suite.one_of else []
    rest = [f"({name})" for name in suite.optional if name not in suite.one_of]
    return ", ".join([*suite.required, *one_of, *rest])


def _accuracy(rules: ModelRules) -> str:
    targets = rules.accuracy or next(iter(rules.accuracy_per_scenario.values()), ())
    bounds = []
    for target in targets:
        low = "" if target.min is None else f" >= {target.min:.6g}"
        high = "" if target.max is None else f" <= {target.max:.6g}"
        bounds.append(f"{target.metric}{low}{high}")
    return ", ".join(bounds) + (" (differs per scenario)" if rules.accuracy_per_scenario else "")


def _latency(rules: ModelRules) -> str:
    whole = [f"{scenario} {value / 1e6:g} ms" for scenario, value in rules.target_latency_ns.items()]
    tokens = [
        f"{scenario} first token {limit.ttft / 1e6:g} ms, next {limit.tpot / 1e6:g} ms"
        for scenario, limit in rules.token_latency_limits_ns.items()
    ]
    return "; ".join(whole + tokens)
