"""From the variables that Ansible resolved, and the plan, to the question about a host.

Pure, but for a look at PTDaemon on the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mlperf_ops.doctor import power_question
from mlperf_ops.doctor.knobs import KNOBS
from mlperf_ops.doctor.model import Access, OwnFiles, Question
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.typed import load

# The variables that decide what is asked. The action digests just these: others do not make a host be asked again.
VARIABLES = (
    "mlperf_home",
    "mlperf_become",
    "mlperf_mirror",
    "mlperf_components",
    "mlperf_tuning_profile",
    "mlperf_tuning",
    "host_components_python",
    *power_question.VARIABLES,
)
WITHOUT_PLAN = "mlperf_benchmarks"
_FALSE = frozenset({"false", "no", "off", "0", "n", "f"})


def make_question(
    name: str, access: JsonObject, variables: Mapping[str, Json], planned: JsonObject | None, *, run_id: str = ""
) -> Question:
    """Build the question about one host.

    Args:
        name: Of the host in the inventory.
        access: Fields of `Access`.
        variables: Its variables out of `VARIABLES`.
        planned: Its entry of plan.json; None where there is no plan, or the host runs no cells. With `tolerant` a file
            that is missing keeps only its own cells from running.
        run_id: The plan's; "" where there is no plan.
    """
    components = variables.get("mlperf_components")
    return Question(
        name=name,
        access=load(Access, access, f"access of {name}"),
        home=str(variables.get("mlperf_home") or ""),
        needs_sudo=_is_true(variables.get("mlperf_become", True)),
        needs_environment=_needs_environment(variables, planned),
        mirror=str(variables.get("mlperf_mirror") or ""),
        cells_python=str(variables.get("host_components_python") or ""),
        files=tuple(_own_files(components if isinstance(components, dict) else {}, planned)),
        run_id=run_id,
        knobs=tuple(sorted(_knobs(variables, planned) & set(KNOBS))),
        power=power_question.power_question(name, variables),
    )


def _is_true(value: Json) -> bool:
    return str(value).casefold() not in _FALSE


def _needs_environment(variables: Mapping[str, Json], planned: JsonObject | None) -> bool:
    """Tell whether the harness runs there; without a plan any benchmark counts."""
    if planned is not None:
        return bool(planned.get("requirements"))
    return bool(variables.get(WITHOUT_PLAN))


def _own_files(components: JsonObject, planned: JsonObject | None) -> list[OwnFiles]:
    used = cast("list[str]", planned.get("components") or []) if planned is not None else list(components)
    keeps_out = not (planned or {}).get("tolerant")
    found = []
    for name, given in sorted(components.items()):
        if isinstance(given, dict) and given.get("path"):
            label_file = str(given.get("label_file") or "")
            found.append(OwnFiles(name, str(given["path"]), label_file, used=name in used, keeps_host_out=keeps_out))
    return found


def _knobs(variables: Mapping[str, Json], planned: JsonObject | None) -> set[str]:
    """Name the settings that tuning will want to set: those of the plan, or else those of the inventory."""
    tuning = planned.get("tuning") if planned is not None else None
    if not isinstance(tuning, dict):
        tuning = variables.get("mlperf_tuning")
    return {name for name, value in tuning.items() if value is not None} if isinstance(tuning, dict) else set()
