"""Documentation of the action lab_plan; its code is plugins/action/lab_plan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lab_plan
short_description: Turn the inventory into plan.json
version_added: "0.1.0"
description:
  - Collects every C(mlperf_*) variable of the hosts in group C(sut) and passes them to C(mlperf-ops plan), which
    checks them against the catalogue and writes C(plan.json) when it is different.
  - A mistake in the inventory is one sentence that names the file, the line and the nearest valid name.
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
    description: Writes no plan; the later steps of the same check see the one that would be written.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Plan the cells of the lab
  mlperf_ops.lab.lab_plan:
"""

RETURN = r"""
plan:
  description: Path of C(plan.json).
  returned: success
  type: str
  sample: results/lab/plan.json
"""
