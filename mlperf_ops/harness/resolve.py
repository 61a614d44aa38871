"""A plan's request plus what this host holds is a spec. Pure; standard library only."""

from __future__ import annotations

import copy
from typing import cast

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.model import Spec
from mlperf_ops.typed import load


def resolve(request: JsonObject, provision: JsonObject) -> Spec:
    """Fill in paths, digests and versions that only the host knows.

    Args:
        request: PlannedCell.request: a Spec as JSON with host-dependent values empty.
        provision: state/provision.json.

    Raises:
        ResultError: A component of the request is not on this host.
    """
    filled = copy.deepcopy(request)
    for part in ("model", "dataset"):
        wanted = filled.get(part)
        if isinstance(wanted, dict):
            filled[part] = _locate(part, wanted, provision)
    python, harness = _section(provision, "python"), _section(provision, "harness")
    filled["packages"] = {
        **cast("dict[str, Json]", python.get("packages", {})),
        "python": python.get("version"),
        "mlperf_ops.harness": harness.get("sha256"),
    }
    return load(Spec, filled, "plan request")


def _locate(part: str, wanted: dict[str, Json], provision: JsonObject) -> dict[str, Json]:
    name = wanted.get("component")
    held = _section(provision, "components").get(str(name))
    if not isinstance(held, dict):
        raise ResultError(
            f"this host does not hold the {part} '{name}'",
            hint="the provision playbook brings it, or says why it cannot",
        )
    pinned = wanted.get("sha256")
    if pinned and pinned != held.get("sha256"):
        raise ResultError(
            f"the {part} '{name}' on this host has sha256 {held.get('sha256')}, the plan pins {pinned}",
            hint="run the provision playbook again",
        )
    return {**wanted, "path": held.get("path"), "sha256": held.get("sha256")}


def _section(provision: JsonObject, name: str) -> dict[str, Json]:
    section = provision.get(name)
    if not isinstance(section, dict):
        raise ResultError(f"state/provision.json has no '{name}'", hint="run the provision playbook first")
    return section
