"""Action: ask a host about its store, with what the plans on this controller refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import bundles, controller

_MODULE = "mlperf_ops.lab.store"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Pass the question on and keep the answer for the command that asked."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        name = variables["inventory_hostname"]
        arguments = {
            "home": given.get("home", ""),
            "verb": given.get("verb", "ls"),
            "keep": _keep(Path(given.get("results") or "results"), name),
        }
        answer = self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False)
        result.update(answer)
        if given.get("answers"):
            kept = {key: answer.get(key) for key in ("failed", "msg", "home", "parts", "faults", "changed")}
            controller.files.write_json(Path(given["answers"]) / f"{name}.json", {"host": name, **kept})
        return result


def _keep(results: Path, name: str) -> dict[str, Any]:
    """Return the digests, locks and unpinned components that any plan refers to for a host."""
    package = controller.package()
    sha256s, names, locks = {bundles.tree_sha256(bundles.harness_files(package))}, set(), set()
    for path in sorted(results.glob("*/plan.json")):
        with controller.sentences():
            plan: dict[str, Any] = controller.files.read_json(path)
        for host in (one for one in plan.get("hosts", []) if one["name"] == name):
            lock = package / "catalogue" / "locks" / str(host["requirements"])
            if host["requirements"] and lock.is_file():
                locks.add(controller.files.sha256_file(lock))
            for component in (one for one in plan["components"] if one["name"] in host["components"]):
                if component["sha256"]:
                    sha256s.add(component["sha256"])
                else:
                    names.add(component["name"])
    return {"sha256s": sorted(sha256s), "names": sorted(names), "lock_sha256s": sorted(locks)}
