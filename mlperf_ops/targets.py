"""Learn LoadGen targets from earlier results: mlperf_measured_targets of each host.

Offline: samples per second. SingleStream and MultiStream: mean latency of a query in ms. Server is not read off a
Server run, which only repeats the rate that it was asked for: it is a careful share of the Offline throughput.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from mlperf_ops.collected import Earlier
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import write_atomic
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.model import Scenario
from mlperf_ops.yamlfile import load_yaml_with_lines

FILE_NAME = "measured_targets.yml"
HEADER = "# Written by `mlperf-ops targets --write`"
VARIABLE = f"{PREFIX}measured_targets"
_VARS_SUFFIXES = (".yml", ".yaml", ".json")  # which Ansible tries in turn, after the bare name
# Share of the Offline throughput that a machine is first asked for in Server: queries come in bursts, and the latency
# bound leaves no time to fill batches. A search for the highest valid rate starts from here.
SERVER_SHARE_OF_OFFLINE = 0.15

_TEXT = f"""{HEADER}: what earlier runs measured on this host.
# `mlperf_targets` beside it is yours and wins. Remove this file, or use --renew, to measure again.
---
"""
_STYLES = ("test", "fast", "valid")
_SIGNIFICANT_DIGITS = 5
_SPEEDS: Mapping[Scenario, tuple[str, str, float]] = {
    "Offline": ("target_qps", "result_samples_per_second", 1.0),
    "SingleStream": ("target_latency_ms", "result_mean_latency_ns", 1e-6),
    "MultiStream": ("target_latency_ms", "result_mean_query_latency_ns", 1e-6),
}

Measured: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""benchmark -> scenario -> {target_qps or target_latency_ms: value}."""


@dataclass(frozen=True, slots=True)
class HostTargets:
    """What is known of a host after learning."""

    host: str
    targets: Measured
    path: Path
    changed: bool


def measured(earlier: Iterable[Earlier]) -> dict[str, Measured]:
    """Return the targets that valid performance runs show, by host.

    Where a cell was run more than once, a longer run style counts before a later run.

    Raises:
        ResultError: A detail log cannot be read.
    """
    best: dict[tuple[str, str, Scenario], Earlier] = {}
    for one in earlier:
        cell = one.result.cell
        if (
            one.cell.verdict != "valid"
            or one.cell.simulated
            or one.result.tainted
            or one.spec.smoke
            or cell.mode != "performance"
            or cell.scenario not in _SPEEDS
        ):
            continue
        key = (one.host, cell.benchmark, cell.scenario)
        if key not in best or _rank(one) >= _rank(best[key]):
            best[key] = one
    found: dict[str, Measured] = {}
    for (host, benchmark, scenario), one in sorted(best.items()):
        scenarios = found.setdefault(host, {}).setdefault(benchmark, {})
        name, _, _ = _SPEEDS[scenario]
        speed = _speed(one, scenario)
        scenarios[scenario] = {name: _rounded(speed)}
        if scenario == "Offline":
            scenarios["Server"] = {name: _rounded(speed * SERVER_SHARE_OF_OFFLINE)}
    return found


def _rank(one: Earlier) -> tuple[int, str]:
    return _STYLES.index(one.spec.run_style), one.result.started_at


def _speed(one: Earlier, scenario: Scenario) -> float:
    _, field, factor = _SPEEDS[scenario]
    value = one.result.loadgen.fields.get(field) if one.result.loadgen is not None else None
    if value is None:
        path = one.folder / DETAIL_LOG
        value = read_detail(path, frozenset({field})).values.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ResultError(f"{one.folder}: the detail log shows no {field} above 0")
    return value * factor


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def merged(inventory: Path, found: Mapping[str, Measured], *, renew: bool) -> tuple[HostTargets, ...]:
    """Combine new measurements with those that the inventory already holds.

    Args:
        inventory: The inventory's folder.
        found: New measurements by host.
        renew: Replace what is there; otherwise a known target stays, so that its cells do not become stale.

    Raises:
        ConfigError: A file is in the way that this tool did not write.
    """
    made: list[HostTargets] = []
    for host, new in sorted(found.items()):
        path = inventory / "host_vars" / host / FILE_NAME
        old = _read(path)
        combined: Measured = {name: dict(scenarios) for name, scenarios in old.items()}
        for benchmark, scenarios in new.items():
            known = combined.setdefault(benchmark, {})
            for scenario, target in scenarios.items():
                if renew or scenario not in known:
                    known[scenario] = target
        made.append(HostTargets(host, combined, path, changed=combined != old))
    return tuple(made)


def _read(path: Path) -> Measured:
    if not path.exists():
        return {}
    data, _ = load_yaml_with_lines(path)
    if not path.read_text().startswith(HEADER):
        raise ConfigError(
            f"{path} was not written by mlperf-ops targets and is left alone",
            hint="move its content to another file of the host, such as targets.yml",
        )
    held = data.get(VARIABLE) if isinstance(data, dict) else None
    if held is not None and not isinstance(held, dict):
        raise ConfigError(f"{path}: {VARIABLE}: expected a mapping", hint="remove the file to measure again")
    return held or {}  # type: ignore[return-value]  # written by `write`; Ansible's side checks every value again


def as_yaml(targets: Measured) -> str:
    """Return the file's text for a host."""
    return _TEXT + yaml.safe_dump({VARIABLE: targets}, sort_keys=True, default_flow_style=False)


def write(made: Sequence[HostTargets]) -> tuple[Path, ...]:
    """Write the files of the hosts whose targets changed; return them.

    Raises:
        ConfigError: A host has its variables in host_vars/<host>.yml, which Ansible reads only where there is no folder
            host_vars/<host>; then nothing is written.
        ToolError: A file cannot be written.
    """
    changed = [one for one in made if one.changed]
    for one in changed:
        _require_no_file_instead(one.path.parent)
    for one in changed:
        write_atomic(one.path, as_yaml(one.targets))
    return tuple(one.path for one in changed)


def _require_no_file_instead(folder: Path) -> None:
    if folder.is_dir():
        return
    for path in (folder, *(folder.with_name(folder.name + suffix) for suffix in _VARS_SUFFIXES)):
        if path.is_file():
            raise ConfigError(
                f"{path}: Ansible would no longer read it beside the folder {folder}, which {FILE_NAME} needs",
                hint=f"make a folder of it: {folder}/main.yml is read like {path.name}",
            )
