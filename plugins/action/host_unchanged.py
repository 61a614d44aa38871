"""Action: leave out a host that is exactly as it was when it was complete, and remember one that is complete now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, inputs, once, tuned

_MODULE = "mlperf_ops.lab.host_unchanged"
_GROUP = "host_unchanged"
_CLOCK_LIMIT_MS = 400  # default of the role time_sync


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Digest the inputs here, ask the module about the host; whatever is in doubt, the roles look for themselves."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return whether the host is unchanged, and `add_group` when it is: the strategies read it of any action."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = controller.plain(self._task.args)
        remember = given.get("state", "compared") == "remembered"
        try:
            run = controller.run_folder(given.get("results", ""), variables)
            trust = boolean(given.get("trust", True))
            why = self._remember(run, variables) if remember else self._compare(run, variables, trust=trust)
        except (AnsibleActionFail, OSError, ValueError, KeyError, TypeError) as error:
            why = str(error)  # nothing here may keep a host from the roles' own look
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        result.update(changed=False, unchanged=not why, why=why)
        return result if why or remember else {**result, "add_group": _GROUP}

    def _compare(self, run: Path, variables: dict[str, Any], *, trust: bool) -> str:
        """Return why the host is not unchanged, "" when it is."""
        name = variables["inventory_hostname"]
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        host = controller.host_of(plan, name)
        known = inputs.given(plan, host, variables)
        once.note(_note(run, name), controller.files.sha256_json(known))
        if not trust:
            return "host_unchanged_trust is false"
        if controller.plain(variables["hostvars"][name].get("host_components_read")) == "full":
            return "host_components_read is full, so every byte is read in every run"
        return self._ask("compared", plan, host, {**known, **inputs.collected(run, name)}, variables)

    def _remember(self, run: Path, variables: dict[str, Any]) -> str:
        """Return why the host is not remembered, "" when it is."""
        name = variables["inventory_hostname"]
        if self._task.check_mode or not _whole_run(variables):
            return "this run does not do everything"
        plan = controller.read_plan(run, check_mode=False)
        host = controller.host_of(plan, name)
        known = inputs.given(plan, host, variables)
        if once.noted(_note(run, name)) != controller.files.sha256_json(known):
            return "the inputs were not those before the roles looked"
        lacking = inputs.lacking(plan, run, name)
        if lacking:
            return f"{lacking} has no good result"
        return self._ask("remembered", plan, host, {**known, **inputs.collected(run, name)}, variables)

    def _ask(
        self, state: str, plan: dict[str, Any], host: dict[str, Any], known: dict[str, str], variables: dict[str, Any]
    ) -> str:
        name = host["name"]
        values = variables["hostvars"][name]

        def of(variable: str) -> Any:  # noqa: ANN401  # any JSON value
            return controller.value(name, values, variable) if variable in values else None

        limit = int(of("time_sync_offset_limit_ms") or _CLOCK_LIMIT_MS)
        arguments = {
            "state": state,
            "home": host["home"],
            "run_id": plan["run_id"],
            "inputs": known,
            "settings": tuned.state_of(host.get("tuning", {})),
            "folders": [str(one["path"]) for one in of("host_packages_folders") or []],
            "keeps_clock": boolean(of("time_sync_manage") or False),
            "clock_limit_ms": limit if of("time_sync_required") else 0,
        }
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=arguments, task_vars=variables, wrap_async=False
        )
        return str(answer.get("why") or answer.get("msg") or "") if not answer.get("unchanged") else ""


def _note(run: Path, name: str) -> str:
    return f"looked.{controller.files.sha256_json([str(run), name])}"


def _whole_run(variables: Mapping[str, Any]) -> bool:
    """Tell whether no part of the flow is left out by tags or by hand."""
    tags = [controller.plain(variables.get(name) or []) for name in ("ansible_run_tags", "ansible_skip_tags")]
    return tags == [["all"], []] and not context.CLIARGS.get("step")
