"""Action: bring a host what its cells need, and only what is missing there."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import bundles, controller, once

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import smoke_files

_MODULE = "mlperf_ops.lab.host_components"
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask the module what is missing, prepare that on the controller, transfer it, and let the module unpack it."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; a second, no-change run costs one module call."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        run = controller.run_folder(given.get("results", ""), variables)
        package = controller.package()
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        host = controller.host_of(plan, variables["inventory_hostname"])
        lock = _lock(package, host)
        harness = bundles.harness_files(package)
        staging = _Staging(given, harness, lock)
        arguments = {
            "home": host["home"],
            "run_id": plan["run_id"],
            "python": given.get("python", ""),
            "read": given.get("read", "auto"),
            "mirror_url": staging.mirror if isinstance(staging.mirror, str) else "",
            "lock_sha256": _sha256(lock),
            "harness_sha256": staging.harness_sha256,
            "components": _wanted(plan, host),
            "cells": _cells(plan, host["name"]),
            "tolerant": bool(plan.get("smoke")),
        }
        try:
            answer = self._module(arguments, variables)
            if answer.get("missing") and not answer.get("failed") and not self._task.check_mode:
                lacking = answer.get("lacking", {})
                if arguments["tolerant"]:
                    lacking = {**lacking, **staging.unobtainable(answer["missing"], run)}
                    answer["missing"] = [one for one in answer["missing"] if one.partition("/")[2] not in lacking]
                staged = self._stage(staging, answer, run, variables)
                answer = self._module({**arguments, "staged": staged, "lacking": lacking}, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        result.update(answer)
        if arguments["tolerant"] and not answer.get("failed"):
            self._tell_lacking(host["name"], run, answer.get("lacking", {}))
        if not answer.get("failed"):
            result["msg"] = f"{len(answer['missing'])} parts {'would be' if self._task.check_mode else 'were'} brought"
        return result

    def _tell_lacking(self, name: str, run: Path, lacking: dict[str, str]) -> None:
        """Say what a smoke run lacks, and keep it for its verdict."""
        for component, why in lacking.items():
            display.display(f"{name}  lacks {component}: {why}", color="red")
        if not self._task.check_mode:
            with controller.sentences():
                controller.runlock.acquire(run)
                smoke_files.note_lacking(run, name, lacking)

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer

    def _stage(
        self, staging: _Staging, answer: dict[str, Any], run: Path, variables: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Prepare what is missing and put it into the connection's temporary folder."""
        name = variables["inventory_hostname"]
        wanted = [item.partition("/")[2] for item in answer["missing"] if item.startswith("components/")]
        if wanted:
            display.display(f"{name}  preparing {', '.join(wanted)}")
        prepared = staging.prepare(wanted, run)
        staged = {}
        self._make_tmp_path()
        for item in answer["missing"]:
            archive, facts = staging.pack(item, prepared, answer)
            display.display(f"{name}  bringing {item}, {max(1, archive.stat().st_size >> 20)} MiB")
            remote = self._connection._shell.join_path(  # noqa: SLF001  # as Ansible's own actions do
                self._connection._shell.tmpdir,  # noqa: SLF001
                archive.name,
            )
            self._transfer_file(str(archive), remote)
            self._fixup_perms2((self._connection._shell.tmpdir, remote))  # noqa: SLF001
            staged[item] = {**facts, "archive": remote}
        return staged


