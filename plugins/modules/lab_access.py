"""Documentation of the action lab_access; its code is plugins/action/lab_access.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lab_access
short_description: Say how Ansible reaches the hosts of the plan
version_added: "0.3.0"
description:
  - Called by C(mlperf-ops status --live), C(mlperf-ops logs), C(mlperf-ops shell) and C(mlperf-ops lease)
    through C(playbooks/access.yml), which then ask the hosts themselves, all at once.
  - What it resolves goes through a pipe to that command, and never into files or the output of the play.
options: {}
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes nothing in any mode.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Resolve the connections
  mlperf_ops.lab.lab_access:
"""

RETURN = r"""
changed:
  description: Always false.
  returned: always
  type: bool
"""
