"""Ansible module: the state of a host, and what is not as tuning has set it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_state
short_description: Read the state of a host and compare it with what tuning has set
version_added: "0.1.0"
description:
  - Reads frequencies, governors, boost, temperatures, throttling counters, load, pressure, memory, the tuned knobs and
    the clock's recorded offset, through the agent of the harness that M(mlperf_ops.lab.host_components) has put on the
    host. The same code watches the host around every cell.
  - Changes nothing and writes nothing on the host.
options:
  home:
    description: mlperf_home of the host, absolute or starting with C(~).
    type: str
    required: true
  strict:
    description: Fail when a tuned knob is not what tuning has set, or when the host cannot be read.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return the same state.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Make sure that the host is still as tuning has left it
  mlperf_ops.lab.host_state:
    home: ~/mlperf
    strict: true
"""

RETURN = r"""
tuned_knobs:
  description: Number of knobs that tuning recorded in C(state/tuning.json) and that a file shows.
  returned: success
  type: int
  sample: 9
drifted:
  description: What is not as tuning has set it, one sentence each.
  returned: always
  type: list
  elements: str
  sample: ["governor of policy0, policy1 is powersave, tuning had set performance"]
snapshot:
  description: The state of the host, as C(before) in the host_state.json of an attempt. Empty before provisioning.
  returned: success
  type: dict
"""

# Ansible reads the documentation above as the head of the file.
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_agent, host_store  # noqa: E402

ARGUMENTS = {
    "home": {"type": "str", "required": True},
    "strict": {"type": "bool", "default": False},
}


def main() -> None:
    """Read and compare; there is nothing to change."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        home = host_store.expand(module.params["home"])
        if host_agent.provision(home) is None and not module.params["strict"]:
            told = f"{home} was never provisioned, so there is nothing to compare"
            module.exit_json(changed=False, msg=told, tuned_knobs=0, drifted=[], snapshot={})
        answer = host_agent.ask(home, "state", {})
    except host_store.HostError as error:
        module.fail_json(msg=str(error), drifted=[])
    else:
        drifted = answer["drifted"]
        if drifted:
            message = f"{'; '.join(drifted)} (run the tune playbook again)"
        else:
            message = f"{answer['tuned_knobs']} tuned knobs, all as tuning has set them"
        if drifted and module.params["strict"]:
            module.fail_json(msg=message, **answer)
        module.exit_json(changed=False, msg=message, **answer)


if __name__ == "__main__":
    main()
