"""Action: show the verdict as plain lines, and fail when there is nothing to be content with."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_COLOURS = {"submittable": "green", "demonstration": "yellow", "rejected": "red"}
_SHOWN = 5
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Display the report's text; a task's message would show it as one escaped string."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail for a rejected submission and for planned cells that have no usable result."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        given = controller.plain(self._task.args)
        report, aggregated = given["report"], given["aggregate"]
        smoke = self._smoke(str(given.get("results") or ""), task_vars or {})
        if smoke is not None:
            return {**result, **smoke}
        if not report:
            return {**result, "changed": False, "msg": "check mode: no submission was built"}
        verdict = str(report.get("verdict"))
        display.display("")
        for number, line in enumerate(str(report["text"]).rstrip("\n").splitlines()):
            display.display(line, color=_COLOURS.get(verdict) if number == 0 else None)
        display.display("")
        left_out = [f"{cell['key']}: {cell['reason']}" for cell in aggregated.get("missing", [])]
        result.update(changed=False, verdict=verdict)
        if left_out:
            result["left_out"] = left_out
            more = f"; and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
            message = f"{len(left_out)} planned cells have no usable result: {'; '.join(left_out[:_SHOWN])}{more}"
            return {**result, "failed": True, "msg": message}
        if verdict == "rejected":
            return {**result, "failed": True, "msg": f"the submission is rejected; {report['verdict_md']} says why"}
        return {**result, "msg": verdict}

    def _smoke(self, results: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """Show the verdict of a smoke run, whose question is another one; None for any other run."""
        run = controller.run_folder(results, variables)
        if self._task.check_mode or not (run / "plan.json").is_file():
            return None
        if not controller.read_plan(run, check_mode=False).get("smoke"):
            return None
        told = controller.mlperf_ops(["smoke", str(run)]).data
        display.display("")
        for line in str(told["text"]).splitlines():
            red = line.startswith(("would fail", "problem"))
            display.display(line, color="red" if red else None)
        display.display("")
        if told["ready"]:
            return {"changed": False, "msg": "every cell would run"}
        bad = sum(1 for one in told["cells"] if one["state"] == "would fail")
        what = f"{bad} of {len(told['cells'])} cells would fail" if bad else "the tree has problems"
        # The lines above say why; Ansible shows this one twice.
        return {"changed": False, "failed": True, "msg": f"the smoke run failed: {what} (mlperf-ops smoke {run})"}
