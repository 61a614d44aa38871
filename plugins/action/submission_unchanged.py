"""Action: tell whether results, tree and report are exactly as they were when the verdict was last given."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, once
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils.signatures import signature

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.campaign.obstacles import DROPPED
    from mlperf_ops.catalogue.folders import more_folders
    from mlperf_ops.run_plan import FULL_LOGS, REPORT, TREE

_RECORD = "complete.json"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Compare what `mlperf-ops aggregate`, `check` and `report` read and wrote; in doubt they look for themselves."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `unchanged`, and then the answers that were given; or write down the answers of this play."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        run = controller.run_folder(given.get("results", ""), variables)
        known: dict[str, Any] = {}
        try:
            if self._task.check_mode:
                why = "check mode"
            elif given.get("state", "compared") == "remembered":
                why = _remember(run, given)
            else:
                known, why = _compare(run, given)
        except (AnsibleActionFail, controller.errors.MlperfOpsError, OSError, ValueError, KeyError, TypeError) as error:
            why = str(error)  # nothing here may keep a submission from being built and checked
        answers = known if not why else {}
        return {**result, "changed": False, "unchanged": not why, "why": why, "began_ns": time.time_ns(), **answers}


def _compare(run: Path, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what was remembered, and why it does not hold, "" when it does."""
    if not boolean(given.get("trust", True)):
        return {}, "submission_trust is false"
    path = _record(run)
    if not path.is_file():
        return {}, "no verdict is remembered"
    if once.note_path(once.DROPPED).is_file() or (run / DROPPED).is_file():
        return {}, "hosts dropped out, now or before"
    kept = controller.files.read_json(path)
    if kept["stamp"] != _stamp(run, given["checker"]):
        return {}, "something was changed since"
    return {"aggregate": kept["aggregate"], "report": kept["report"]}, ""


def _remember(run: Path, given: dict[str, Any]) -> str:
    """Write down the answers, unless something changed while they were found; return why not."""
    path = _record(run)
    if once.note_path(once.DROPPED).is_file():
        return "hosts dropped out"
    tree = run / TREE
    inputs = signature([run], leave_out=[tree, run / FULL_LOGS, path.parent, run / controller.runlock.OWNER_FILE])
    if inputs.newest_ns >= int(given["began_ns"]) or signature([tree]).newest_ns >= int(given["checked_ns"]):
        path.unlink(missing_ok=True)
        return "something was changed meanwhile"
    answers = {"aggregate": given["aggregate"], "report": given["report"]}
    controller.runlock.acquire(run)
    controller.files.write_json(path, {"schema": 1, "stamp": _stamp(run, given["checker"]), **answers})
    return ""


def _record(run: Path) -> Path:
    return run / REPORT / _RECORD


def _stamp(run: Path, checker: dict[str, Any]) -> str:
    """Return the digest of all that the verdict depends on: results, tree, report, rules, code and official checker."""
    official = [Path(checker["checker"])] if checker.get("checker") else []
    leave_out = [_record(run), run / controller.runlock.OWNER_FILE, *(path / ".git" for path in official)]
    signed = signature([run, controller.package(), *more_folders(), *official], leave_out)
    return str(controller.files.sha256_json([sys.version, checker.get("note", ""), signed.digest]))
