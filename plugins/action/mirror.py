"""Action: bring a services host the files of a mirror that it lacks, in archives of bounded size."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import bundles, controller

_MODULE = "mlperf_ops.lab.mirror"
_MANIFEST = "mirror.json"
_ARCHIVE_BYTES = 64 << 20  # what is lost when the connection breaks
display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask what is missing, bring it, and have it served. What arrived stays when the play is interrupted."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; a second, no-change run costs one module call."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        state = given.get("state", "applied")
        arguments = {key: value for key, value in given.items() if key != "source"}
        source = Path(str(given.get("source", ""))).expanduser()
        if state != "reverted":
            arguments["manifest"] = _manifest(source, str(given.get("source", "")))
            arguments["server"] = (controller.package() / "mirror" / "server.py").read_text(encoding="utf-8")
        try:
            answer = self._module(arguments, variables)
            missing = answer.get("missing") or []
            if state == "applied" and missing and not answer.get("failed") and not self._task.check_mode:
                answer = self._bring(source, missing, arguments, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        result.update(answer)
        for sentence in answer.get("could_not") or []:
            display.display(f"{variables['inventory_hostname']}  {sentence}", color="yellow")
        return result

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return answer

    def _bring(
        self, source: Path, missing: list[str], arguments: dict[str, Any], variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Bring files archive by archive, then have the mirror completed."""
        self._make_tmp_path()
        with tempfile.TemporaryDirectory(prefix="mlperf-ops.") as folder:
            for files in _batches(source, missing):
                archive = Path(folder) / "files.tar"
                size_bytes = bundles.write_tar(archive, files)
                display.display(
                    f"{variables['inventory_hostname']}  bringing {len(files)} files, {max(1, size_bytes >> 20)} MiB"
                )
                remote = self._connection._shell.join_path(  # noqa: SLF001  # as Ansible's own actions do
                    self._connection._shell.tmpdir,  # noqa: SLF001
                    archive.name,
                )
                self._transfer_file(str(archive), remote)
                self._fixup_perms2((self._connection._shell.tmpdir, remote))  # noqa: SLF001
                answer = self._module({**arguments, "staged": remote}, variables)
                if answer.get("failed"):
                    return answer
        answer = self._module({**arguments, "complete": True}, variables)
        return {**answer, "changed": True, "missing": missing}


def _manifest(source: Path, given: str) -> str:
    if not given:
        raise AnsibleActionFail("mirror_source is not set (name a folder that 'mlperf-ops mirror fetch' filled)")
    try:
        return (source / _MANIFEST).read_text(encoding="utf-8")
    except OSError as error:
        raise AnsibleActionFail(
            f"mirror_source {given} is no mirror: {error.strerror} (fill it with 'mlperf-ops mirror fetch')"
        ) from None


def _batches(source: Path, names: list[str]) -> Iterator[list[tuple[str, Path]]]:
    """Group files into archives; a file that is larger than an archive has one of its own."""
    batch: list[tuple[str, Path]] = []
    total = 0
    for name in names:
        path = source / name
        if not path.is_file():
            raise AnsibleActionFail(f"{name} is missing in the mirror {source} (run 'mlperf-ops mirror fetch' again)")
        size_bytes = path.stat().st_size
        if batch and total + size_bytes > _ARCHIVE_BYTES:
            yield batch
            batch, total = [], 0
        batch.append((name, path))
        total += size_bytes
    if batch:
        yield batch
