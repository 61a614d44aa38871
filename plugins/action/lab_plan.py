"""Action: turn the inventory into plan.json."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_PREFIX = "mlperf_"
_MINUTE = 60.0
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Pass the resolved variables of all SUTs to `mlperf-ops plan` and say what it planned."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the plan; in check mode keep it where only the later steps of this check find it."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        check_mode = bool(self._task.check_mode)
        run = controller.run_folder(controller.plain(self._task.args).get("results", ""), variables)
        argv = ["plan", "--vars=-", f"--results={run}", *(["--dry-run"] if check_mode else [])]
        lab = {
            "inventory": _as_written(controller.inventory_source(variables)),
            "inventory_dir": str(controller.inventory_folder(variables).absolute()),
            "hosts": {name: _resolved(name, values) for name, values in controller.sut_variables(variables).items()},
        }
        answer = controller.mlperf_ops(argv, stdin=lab).data
        if check_mode:
            controller.files.write_json(controller.check_plan_path(run), answer["plan"])
        _show(answer["outlook"], every=check_mode)
        header = answer["path"]
        return {
            **result,
            "changed": answer["changed"],
            "plan": answer["path"],
            "diff": {**answer["diff"], "before_header": header, "after_header": header},
        }


def _resolved(host: str, variables: Any) -> dict[str, Any]:  # noqa: ANN401  # Ansible's HostVars
    """Return a host's mlperf_* variables as JSON values."""
    names = sorted(str(name) for name in variables if str(name).startswith(_PREFIX))
    return {name: _value(host, variables, name) for name in names}


def _value(host: str, variables: Any, name: str) -> Any:  # noqa: ANN401  # as above; any JSON value
    try:
        return controller.plain(variables[name])
    except AnsibleError as error:
        first = str(getattr(error, "message", "") or error).splitlines()[0]
        raise AnsibleActionFail(f"host {host}: {name} cannot be resolved: {first}") from None


def _as_written(source: Path) -> str:
    """Return the inventory as the user would write it: relative to the current folder when it is below."""
    relative = os.path.relpath(source)
    return str(source) if relative.startswith("..") else relative


def _show(cells: list[dict[str, Any]], *, every: bool) -> None:
    """Say how many cells there are, and of each that cannot run why."""
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell["status"]] = counts.get(cell["status"], 0) + 1
        if every or cell["status"] == "impossible":
            reason = f"  {cell['reason']}" if cell["reason"] else ""
            display.display(f"{cell['host']}  {cell['key']}  {cell['status']}{reason}")
    words = {"have": "with a result", "missing": "to run", "stale": "to run again", "impossible": "impossible"}
    told = ", ".join(f"{counts[status]} {word}" for status, word in words.items() if status in counts)
    hosts = {cell["host"] for cell in cells}
    display.display(f"plan: {len(cells)} cells on {len(hosts)} host{'' if len(hosts) == 1 else 's'}: {told}")
    times = [cell for cell in cells if cell["expected"]]
    if times:
        sums = {host: sum(cell["expected"]["high"] for cell in times if cell["host"] == host) for host in hosts}
        slowest = max(sorted(sums), key=lambda host: sums[host])
        unknown = sum(1 for cell in cells if cell["status"] in {"missing", "stale"} and not cell["expected"])
        more = f", and {unknown} cell{'' if unknown == 1 else 's'} whose speed is not known yet" if unknown else ""
        display.display(f"plan: about {sums[slowest] / _MINUTE:.1f} min of measuring at most, on {slowest}{more}")
