"""Action: tune a host as the plan says, and keep on the controller what it was tuned to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, tuned

_RECORD = "tuning.json"
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Call the module with the settings of the plan; a host that is not and shall not be tuned is not even asked."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        state = str(given.get("state", "applied"))
        name = variables["inventory_hostname"]
        run = controller.run_folder(given.get("results", ""), variables)
        record = run / "hosts" / name / _RECORD
        settings, home = self._wanted(run, name, variables, state)
        if not settings and state != "reverted" and not _was_tuned(record):
            return {**result, "skipped": True, "skip_reason": "no tuning is asked for, and this run has done none"}
        try:
            answer = tuned.tune(
                self, variables, home, state=state, settings=settings, strict=boolean(given.get("strict", False))
            )
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        if answer.get("changes") is None:
            return {**result, **answer}
        for one in answer["skips"] if state == "applied" else []:
            display.display(f"{name}  tuning skipped: {one['setting']}  {one['reason']}")
        if not self._task.check_mode and state != "verified" and not answer.get("waits_for"):
            self._keep(run, record, settings, controller.plain(answer["skips"]))
        return {**result, **answer}

    def _wanted(self, run: Path, name: str, variables: dict[str, Any], state: str) -> tuple[dict[str, Any], str]:
        """Return the settings of the plan and mlperf_home; to revert, a plan is not needed."""
        if state == "reverted":
            return {}, str(controller.plain(variables["hostvars"][name].get("mlperf_home") or ""))
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        host = controller.host_of(plan, name)
        return tuned.state_of(host.get("tuning", {})), host["home"]

    def _keep(self, run: Path, record: Path, settings: dict[str, Any], skipped: list[dict[str, Any]]) -> None:
        """Write hosts/<host>/tuning.json: the report's source, and how the next play knows that there is a backup."""
        if not settings and not record.is_file():
            return
        with controller.sentences():
            controller.runlock.acquire(run)
            controller.files.write_json(record, {"schema": 1, "settings": settings, "skipped": skipped})


def _was_tuned(record: Path) -> bool:
    """Tell whether a play of this run has tuned the host and none has put it back."""
    try:
        return bool(json.loads(record.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return record.is_file()
