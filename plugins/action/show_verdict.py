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
        result.update(changed=False, verdict=verdict)
        left_out, message = without_result(aggregated)
        if left_out:
            return {**result, "left_out": left_out, "failed": True, "msg": message}
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


def without_result(aggregated: dict[str, Any]) -> tuple[list[str], str]:
    """Return key and reason of each planned cell that the tree lacks, and what is said of them in one sentence.

    What is there and cannot be packed, such as one of two results for a place, is as little of use as what is missing.
    """
    cells = [*aggregated.get("missing", []), *aggregated.get("refused", [])]
    reasons = {cell["reason"]: cell["key"] for cell in reversed(cells)}  # a reason of several cells is told once
    told = [f"{key}: {reason}" for reason, key in reversed(reasons.items())]
    more = f"; and {len(told) - _SHOWN} more reasons" if len(told) > _SHOWN else ""
    what = "1 planned cell has" if len(cells) == 1 else f"{len(cells)} planned cells have"
    every = [f"{cell['key']}: {cell['reason']}" for cell in cells]
    return every, f"{what} no usable result: {'; '.join(told[:_SHOWN])}{more}"
