"""Action: examine the hosts before anything is changed, and name those that cannot take part."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import InventoryManager
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import access, controller

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.doctor import question, record

_COLOURS = {"warns": "yellow"}
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask `mlperf-ops doctor` about the hosts that did not pass before with the same inputs."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the blocked hosts; a second, no-change run asks nobody and starts nothing."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        controller.package()
        run = controller.run_folder(given.get("results", ""), variables)
        run_id, planned = self._planned(run)
        names = self._names(given["hosts"], given.get("limit", ""), variables)
        asked = {
            name: {"run_id": run_id, **self._asked(name, variables["hostvars"][name], planned.get(name))}
            for name in names
        }
        digests = {name: record.digest(one["access"], one["variables"], one["plan"]) for name, one in asked.items()}
        held = record.read(run)
        if not given.get("again", False):
            asked = {name: one for name, one in asked.items() if not record.passed(held, name, digests[name])}
        if names and not asked:
            return {**result, "changed": False, "asked": [], "blocked": [], "msg": f"{len(names)} hosts passed before"}
        every = controller.plain((variables.get("groups") or {}).get("all") or [])
        answer = controller.mlperf_ops(
            ["doctor", "--vars=-", f"--timeout={given.get('timeout_seconds', 15)}"],
            stdin={"hosts": asked, "limit": given.get("limit", ""), "known": every},
        ).data
        for line, severity in answer["lines"]:
            if severity != "blocks":  # those are told by the host's own task
                display.display(line, color=_COLOURS.get(severity))
        blocked = [
            {"host": one["name"], "reason": record.reasons(one)} for one in answer["hosts"] if one["state"] == "blocked"
        ]
        changed = False
        if not self._task.check_mode:
            with controller.sentences():
                controller.runlock.acquire(run)
                merged = record.merged(held, answer["hosts"], digests, every)
                changed = controller.files.write_json(run / record.FILE, merged)
        return {**result, "changed": changed, "asked": list(asked), "blocked": blocked, "msg": answer["summary"]}

    def _planned(self, run: Path) -> tuple[str, dict[str, dict[str, Any]]]:
        """Return the plan's run and its hosts; without a plan what they need is taken from their variables."""
        try:
            plan = controller.read_plan(run, check_mode=bool(self._task.check_mode))
        except AnsibleActionFail:
            return "", {}
        run_id = str(plan["run_id"])
        if plan.get("smoke"):  # a file that is not there is a warning: it keeps its own cells from running, no others
            return run_id, {host["name"]: {**host, "tolerant": True} for host in plan["hosts"]}
        return run_id, {host["name"]: host for host in plan["hosts"]}

    def _names(self, pattern: str, limit: str, variables: dict[str, Any]) -> list[str]:
        """Resolve both patterns as Ansible does; a limit may also be a file (@name)."""
        groups = controller.plain(variables.get("groups") or {})
        manager = InventoryManager(self._loader, parse=False)
        for group, hosts in groups.items():
            manager.add_group(group)
            for host in hosts:
                manager.add_host(host, group=group)
        wanted = [part for part in pattern.split(":") if part.lstrip("!&") in groups or part == "all"]
        if not wanted:
            return []
        manager.subset(limit or None)
        return [str(host.name) for host in manager.get_hosts(wanted)]

    def _asked(self, name: str, values: Any, planned: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401  # HostVars
        """Return what decides how a host is reached and what it needs."""
        wanted = [*question.VARIABLES, *([] if planned else [question.WITHOUT_PLAN])]
        return {
            "access": access.of(name, values, self._play_context),
            "variables": {one: controller.value(name, values, one) for one in wanted if one in values},
            "plan": planned,
        }
