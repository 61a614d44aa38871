"""Action: bring the attempts that the controller lacks, verify them, and write which one stands for each cell."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, cast

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_MODULE = "mlperf_ops.lab.results_fetch"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask, compare by digest, fetch one archive, verify, rename into place."""

    TRANSFERS_FILES = True

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
        question = controller.question(plan, cells)
        try:
            answer = self._module({"home": host["home"], "question": question}, variables)
            if answer.get("failed"):
                return {**result, **answer}
            held = [_Held(cell, folder, plan["run_id"], host["system"]) for cell in answer["cells"]]
            lacking = [one for one in held if not one.is_here()]
            result["msg"] = f"{len(lacking)} of {len(held)} attempts fetched, {len(cells)} cells are planned"
            result["diff"] = {"before": "", "after": "".join(f"{one.target}\n" for one in lacking)}
            result["changed"] = bool(lacking)
            if self._task.check_mode:
                return result
            if lacking:
                with tempfile.TemporaryDirectory(prefix="mlperf-ops.") as scratch:
                    self._fetch(host["home"], lacking, Path(scratch), variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        result["changed"] = _write_cells(run, folder, name, host["system"], held) or result["changed"]
        return result

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer

    def _fetch(self, home: str, lacking: list[_Held], scratch: Path, variables: dict[str, Any]) -> None:
        self._make_tmp_path()
        shell = self._connection._shell  # noqa: SLF001  # as Ansible's own actions do
        remote = shell.join_path(shell.tmpdir, "attempts.tar")
        packed = self._module(
            {"home": home, "archive": remote, "attempts": [one.cell["path"] for one in lacking]}, variables
        )
        if packed.get("failed"):
            raise AnsibleActionFail(packed["msg"])
        archive = scratch / "attempts.tar"
        self._connection.fetch_file(remote, str(archive))
        _unpack(archive, scratch)
        for one in lacking:
            one.take(scratch / one.cell["path"])


class _Held:
    """One attempt that a host holds, and its place on the controller."""

    def __init__(self, cell: dict[str, Any], folder: Path, run_id: str, system: str) -> None:
        self.cell = cell
        prefix = f"runs/{run_id}/{system}/"
        if not cell["path"].startswith(prefix):
            raise AnsibleActionFail(f"{cell['key']}: unexpected folder {cell['path']} on the host")
        self.place = cell["path"][len(prefix) :]
        self.target = folder / self.place

    def is_here(self) -> bool:
        """Tell whether the very attempt is here already; it never changes once it is."""
        wanted = {"manifest.json": self.cell["manifest_sha256"], "result.json": self.cell["result_sha256"]}
        found = {name: self.target / name for name in wanted}
        if not all(path.is_file() for path in found.values()):
            return False
        different = [name for name, path in found.items() if controller.files.sha256_file(path) != wanted[name]]
        if different:
            raise AnsibleActionFail(
                f"{self.target} holds another attempt than the host: {', '.join(different)} differ "
                "(measured data is never overwritten; move the folder away, or use another mlperf_run_id)"
            )
        return True

    def take(self, source: Path) -> None:
        """Verify a fetched attempt by its manifest and move it into place.

        Raises:
            AnsibleActionFail: A file is missing or has another digest.
        """
        with controller.sentences():
            files = dict(cast("dict[str, str]", controller.files.read_json(source / "manifest.json")["files"]))
        files["manifest.json"] = self.cell["manifest_sha256"]
        files["result.json"] = self.cell["result_sha256"]
        for name, sha256 in files.items():
            if not (source / name).is_file() or controller.files.sha256_file(source / name) != sha256:
                raise AnsibleActionFail(
                    f"{self.cell['key']}: {name} of {self.cell['path']} does not match its manifest "
                    "(nothing was taken over; look at the host's disk)"
                )
        self.target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=f".{self.target.name}."))
        shutil.rmtree(temporary)
        shutil.move(source, temporary)
        if self.target.exists():  # left by an interrupted fetch: it has no result.json or no manifest.json
            os.rename(self.target, self.target.with_name(f".incomplete.{temporary.name}"))
        os.rename(temporary, self.target)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack what a host has sent: plain files below the folder, and nothing else."""
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None or member.name.startswith("/") or ".." in member.name.split("/"):
                raise AnsibleActionFail(f"the host sent an unexpected entry '{member.name}' (nothing was taken over)")
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with stream, target.open("wb") as out:
                shutil.copyfileobj(stream, out)


def _write_cells(run: Path, folder: Path, name: str, system: str, held: list[_Held]) -> bool:
    """Write cells.json when it is different."""
    with controller.sentences():
        cells = controller.model.CollectedHost(
            host=name,
            system=system,
            cells=tuple(
                controller.model.CollectedCell(
                    key=one.cell["key"],
                    spec_sha256=one.cell["spec_sha256"],
                    request_sha256=one.cell["request_sha256"],
                    attempt=one.cell["attempt"],
                    path=one.place,
                    verdict=one.cell["verdict"],
                    simulated=one.cell["simulated"],
                )
                for one in held
            ),
        )
        controller.runlock.acquire(run)
        return controller.files.write_json(folder / "cells.json", controller.typed.dump(cells))
