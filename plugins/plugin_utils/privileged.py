"""Call a module as root out of an action whose task is not privileged.

Cells run as the account that Ansible logs in with, so the task that runs them does not become root. What a cell needs
of the host's knobs does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_METHOD = "ansible_become_method"
_SETTINGS = ("ansible_become_", "ansible_sudo_", "ansible_doas_", "ansible_su_")


@contextlib.contextmanager
def as_root(action: ActionBase, variables: Mapping[str, Any]) -> Iterator[None]:
    """Let module calls of an action be privileged, unless they are already or `mlperf_become` is false.

    Raises:
        AnsibleActionFail: ansible_become_method names no become plugin.
    """
    connection = action._connection  # noqa: SLF001  # as Ansible's own actions do
    host = variables["hostvars"][variables["inventory_hostname"]]  # resolves templates
    if connection.become is not None or not host.get("mlperf_become", True):
        yield
        return
    method = str(host.get(_METHOD) or action._task.become_method or "sudo")  # noqa: SLF001
    plugin = become_loader.get(method)
    if plugin is None:
        raise AnsibleActionFail(f"ansible_become_method: there is no become plugin '{method}'")
    given = {str(name): host[name] for name in host if str(name).startswith(_SETTINGS)}
    plugin.set_options(var_options=controller.plain(given))
    connection.set_become_plugin(plugin)
    try:
        yield
    finally:
        connection.set_become_plugin(None)
