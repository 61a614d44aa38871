"""Action: run one verb of `mlperf-ops` on the controller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, once


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Return the verb's JSON as `answer`; a wrong input becomes the task's one-sentence message."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the verb, or say in check mode that it was not run."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        run = controller.run_folder(given.get("results", ""), variables)
        words = [str(word) for word in given["argv"]]
        words += [f"--{name}={value}" for name, value in given.get("options", {}).items() if value]
        if self._task.check_mode:
            return {**result, "changed": False, "answer": {}, "msg": f"check mode: mlperf-ops {words[0]} was not run"}
        names = {"{run}": str(run), "{round}": "", "{dropped}": str(once.note_path(once.DROPPED))}
        if any("{round}" in word for word in words):
            names["{round}"] = str(controller.read_plan(run, check_mode=False)["round"])
        for name, value in names.items():
            words = [word.replace(name, value) for word in words]
        files = [Path(str(path).replace("{run}", str(run))) for path in given.get("writes", [])]
        before = [_content(path) for path in files]
        began_ns = time.time_ns()
        answer = controller.mlperf_ops(words)
        changed = bool(answer.data.get("changed", False)) or before != [_content(path) for path in files]
        told = {"exit_code": answer.returncode, "began_ns": began_ns, "answer": answer.data}
        return {**result, "changed": changed, **told}


def _content(path: Path) -> str:
    return controller.files.sha256_file(path) if path.is_file() else ""
