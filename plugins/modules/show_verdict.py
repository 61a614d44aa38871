"""Documentation of the action show_verdict; its code is plugins/action/show_verdict.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: show_verdict
short_description: Show the verdict as plain lines
version_added: "0.1.0"
description:
  - Displays the text of C(mlperf-ops report) on the terminal.
  - Fails when the verdict is C(rejected) or planned cells have no usable result, be it missing or kept out of the tree.
  - Of a smoke run it shows instead which cells would run, and fails when one would not.
options:
  results:
    description: Results folder of the run. Empty takes the default of the role.
    type: str
    default: ""
  report:
    description: The answer of C(mlperf-ops report); empty in check mode.
    type: dict
    required: true
  aggregate:
    description: The answer of C(mlperf-ops aggregate).
    type: dict
    required: true
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Shows nothing.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Show the verdict
  mlperf_ops.lab.show_verdict:
    aggregate: "{{ _submission_aggregate.answer }}"
    report: "{{ _submission_report.answer }}"
"""

RETURN = r"""
verdict:
  description: submittable, demonstration or rejected.
  returned: success
  type: str
left_out:
  description: Key and reason of each planned cell without a usable result.
  returned: when there are any
  type: list
  elements: str
"""
