"""Callback: keep of each host that drops out of a run at which task and why, for the report that the run ends with."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, once

DOCUMENTATION = r"""
---
name: dropped_hosts
type: aggregate
short_description: Keep why hosts drop out of a run
version_added: "0.1.0"
description:
  - Ansible itself says it once, where it happens; minutes later the report names the hosts that lack results.
  - The ansible.cfg of the project enables it.
requirements:
  - enabled in configuration
author:
  - mlperf-ops contributors
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Notes the first failure of each host; a host that fails takes part in no later play."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mlperf_ops.lab.dropped_hosts"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Start with no host."""
        super().__init__()
        self._hosts: dict[str, dict[str, str]] = {}

    def v2_runner_on_unreachable(self, result: Any) -> None:  # noqa: ANN401  # Ansible's TaskResult
        """Note a host that cannot be reached any more."""
        self._keep(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002  # see above
        """Note a host whose task failed."""
        if not ignore_errors:
            self._keep(result)

    def _keep(self, result: Any) -> None:  # noqa: ANN401  # see above
        # Public names since ansible-core 2.19; older ones have the attributes alone.
        host, task = result._host.get_name(), result._task.get_name()  # noqa: SLF001
        said = " ".join(str(controller.plain(result._result).get("msg") or "it failed").split())  # noqa: SLF001
        if host not in self._hosts:
            self._hosts[host] = {"task": task.rpartition(" : ")[2], "message": said}
            once.note(once.DROPPED, json.dumps({"hosts": self._hosts}))
