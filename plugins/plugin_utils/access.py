"""How Ansible reaches a host, by variables, configuration and command line, as `mlperf_ops.doctor` wants to know it.

The one place that resolves it, so that everything of ours goes the way that Ansible goes.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible import constants
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

# Of the connection plugin ssh: what decides where and as whom Ansible logs in.
_OPTIONS = ("host", "port", "remote_user", "private_key_file", "host_key_checking", "ssh_executable", "password")
_ARGUMENTS = ("ssh_args", "ssh_common_args", "ssh_extra_args")
_BECOME_PASSWORDS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")


def of(name: str, values: Any, play: Any) -> dict[str, Any]:  # noqa: ANN401  # HostVars, PlayContext
    """Return the fields of Access for a host.

    Raises:
        AnsibleActionFail: A template of its variables does not work.
    """
    connection = controller.value(name, values, "ansible_connection") if "ansible_connection" in values else None
    access = {"connection": connection or constants.DEFAULT_TRANSPORT, "address": name}
    for field, variable in (("python", "ansible_python_interpreter"), ("become_method", "ansible_become_method")):
        if variable in values:
            access[field] = str(controller.value(name, values, variable))
    if any(one in values for one in _BECOME_PASSWORDS) or play.become_pass:
        access["has_become_password"] = True
    if access["connection"] not in {"ssh", "smart"}:
        return access
    known = constants.config.get_plugin_vars("connection", "ssh")
    given = {one: controller.value(name, values, one) for one in known if one in values}
    options = {one: _option(one, given) for one in (*_OPTIONS, *_ARGUMENTS)}
    access |= {
        "address": str(options["host"] or name),
        "port": int(options["port"]) if options["port"] else None,
        "user": options["remote_user"] or None,
        "key_file": options["private_key_file"] or None,
        "host_key_checking": options["host_key_checking"] is not False,
        "ssh": options["ssh_executable"] or "ssh",
        "arguments": [word for one in _ARGUMENTS for word in shlex.split(options[one] or "")],
    }
    password = options["password"] or play.password
    return {**access, "password": str(password)} if password else access


def _option(name: str, given: dict[str, Any]) -> Any:  # noqa: ANN401  # any option
    """Return an option of the ssh connection: variable, command line, environment, ansible.cfg, default."""
    value, _ = constants.config.get_config_value_and_origin(
        name, plugin_type="connection", plugin_name="ssh", variables=given
    )
    return controller.plain(value)
