"""Ansible module: is this host exactly as it was when it was complete."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_unchanged
short_description: Say whether a host is exactly as it was when it was last complete
version_added: "0.1.0"
description:
  - Compares the inputs and the state of a host with C(state/complete.json), which the last complete run has left there.
    Needs no privileges; reads signatures of files, values of knobs and names of results, no content.
  - The action of the same name adds a host that is unchanged to the group C(host_unchanged), which the later plays of
    C(run_inference.yml) leave out. Anything unreadable, missing or unexpected means that it is not.
options:
  state:
    description:
      - C(compared) looks and changes nothing.
      - C(remembered) writes the stamp. The action asks for it when all planned cells of the host have good results.
    type: str
    choices: [compared, remembered]
    default: compared
  results:
    description:
      - Results folder of the run on the controller, that holds C(plan.json). Empty takes C(results/<run id>).
      - Read by the action only.
    type: str
    default: ""
  trust:
    description:
      - Without it no host is called unchanged. Read by the action only.
    type: bool
    default: true
  home:
    description: mlperf_home of the host, absolute or starting with C(~). Given by the action.
    type: str
  run_id:
    description: Name of the run. Given by the action.
    type: str
    default: ""
  inputs:
    description: Digest of each kind of input. Given by the action.
    type: dict
    default: {}
  settings:
    description: The tuning that the plan asks for. Given by the action.
    type: dict
    default: {}
  folders:
    description: Work directories that the inventory asks for. Given by the action.
    type: list
    elements: str
    default: []
  keeps_clock:
    description: Whether chrony of this host is ours to manage. Given by the action.
    type: bool
    default: false
  clock_limit_ms:
    description: How far off the clock may be; 0 when nobody asks. Given by the action.
    type: int
    default: 0
attributes:
  check_mode:
    description: Compares; remembers nothing.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Leave out the hosts that are as they were
  mlperf_ops.lab.host_unchanged:
    state: compared
"""

RETURN = r"""
unchanged:
  description: Whether the host is as it was; with O(state=remembered), whether the stamp is there now.
  returned: always
  type: bool
why:
  description: Why it is not, in one sentence; empty when it is.
  returned: always
  type: str
  sample: "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor is 'powersave' instead of 'performance'"
"""

# Ansible reads the documentation above as the head of the file.
import json  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_fingerprint, host_store  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_fingerprint import Asked, Doubt  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS = {
    "state": {"type": "str", "default": "compared", "choices": ["compared", "remembered"]},
    "results": {"type": "str", "default": ""},
    "trust": {"type": "bool", "default": True},
    "home": {"type": "str"},
    "run_id": {"type": "str", "default": ""},
    "inputs": {"type": "dict", "default": {}},
    "settings": {"type": "dict", "default": {}},
    "folders": {"type": "list", "elements": "str", "default": []},
    "keeps_clock": {"type": "bool", "default": False},
    "clock_limit_ms": {"type": "int", "default": 0},
}


def stamps(home: Path) -> dict[str, Any]:
    """Return run id -> what was remembered; a file that cannot be used is none."""
    try:
        held = json.loads((home / "state" / host_fingerprint.STAMP).read_text(encoding="utf-8"))
        return dict(held["runs"]) if held["schema"] == 1 else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def compare(asked: Asked, inputs: dict[str, str]) -> None:
    """Look.

    Raises:
        Doubt: The host, or what is asked of it, is not as it was.
    """
    stamp = stamps(asked.home).get(asked.run_id)
    if not isinstance(stamp, dict):
        raise Doubt("it has not been complete yet")
    _same(stamp.get("inputs"), inputs)
    _same(stamp.get("fingerprint"), host_fingerprint.fingerprint(asked, Machine()))


def _same(before: object, now: dict[str, str]) -> None:
    held = before if isinstance(before, dict) else {}
    different = sorted(name for name in {*held, *now} if held.get(name) != now.get(name))
    if different:
        raise Doubt(f"not as it was: {', '.join(different)}")


def remember(asked: Asked, inputs: dict[str, str]) -> bool:
    """Write the stamp of this run; those of other runs stay while the host has not booted.

    Raises:
        Doubt: The host is not as the roles have left it.
    """
    found = host_fingerprint.fingerprint(asked, Machine())
    touched = host_fingerprint.touched_since_the_look(asked)
    if touched:
        raise Doubt(f"{touched} was changed while the play was running")
    held = stamps(asked.home)
    runs = {
        name: one
        for name, one in held.items()
        if isinstance(one, dict) and (one.get("fingerprint") or {}).get("boot") == found["boot"]
    }
    runs[asked.run_id] = {"inputs": inputs, "fingerprint": found}
    text = host_store.pretty_json({"schema": 1, "runs": runs})
    return host_store.write_atomic(asked.home / "state" / host_fingerprint.STAMP, text)


def main() -> None:
    """Compare or remember; whatever stands against it is an answer, no failure."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    written = False
    try:
        asked = Asked(module.params)
        if module.params["state"] == "compared":
            compare(asked, module.params["inputs"])
        elif not module.check_mode:
            written = remember(asked, module.params["inputs"])
    except (Doubt, host_store.HostError, OSError) as error:
        module.exit_json(changed=False, unchanged=False, why=str(error))
    else:
        # The stamp says how the host is and is no change of it: a run that only looked reports none.
        module.exit_json(changed=False, unchanged=True, why="", written=written)


if __name__ == "__main__":
    main()
