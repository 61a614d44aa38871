"""What `mlperf-ops plan` is asked: the variables of all SUTs as Ansible resolves them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

_PREFIX = "mlperf_"
_ROLES = Path(__file__).resolve().parents[2] / "roles"  # of this checkout or collection


def lab(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lab for `mlperf-ops plan --vars=-`, out of the variables of any host."""
    groups = controller.plain(variables.get("groups") or {})
    hosts = {name: variables["hostvars"][name] for name in groups.get("all", [])}
    roles, role_variables = _role_variables(hosts)
    return {
        "groups": groups,
        "roles": roles,
        "role_variables": role_variables,
        "inventory": _as_written(controller.inventory_source(variables)),
        "inventory_dir": str(controller.inventory_folder(variables).absolute()),
        "hosts": {name: _resolved(name, hosts[name]) for name in groups.get("sut", [])},
    }


def _resolved(host: str, variables: Any) -> dict[str, Any]:  # noqa: ANN401  # Ansible's HostVars
    """Return a host's mlperf_* variables as JSON values."""
    names = sorted(str(name) for name in variables if str(name).startswith(_PREFIX))
    return {name: controller.value(host, variables, name) for name in names}


def _role_variables(hosts: dict[str, Any]) -> tuple[dict[str, list[str]], dict[str, dict[str, dict[str, Any]]]]:
    """Find the variables that are named after a role which does not know them or will refuse their value.

    Returns:
        What the roles that are named know; and host -> variable -> its value and what Ansible says against it ("": the
        role does not know the variable). Where all is right this costs a walk over names and a few look-ups.
    """
    specs = {path.parts[-3]: path for path in _ROLES.glob("*/meta/argument_specs.yml")}
    prefixes = tuple(f"{role}_" for role in specs)
    named = {host: [str(name) for name in values if str(name).startswith(prefixes)] for host, values in hosts.items()}
    every = {name for names in named.values() for name in names}
    roles = {role: _options(path) for role, path in specs.items() if any(name.startswith(f"{role}_") for name in every)}
    known = {name: option for options in roles.values() for name, option in options.items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for host, names in named.items():
        for name in names:
            value = controller.value(host, hosts[host], name)
            told = _objection(name, value, known[name]) if name in known else ""
            if told is not None:
                found.setdefault(host, {})[name] = {"value": value, "objection": told}
    return {role: sorted(options) for role, options in roles.items()}, found


def _options(specs: Path) -> dict[str, dict[str, Any]]:
    """Return the options of a role, of all its entry points."""
    entries = yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"].values()
    return {name: option for entry in entries for name, option in (entry.get("options") or {}).items()}


def _objection(name: str, value: Any, option: dict[str, Any]) -> str | None:  # noqa: ANN401  # any JSON value
    """Return what Ansible would say of a value when the role starts, None when nothing."""
    spec = {name: _only_types(option)}
    told = ArgumentSpecValidator(spec).validate({name: value}).error_messages
    return str(told[0]) if told else None


def _only_types(option: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an argument spec of a role has beyond one of a module."""
    kept = {key: value for key, value in option.items() if key not in {"description", "version_added", "required"}}
    if "options" in kept:
        kept["options"] = {
            name: {**_only_types(one), "required": bool(one.get("required"))} for name, one in kept["options"].items()
        }
    return kept


def _as_written(source: Path) -> str:
    """Return the inventory as the user would write it: relative to the current folder when it is below."""
    relative = os.path.relpath(source)
    return str(source) if relative.startswith("..") else relative
