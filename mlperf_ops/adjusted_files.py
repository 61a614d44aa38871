"""The files of adjusted targets: a host's record in the results folder, and what to review beside the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlperf_ops.adjusting import FILE, HEADER, REVIEW_SUFFIX, AdjustedTargets, Adjustment, in_use, merged, review
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, read_json, write_atomic, write_json
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.plan_model import Plan
from mlperf_ops.typed import dump, load

if TYPE_CHECKING:
    from mlperf_ops.catalogue import Catalogue


def read_adjusted(run: Path) -> dict[str, AdjustedTargets]:
    """Return what the runs of a results folder have adjusted, by host.

    Raises:
        ResultError: A file cannot be read or has another form.
    """
    return {
        path.parent.name: load(AdjustedTargets, read_json(path), str(path))
        for path in sorted(run.glob(f"hosts/*/{FILE}"))
    }


def add(run: Path, host: str, adjustment: Adjustment) -> None:
    """Add an adjustment to the record of a host.

    Raises:
        ResultError: The record cannot be read.
        ToolError: It cannot be written.
    """
    path = run / "hosts" / host / FILE
    held = load(AdjustedTargets, read_json(path), str(path)) if path.is_file() else AdjustedTargets(host, ())
    write_json(path, dump(replace(held, adjustments=(*held.adjustments, adjustment))))


def review_file(inventory: Path) -> Path:
    """Return the path of the file to review of an inventory's folder."""
    folder = inventory.resolve()
    return folder.parent / (folder.name + REVIEW_SUFFIX)


def write_review(
    inventory: Path,
    plan: Plan,
    adjusted: Mapping[str, AdjustedTargets],
    hosts_vars: Mapping[str, Mapping[str, Json]],
    catalogue: Catalogue,
) -> Path | None:
    """Write the file to review when a plan uses adjusted targets; nothing ever reads it.

    Raises:
        ConfigError: A file is in the way that this tool did not write.
        ToolError: It cannot be written.
    """
    used = in_use(plan, adjusted)
    if not used:
        return None
    path = review_file(inventory)
    if path.exists() and not path.read_text().startswith(HEADER):
        raise ConfigError(f"{path} was not written by mlperf-ops and is left alone", hint="move it elsewhere")
    hosts = {
        host: (merged(_targets(hosts_vars[host]), [one.last for one in held], catalogue), held)
        for host, held in used.items()
    }
    text = review(plan.run_id, hosts)
    if not path.exists() or path.read_text() != text:
        write_atomic(path, text)
    return path


def _targets(variables: Mapping[str, Json]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", variables.get(f"{PREFIX}targets") or {})
