"""Action: say how Ansible reaches the hosts of the plan, to the command that asked."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import access, controller, leases

# The pipe of the command that started the play: what goes through it, passwords too, touches no disk and no screen.
_PIPE = "MLPERF_OPS_ACCESS_PIPE"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Resolve the connection of each SUT and lease owner; one whose variables do not work has an error instead."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write one JSON object into the pipe; nothing of it becomes part of the result."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        controller.package()
        pipe = os.environ.get(_PIPE, "")
        if not pipe.isdigit():
            raise AnsibleActionFail("this is called by 'mlperf-ops status --live', 'logs', 'shell' and 'lease' only")
        hosts: dict[str, Any] = {}
        asked = controller.sut_variables(variables)
        for name in leases.owner_names(asked):
            if name in variables["hostvars"]:
                asked.setdefault(name, variables["hostvars"][name])
        for name, values in asked.items():
            try:
                hosts[name] = {"access": access.of(name, values, self._play_context)}
            except AnsibleActionFail as error:  # noqa: PERF203  # each host for itself
                hosts[name] = {"error": str(error.message)}
        with open(int(pipe), "w", encoding="utf-8") as stream:
            json.dump({"hosts": hosts}, stream)
        return {**result, "changed": False}