class _Staging:
    """What is brought to hosts: prepared and packed once per play, whichever host asks first."""

    def __init__(self, given: dict[str, Any], harness: list[tuple[str, Path]], lock: Path | None) -> None:
        self._harness = harness
        self.harness_sha256 = bundles.tree_sha256(harness)
        self._lock = lock
        self._cache = str(given.get("cache", ""))
        with controller.sentences():
            self.mirror = controller.package_files.mirror_place(str(given.get("mirror", "")))

    def prepare(self, names: list[str], run: Path) -> dict[str, dict[str, str]]:
        """Fetch, verify and convert components; return name -> path and sha256."""
        if not names:
            return {}
        argv = ["components", "--plan", str(run / "plan.json")]
        for option, value in (("--cache", self._cache), ("--mirror", str(self.mirror or ""))):
            argv += [option, value] if value else []
        for name in names:
            argv += ["--name", name]
        answer = once.answer(argv, lambda: controller.mlperf_ops(argv).data)
        return {item["name"]: item for item in answer["components"]}

    def unobtainable(self, missing: list[str], run: Path) -> dict[str, str]:
        """Return why components cannot be prepared, each by itself, so that one keeps no other away."""
        names = [item.partition("/")[2] for item in missing if item.startswith("components/")]
        return {name: told for name in names if (told := self._obstacle(name, run))}

    def _obstacle(self, name: str, run: Path) -> str:
        try:
            self.prepare([name], run)
        except AnsibleActionFail as error:
            return str(error.message)
        return ""

    def pack(self, item: str, prepared: dict[str, dict[str, str]], host: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """Return the archive of one missing item and what the module has to know of it."""
        member, sha256 = "", ""
        if item == "harness":
            files, name = self._harness, f"harness.{self.harness_sha256}"
        elif item == "python":
            files, name = self._installer(host)
        else:
            one = prepared[item.partition("/")[2]]
            path, sha256 = Path(one["path"]), one["sha256"]
            member = "" if path.is_dir() else path.name
            files = bundles.folder_files(path) if path.is_dir() else [(path.name, path)]
            name = f"component.{sha256}"
        archive = once.archive(name, lambda path: bundles.write_tar(path, files))
        return archive, {"bytes": 2 * archive.stat().st_size, "member": member, "sha256": sha256}

    def _installer(self, host: dict[str, Any]) -> tuple[list[tuple[str, Path]], str]:
        """Return what the environment is made of; with a mirror only the files for the host's own interpreter."""
        if self._lock is None:
            raise AnsibleActionFail("the host asks for an environment although the plan needs none")
        folder = self.mirror if isinstance(self.mirror, Path) else None
        tag, machine = str(host["python_tag"]), str(host["machine"])
        files = bundles.installer_files(self._lock, folder, tag, machine)
        return files, f"python.{_sha256(self._lock)}.{tag}.{machine}"


def _cells(plan: dict[str, Any], name: str) -> list[dict[str, str]]:
    """Return where the results of a host's cells are, and of which requests: what has to run is verified in full."""
    return [
        {
            "path": f"{plan['run_id']}/{controller.cell_key(cell['cell'])}",
            "request_sha256": controller.files.sha256_json(cell["request"]),
        }
        for cell in controller.planned_cells(plan, name)
    ]


def _lock(package: Path, host: dict[str, Any]) -> Path | None:
    if not host["requirements"]:
        return None
    lock = package / "catalogue" / "locks" / str(host["requirements"])
    if not lock.is_file():
        raise AnsibleActionFail(f"the Python lock {lock} is missing (the round names it: loadgen.requirements)")
    return lock


def _sha256(lock: Path | None) -> str:
    return controller.files.sha256_file(lock) if lock else ""


def _wanted(plan: dict[str, Any], host: dict[str, Any]) -> list[dict[str, str]]:
    """Return the host's components as the module's option wants them.

    Hosts may hold their own files of one component at different paths, so the cells' requests say which entry is meant.
    """
    own: dict[str, str] = {}
    labels: dict[str, str] = {}
    for cell in controller.planned_cells(plan, host["name"]):
        for part in (cell["request"]["model"], cell["request"]["dataset"]):
            if part is not None:
                own[part["component"]] = part["path"]
                labels[part["component"]] = part.get("label_file", "")
    return [
        {
            "name": component["name"],
            "kind": "data set" if component["kind"] == "dataset" else component["kind"],
            "sha256": component["sha256"] or "",
            "path": component["path"] or "",
            "label_file": labels.get(component["name"], ""),
        }
        for component in plan["components"]
        if component["name"] in host["components"] and (component["path"] or "") == own.get(component["name"], "")
    ]
