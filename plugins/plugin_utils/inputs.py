"""What decides how a host has to be, as digests: the plan, the variables, the code, and what was collected."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import bundles, controller, once

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.power import rejected

_COLLECTION = Path(__file__).resolve().parents[2]
_CODE = {".py", ".yml"}
_PREFIX = "mlperf_"
_OWN = "host_unchanged"  # how to look is nothing that a host depends on


def given(plan: Mapping[str, Any], host: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each kind of input, as far as it is there before a run.

    Raises:
        AnsibleActionFail: A variable cannot be resolved.
    """
    cells = controller.planned_cells(plan, host["name"])
    components = [one for one in plan["components"] if one["name"] in host["components"]]
    # In which order the cells run depends on other hosts, and is nothing that this one has to be prepared for.
    asked_host = {key: value for key, value in host.items() if key != "order"}
    asked = [asked_host, controller.question(plan, cells)["cells"], components, plan["round"]]
    return {
        "plan": controller.files.sha256_json(asked),
        "variables": controller.files.sha256_json(_variables(host["name"], variables)),
        "code": _code(str(host["requirements"] or "")),
    }


def collected(run: Path, name: str) -> dict[str, str]:
    """Return the digest of what this controller holds of a host.

    Raises:
        AnsibleActionFail: A file is not there, or an attempt that it names.
    """
    folder = run / "hosts" / name
    try:
        with controller.sentences():
            cells: Any = controller.files.read_json(folder / "cells.json")
        names = ["cells.json", "facts.json"]
        for cell in cells["cells"]:
            names += [f"{cell['path']}/{one}" for one in ("result.json", "manifest.json")]
        digests = [controller.files.sha256_file(folder / one) for one in names]
    except (OSError, KeyError, TypeError) as error:
        raise AnsibleActionFail(f"not all is collected in {folder}: {error}") from None
    return {"collected": controller.files.sha256_json(digests)}


def lacking(plan: Mapping[str, Any], run: Path, name: str) -> str:
    """Return a planned cell of a host that has no good result here, "" when all have.

    Raises:
        AnsibleActionFail: What was collected cannot be read.
    """
    folder = run / "hosts" / name
    with controller.sentences():
        held: Any = controller.files.read_json(folder / "cells.json")
        found = {cell["key"]: cell for cell in held["cells"]}
        rejected_power = rejected.rejected(folder)
        for cell in controller.question(plan, controller.planned_cells(plan, name))["cells"]:
            one = found.get(cell["key"])
            if one is None or (one["verdict"], one["request_sha256"]) != ("valid", cell["request_sha256"]):
                return str(cell["key"])
            result: Any = controller.files.read_json(folder / one["path"] / "result.json")
            if result["verdict"] != "valid" or result.get("tainted") or one["path"] in rejected_power:
                return str(cell["key"])
    return ""


def _variables(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    values = variables["hostvars"][name]
    prefixes = (_PREFIX, *(f"{path.name}_" for path in (_COLLECTION / "roles").iterdir() if path.name != _OWN))
    return {one: controller.value(name, values, one) for one in sorted(map(str, values)) if one.startswith(prefixes)}


def _code(requirements: str) -> str:
    """Return one digest of all code that the hosts depend on; read once per play."""
    package = controller.package()
    lock = package / "catalogue" / "locks" / requirements

    def read() -> dict[str, Any]:
        files = [*bundles.folder_files(_COLLECTION / "plugins"), *bundles.folder_files(_COLLECTION / "roles")]
        parts = [bundles.tree_sha256(one for one in files if one[1].suffix in _CODE)]
        parts.append(bundles.tree_sha256(bundles.harness_files(package)))  # with the version of the package
        parts.append(controller.files.sha256_file(lock) if requirements and lock.is_file() else "")
        return {"code": controller.files.sha256_json(parts)}

    return str(once.answer(["code", str(lock)], read)["code"])
