"""Ansible module: ask a host's agent about cells."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: loadgen_agent
short_description: Ask a host which cells are good, start one, or see how far it is
version_added: "0.1.0"
description:
  - Runs the agent of the harness that M(mlperf_ops.lab.host_components) has put on the host.
  - A started cell is detached; it survives the connection and the play.
options:
  home:
    description: mlperf_home of the host, absolute or starting with C(~).
    type: str
    required: true
  verb:
    description: What to ask.
    type: str
    choices: [status, start, started, poll]
    required: true
  question:
    description: The agent's input; see C(mlperf_ops/harness/agent.py).
    type: dict
    required: true
attributes:
  check_mode:
    description: Answers status and poll; starts nothing. A host that was never provisioned needs every cell.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: See how far an attempt is
  mlperf_ops.lab.loadgen_agent:
    home: ~/mlperf
    verb: poll
    question:
      path: runs/lab/sut1/resnet50/Offline/performance/0123456789ab/attempt_1
"""

RETURN = r"""
answer:
  description: The agent's answer.
  returned: success
  type: dict
  sample: {"state": "running", "elapsed_seconds": 12.0, "phase": "measuring"}
busy:
  description: Whether it failed because the host measures another cell.
  returned: failure
  type: bool
tuned:
  description: The settings that M(mlperf_ops.lab.host_tuning) has tuned the host to since its last boot.
  returned: success of C(status)
  type: dict
  sample: {"governor": "performance"}
home:
  description: The absolute path of mlperf_home.
  returned: success
  type: str
  sample: /home/lab/mlperf
"""

# Ansible reads the documentation above as the head of the file.
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_agent, host_store, tuning_store  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine  # noqa: E402

ARGUMENTS = {
    "home": {"type": "str", "required": True},
    "verb": {"type": "str", "required": True, "choices": ["status", "start", "started", "poll"]},
    "question": {"type": "dict", "required": True},
}


def main() -> None:
    """Ask once."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    verb, question = module.params["verb"], module.params["question"]
    try:
        home = host_store.expand(module.params["home"])
        if module.check_mode and verb == "start":
            module.exit_json(changed=True, home=str(home), answer={})
        if module.check_mode and host_agent.provision(home) is None:
            needed = [{"key": cell["key"], "state": "needed"} for cell in question.get("cells", [])]
            module.exit_json(changed=False, home=str(home), answer={"cells": needed})
        answer = host_agent.ask(home, verb, {**question, "read_only": module.check_mode})
    except host_store.HostError as error:
        module.fail_json(msg=str(error), busy=isinstance(error, host_agent.HostBusyError))
    else:
        tuned = (tuning_store.tuned(home, Machine()) or {}).get("settings", {}) if verb == "status" else {}
        module.exit_json(changed=verb == "start", home=str(home), answer=answer, tuned=tuned)


if __name__ == "__main__":
    main()
