"""Documentation of the action system_facts; its code is plugins/action/system_facts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: system_facts
short_description: Write the facts of a host into the run
version_added: "0.1.0"
description:
  - Runs M(mlperf_ops.lab.host_facts) and writes its answer to C(hosts/<host>/facts.json) when it is different.
  - Where C(become) is asked for and the host refuses it, the facts are read without; memory modules are then unknown.
options:
  results:
    description: Results folder of the run on the controller. Empty takes C(results/<run id>).
    type: str
    default: ""
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Reads the facts and writes no file.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Write the facts of the host
  mlperf_ops.lab.system_facts:
    results: results/lab
"""

RETURN = r"""
msg:
  description: Path of C(facts.json).
  returned: success
  type: str
elapsed_ms:
  description: What collecting cost on the host.
  returned: success
  type: float
waited_ms:
  description: Tool to how long it was waited for after the ones before it.
  returned: success
  type: dict
"""
