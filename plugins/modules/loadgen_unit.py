"""Ansible module: start a prepared cell in a transient systemd unit."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: loadgen_unit
short_description: Start a cell that the host's agent has prepared in a transient systemd unit
version_added: "0.1.0"
description:
  - Runs C(systemd-run) with what M(mlperf_ops.lab.loadgen_agent) answered. Needs root, and runs nothing of the
    account's own as root. The unit runs as the account that has made the attempt.
  - Returns as soon as the cell's supervisor has written its state.json, or the unit has ended.
options:
  unit:
    description: What the agent answered in C(unit).
    type: dict
    required: true
attributes:
  check_mode:
    description: Starts nothing.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Start a prepared cell
  become: true
  mlperf_ops.lab.loadgen_unit:
    unit: "{{ started.answer.unit }}"
"""

RETURN = r"""
state:
  description: started, or ended where the unit was over before its cell began.
  returned: success
  type: str
  sample: started
pid:
  description: Process number of the supervisor.
  returned: when it has started
  type: int
  sample: 4711
launched:
  description: Unit, slice, properties, and what the host does not offer of those that were asked for.
  returned: success
  type: dict
  sample: {"by": "systemd", "unit": "mlperf-lab-resnet50-Offline-performance-1-0a1b2c3d.service"}
"""

import json  # noqa: E402  # Ansible reads the documentation above as the head of the file
import os  # noqa: E402
import pwd  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import cell_unit, host_store  # noqa: E402

ARGUMENTS = {"unit": {"type": "dict", "required": True}}
_RUN_SECONDS = 60
_BEGIN_SECONDS = 20.0
_ASK_SECONDS = 0.5
_POLL_SECONDS = 0.02


def start(unit: dict[str, Any]) -> dict[str, Any]:
    """Start the unit and wait until its cell has begun.

    Raises:
        HostError: systemd refuses it.
    """
    attempt, uid = unit["attempt"], int(unit["uid"])
    try:
        account = pwd.getpwuid(uid)
        owner = os.lstat(attempt).st_uid
    except (KeyError, OSError) as error:
        raise host_store.HostError(f"{attempt} cannot be run as user {uid}: {error}") from error
    if owner != uid:  # else whoever may write the agent's answer could run things as somebody else
        raise host_store.HostError(f"{attempt} belongs to user {owner}, not to {uid}")
    argv, launched = cell_unit.command(unit, account.pw_gid, cell_unit.facts(cell_unit.systemd_version()))
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise host_store.HostError(f"systemd-run does not answer: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise host_store.HostError(f"systemd refuses the unit: {said}")
    return {**_begun(attempt, unit["name"]), "launched": launched}


def _begun(attempt: str, name: str) -> dict[str, Any]:
    """Wait until the cell has begun, or the unit is over.

    Raises:
        HostError: Its process never ran.
    """
    deadline, ask_at = time.monotonic() + _BEGIN_SECONDS, time.monotonic() + _ASK_SECONDS
    while time.monotonic() < deadline:
        try:
            with open(os.path.join(attempt, "state.json"), encoding="utf-8") as stream:
                return {"state": "started", "pid": int(json.load(stream)["pid"])}
        except (OSError, ValueError, KeyError):
            if os.path.exists(os.path.join(attempt, "unit_end.json")):
                break
        if time.monotonic() >= ask_at:
            ask_at = time.monotonic() + _ASK_SECONDS
            if cell_unit.is_over(name) and not os.path.exists(os.path.join(attempt, "state.json")):
                break
        time.sleep(_POLL_SECONDS)
    # The supervisor takes this file first of all.
    if os.path.exists(os.path.join(attempt, ".environment")):
        raise host_store.HostError(f"systemd could not run the cell's process: journalctl -u {name}")
    return {"state": "ended"}


def main() -> None:
    """Start one unit."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=True, state="ended", launched={})
    try:
        told = start(module.params["unit"])
    except host_store.HostError as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(changed=True, **told)


if __name__ == "__main__":
    main()
