"""Documentation of the action cli; its code is plugins/action/cli.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cli
short_description: Run a verb of mlperf-ops on the controller
version_added: "0.1.0"
description:
  - Runs C(mlperf-ops) with C(--json) in the Python that Ansible itself uses.
  - A negative verdict (exit code 1) is no failure.
  - C({run}) and C({round}) in the arguments stand for the results folder and the round of its plan, C({dropped}) for
    the file in which the callback dropped_hosts keeps the hosts that failed.
options:
  results:
    description: Results folder of the run on the controller. Empty takes C(results/<run id>).
    type: str
    default: ""
  argv:
    description: The verb and its arguments.
    type: list
    elements: str
    required: true
  options:
    description: Options without their dashes; those with an empty value are left out.
    type: dict
    default: {}
  writes:
    description: Files whose content tells whether anything changed, besides the verb's own word.
    type: list
    elements: str
    default: []
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Runs nothing.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Build the submission tree
  mlperf_ops.lab.cli:
    argv: [aggregate, "{run}"]
"""

RETURN = r"""
answer:
  description: The JSON object that the verb printed; empty in check mode.
  returned: success
  type: dict
began_ns:
  description: When the verb was started, in nanoseconds since 1970.
  returned: success
  type: int
exit_code:
  description: The exit code, 0 or 1.
  returned: success
  type: int
"""
