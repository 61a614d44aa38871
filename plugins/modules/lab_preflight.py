"""Documentation of the action lab_preflight; its code is plugins/action/lab_preflight.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lab_preflight
short_description: Examine hosts before anything is changed
version_added: "0.1.0"
description:
  - Resolves how Ansible reaches each host and passes that to C(mlperf-ops doctor), which asks all hosts at once over
    ssh with strict host keys.
  - Writes C(preflight.json). A host that passed before with the same inputs is not asked again; a host that was
    blocked is asked every time.
options:
  results:
    description: Results folder of the run on the controller. Empty takes C(results/<run id>).
    type: str
    default: ""
  hosts:
    description: The hosts to examine, as a pattern; groups that the inventory lacks are left out of it.
    type: str
    required: true
  limit:
    description: Only those of them that this pattern matches, too. Empty takes all.
    type: str
    default: ""
  timeout_seconds:
    description: Seconds for all hosts together.
    type: int
    default: 15
  again:
    description: Ask also the hosts that passed before with the same inputs.
    type: bool
    default: false
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Asks the hosts and writes no file.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Examine the hosts
  mlperf_ops.lab.lab_preflight:
    hosts: sut:services
"""

RETURN = r"""
asked:
  description: Names of the hosts that were asked.
  returned: success
  type: list
  elements: str
blocked:
  description: Each host that cannot take part, and why.
  returned: success
  type: list
  elements: dict
  sample:
    - host: sut3
      reason: 10.77.1.13 does not answer (is it switched on, and its network cable in?)
"""
