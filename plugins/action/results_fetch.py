"""Action: bring the attempts that the controller lacks, verify them, and write which one stands for each cell."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, fetch, power_session

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.fetching import assemble, parts

_MODULE = "mlperf_ops.lab.results_fetch"
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask, compare by digest, fetch what is missing piece by piece, verify, rename into place."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return how many attempts came; a second, no-change run costs one module call."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        run = controller.run_folder(given.get("results", ""), variables)
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        name = variables["inventory_hostname"]
        host = controller.host_of(plan, name)
        cells = controller.planned_cells(plan, name)
        folder = run / "hosts" / name
        try:
            question = {**controller.question(plan, cells), **power_session.rejected_paths(plan, run, host)}
            answer = self._module({"home": host["home"], "question": question}, variables)
            if answer.get("failed"):
                return {**result, **answer}
            held = [_Held(cell, folder, plan["run_id"], host["system"]) for cell in answer["cells"]]
            lacking = [one for one in held if not one.is_here()]
            result["msg"] = f"{len(lacking)} of {len(held)} attempts fetched, {len(cells)} cells are planned"
            result["diff"] = {"before": "", "after": "".join(f"{one.wanted.target}\n" for one in lacking)}
            result["changed"] = bool(lacking)
            if self._task.check_mode:
                return result
            problems: list[str] = []
            if lacking:
                with controller.sentences():
                    controller.runlock.acquire(run)
                    source = fetch.source_of(self, answer["home"])
                    with fetch.alone(name, folder):
                        wanted = [one.wanted for one in lacking if not one.is_here()]
                        problems = assemble.bring(wanted, source, progress=fetch.progress_lines(name))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        # What could not come keeps the line that it had: cells.json names only what is here and whole.
        in_doubt = answer.get("lacking") or {}
        known = fetch.known_cells(folder) if problems or in_doubt else {}
        lines = [one.line() if one.wanted.target.is_dir() else known.get(one.cell["key"]) for one in held]
        lines += [known.get(key) for key in in_doubt]
        for key, why in in_doubt.items():
            display.display(f"{name}  {key}: whether there is anything new cannot be told: {why}", color="yellow")
        changed = fetch.write_cells(run, name, host["system"], [line for line in lines if line is not None])
        result["changed"] = changed or result["changed"]
        if problems:
            return {**result, "failed": True, "msg": "; ".join(problems)}
        # A text on the command line: "false" must remove nothing.
        wanted = boolean(given.get("clean_hosts") or False)
        return self._clean(answer["home"], held, result, variables) if wanted else result

    def _clean(self, home: str, held: list[_Held], result: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Remove from the host what was verified here just now, and nothing else."""
        todo = [one for one in held if not one.cell["cleaned"]]
        if not todo:
            return result
        with controller.sentences():
            for one in todo:
                parts.verify(one.wanted.target)
        os.sync()  # what the host gives up is on this disk
        verified = [one.identity() for one in todo]
        try:
            answer = self._module({"home": home, "clean": verified}, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001
        if answer.get("failed"):
            return {**result, **answer}
        removed = assemble.shown_bytes(answer["removed_bytes"])
        message = f"{result['msg']}; {removed} of {len(todo)} verified attempts were removed from the host"
        return {**result, "changed": True, "msg": message}

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer


class _Held:
    """One attempt that a host holds, and its place on the controller."""

    def __init__(self, cell: dict[str, Any], folder: Path, run_id: str, system: str) -> None:
        self.cell = cell
        self.place = fetch.place_of(cell["path"], run_id, system)
        self.wanted = parts.Wanted(cell["key"], cell["path"], folder / self.place)

    def identity(self) -> dict[str, str]:
        """Return what tells the host which attempt is meant."""
        digests = {"manifest.json": self.cell["manifest_sha256"], "result.json": self.cell["result_sha256"]}
        return {"path": self.cell["path"], **digests}

    def is_here(self) -> bool:
        """Tell whether the very attempt is here already; it never changes once it is."""
        target = self.wanted.target
        wanted = {"manifest.json": self.cell["manifest_sha256"], "result.json": self.cell["result_sha256"]}
        found = {name: target / name for name in wanted}
        if not all(path.is_file() for path in found.values()):
            return False
        different = [name for name, path in found.items() if controller.files.sha256_file(path) != wanted[name]]
        if different:
            raise AnsibleActionFail(
                f"{target} holds another attempt than the host: {', '.join(different)} differ "
                "(measured data is never overwritten; move the folder away, or use another mlperf_run_id)"
            )
        return True

    def line(self) -> Any:  # noqa: ANN401  # mlperf_ops.plan_model.CollectedCell, which may not be installed
        """Return the attempt's line of cells.json."""
        with controller.sentences():
            return fetch.collected_cell(self.place, controller.files.read_json(self.wanted.target / "result.json"))
