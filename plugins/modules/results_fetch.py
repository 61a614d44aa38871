"""Ansible module: what a host has to hand over."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: results_fetch
short_description: List the attempts that stand for a host's cells
version_added: "0.1.0"
description:
  - Asks the host's agent which attempt stands for each cell, and returns the digests of its C(manifest.json) and
    C(result.json).
  - Usually called through the action of the same name, which fetches only what is missing on the controller, piece by
    piece, verifies it and writes C(cells.json). A fetch that was interrupted goes on where it stopped.
options:
  results:
    description:
      - Results folder of the run on the controller, that holds C(plan.json). Empty takes C(results/<run id>).
      - Read by the action only.
    type: str
    default: ""
  home:
    description: mlperf_home of the host, absolute or starting with C(~). Given by the action.
    type: str
  question:
    description: The agent's input. Given by the action.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Lists what would be fetched.
    support: full
  diff_mode:
    description: Shows the attempts that would be fetched.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Bring the results of the host's cells to the controller
  mlperf_ops.lab.results_fetch:
    results: results/lab
"""

RETURN = r"""
cells:
  description: Key, digests, verdict and attempt of each cell that has an attempt that ended.
  returned: success
  type: list
  elements: dict
home:
  description: The absolute path of mlperf_home.
  returned: success
  type: str
  sample: /home/lab/mlperf
"""

# Ansible reads the documentation above as the head of the file.
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_agent, host_store  # noqa: E402

ARGUMENTS = {
    "results": {"type": "str", "default": ""},
    "home": {"type": "str"},
    "question": {"type": "dict", "default": {}},
}


def listed(home: Path, question: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells whose newest attempt has ended, with the digests that identify it."""
    found = []
    for cell in host_agent.ask(home, "status", question)["cells"]:
        if not cell.get("path") or not cell.get("verdict"):
            continue
        attempt = home / cell["path"]
        result = json.loads((attempt / "result.json").read_text(encoding="utf-8"))
        found.append(
            {
                "key": cell["key"],
                "spec_sha256": cell["spec_sha256"],
                "request_sha256": result["request_sha256"],
                "attempt": cell["attempt"],
                "path": cell["path"],
                "verdict": cell["verdict"],
                "simulated": result["simulated"],
                "manifest_sha256": host_store.sha256_file(attempt / "manifest.json"),
                "result_sha256": host_store.sha256_file(attempt / "result.json"),
            }
        )
    return found


def main() -> None:
    """List."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        home = host_store.expand(module.params["home"])
        if module.check_mode and host_agent.provision(home) is None:
            module.exit_json(changed=False, home=str(home), cells=[])
        cells = listed(home, module.params["question"])
    except host_store.HostError as error:
        module.fail_json(msg=str(error))
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=f"the results below {module.params['home']} cannot be read: {error}")
    else:
        module.exit_json(changed=False, home=str(home), cells=cells)


if __name__ == "__main__":
    main()
