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
  clean_hosts:
    description:
      - Remove the logs of each attempt from the host after every file of the controller's copy was verified.
      - Read by the action only.
    type: bool
    default: false
  clean:
    description: Path and digests of the attempts whose copy was verified just now. Given by the action.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Lists what would be fetched, removes nothing.
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
lacking:
  description:
    - Cells whose attempts cannot be told, because the host does not hold their model or data set any more, each with
      the reason.
  returned: success
  type: dict
removed_bytes:
  description: Size of the logs that were removed from the host.
  returned: when O(clean) was given
  type: int
  sample: 1250000000
home:
  description: The absolute path of mlperf_home.
  returned: success
  type: str
  sample: /home/lab/mlperf
"""

# Ansible reads the documentation above as the head of the file.
import json  # noqa: E402
import re  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_agent, host_store  # noqa: E402

COLLECTED = "collected.json"
FILE = re.compile(r"(?:(?:power|ranging|run_1)/)?[^./][^/]*")  # of an attempt, or of its power measurement
KEPT = ("spec.json",)  # with result.json and manifest.json: the cell still counts as done

ARGUMENTS = {
    "results": {"type": "str", "default": ""},
    "home": {"type": "str"},
    "question": {"type": "dict", "default": {}},
    "clean_hosts": {"type": "bool", "default": False},
    "clean": {"type": "list", "elements": "dict", "default": []},
}


def listed(home: Path, question: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the cells whose newest attempt has ended, with the digests that identify it, and those in doubt.

    Which attempts of a cell are of this plan is told by the model and data that it names; where another play has
    provisioned the host for something else since, that cannot be told of that cell. It keeps no other from coming.
    """
    found, lacking = [], {}
    for cell in host_agent.ask(home, "status", {**question, "tolerant": True})["cells"]:
        if cell["state"] == "lacking":
            lacking[cell["key"]] = "; ".join(cell["reasons"])
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
                "cleaned": (attempt / COLLECTED).is_file(),
            }
        )
    return found, lacking


def clean(home: Path, verified: list[dict[str, Any]]) -> int:
    """Remove the logs of attempts whose copy was verified, and return their size.

    Raises:
        HostError: An attempt is not the one that was verified; it is left alone.
    """
    in_all = 0
    for one in verified:
        attempt = home / one["path"]
        for name in ("manifest.json", "result.json"):
            if host_store.sha256_file(attempt / name) != one[name]:
                changed = f"{attempt / name} has changed since its copy was verified"
                raise host_store.HostError(changed, "nothing was removed of this attempt")
        listed = json.loads((attempt / "manifest.json").read_text(encoding="utf-8"))["files"]
        logs = [name for name in sorted(listed) if name not in KEPT and FILE.fullmatch(name)]
        sizes = {name: (attempt / name).stat().st_size for name in logs if (attempt / name).is_file()}
        note = host_store.pretty_json({"schema": 1, "removed": sizes})
        host_store.write_atomic(attempt / COLLECTED, note)  # first: a half-cleaned attempt says what it is
        for name, size in sizes.items():
            (attempt / name).unlink()
            in_all += size
    return in_all


def main() -> None:
    """List, or clean."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        home = host_store.expand(module.params["home"])
        if module.check_mode and host_agent.provision(home) is None:
            module.exit_json(changed=False, home=str(home), cells=[], lacking={})
        if module.params["clean"]:
            removed = 0 if module.check_mode else clean(home, module.params["clean"])
            module.exit_json(changed=True, home=str(home), removed_bytes=removed)
        cells, lacking = listed(home, module.params["question"])
    except host_store.HostError as error:
        module.fail_json(msg=str(error))
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=f"the results below {module.params['home']} cannot be read: {error}")
    else:
        module.exit_json(changed=False, home=str(home), cells=cells, lacking=lacking)


if __name__ == "__main__":
    main()
