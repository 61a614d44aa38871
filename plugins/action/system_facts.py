"""Action: write the facts of a host into facts.json of the run."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Run the module host_facts and keep its answer as a file."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write hosts/<host>/facts.json when it is different."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        controller.package()
        run = controller.run_folder(given.get("results", ""), variables)
        path = run / "hosts" / variables["inventory_hostname"] / "facts.json"
        try:
            answer = self._collect(variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        if answer.get("failed"):
            return {**result, **answer}
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        after = controller.files.pretty_json(controller.plain(answer["facts"]))
        if not self._task.check_mode:
            with controller.sentences():
                controller.runlock.acquire(run)
                controller.files.write_json(path, controller.plain(answer["facts"]))
        return {
            **result,
            "changed": before != after,
            "msg": str(path),
            "elapsed_ms": answer.get("elapsed_ms"),
            "waited_ms": answer.get("waited_ms"),
            "diff": {"before": before, "after": after, "before_header": str(path), "after_header": str(path)},
        }

    def _collect(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Ask the module as root; on a host that does not let us become root, as the account that we have.

        Only the memory modules need root, and the facts name the reason when they are not told.
        """
        if self._connection.become is None:
            return self._ask(variables)
        try:
            answer = self._ask(variables)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:  # such as a missing password
            answer = {"failed": True, "msg": str(error)}
        if answer.get("failed"):
            self._connection.set_become_plugin(None)
            retried = self._ask(variables)
            return answer if retried.get("failed") else retried
        return answer

    def _ask(self, variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="mlperf_ops.lab.host_facts", module_args={}, task_vars=variables, wrap_async=False
        )
        return answer
