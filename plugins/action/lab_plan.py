"""Action: turn the inventory into plan.json."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, planning

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
        _require_forks(variables)
        argv = ["plan", "--vars=-", f"--results={run}", *(["--dry-run"] if check_mode else [])]
        answer = controller.mlperf_ops(argv, stdin=planning.lab(variables)).data
        if check_mode:
            controller.files.write_json(controller.check_plan_path(run), answer["plan"])
        _show(answer["outlook"], every=check_mode)
        for remark in answer["remarks"]:
            display.display(f"plan: note: {remark}")
        for warning in answer["warnings"]:
            display.warning(warning)
        header = answer["path"]
        return {
            **result,
            "changed": answer["changed"],
            "plan": answer["path"],
            "diff": {**answer["diff"], "before_header": header, "after_header": header},
        }


def _require_forks(variables: dict[str, Any]) -> None:
    """Refuse a lab whose hosts would wait for each other's last cell."""
    count, forks = len(controller.sut_variables(variables)), int(variables.get("ansible_forks") or 0)
    if forks < count and not variables.get("ansible_limit"):
        raise AnsibleActionFail(
            f"the inventory has {count} hosts that run cells, and Ansible works on {forks} at a time: the others would "
            f"wait until one has run all of its cells (give --forks {count}, or forks in ansible.cfg)"
        )


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
    unknown = sum(1 for cell in cells if cell["status"] in {"missing", "stale"} and not cell["expected"])
    more = f"{unknown} cell{'' if unknown == 1 else 's'} of unknown duration"
    times = [cell for cell in cells if cell["expected"]]
    if times:
        # What is not known is no nothing: with such cells the sum is the least that it takes.
        bound = "low" if unknown else "high"
        sums = {host: sum(cell["expected"][bound] for cell in times if cell["host"] == host) for host in hosts}
        slowest = max(sorted(sums), key=lambda host: sums[host])
        minutes = f"{sums[slowest] / _MINUTE:.1f} min of measuring"
        told = f"at least {minutes}, on {slowest} ({more})" if unknown else f"about {minutes} at most, on {slowest}"
        display.display(f"plan: {told}")
    elif unknown:
        display.display(f"plan: {more}")
