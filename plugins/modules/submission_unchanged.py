"""Documentation of the action submission_unchanged; its code is plugins/action/submission_unchanged.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: submission_unchanged
short_description: Say whether a submission is exactly as it was when its verdict was given
version_added: "0.1.0"
description:
  - Compares names, sizes, times and file numbers of the results, the submission tree, the report, the rules, the code
    of mlperf_ops and the official checker with C(report/complete.json), which the last whole run has left. No content
    is read. Whatever is in doubt means that it is not.
options:
  state:
    description:
      - C(compared) looks and changes nothing.
      - C(remembered) writes the stamp and the answers, unless something was changed while they were found.
    type: str
    choices: [compared, remembered]
    default: compared
  results:
    description: Results folder of the run on the controller. Empty takes C(results/<run id>).
    type: str
    default: ""
  trust:
    description: Without it no submission is called unchanged.
    type: bool
    default: true
  checker:
    description: The answer of C(mlperf-ops components --checker).
    type: dict
    required: true
  began_ns:
    description: When the work began, for C(remembered). C(began_ns) of the comparison.
    type: int
  checked_ns:
    description: When the tree's check began, for C(remembered).
    type: int
  aggregate:
    description: The answer of C(mlperf-ops aggregate), for C(remembered).
    type: dict
  report:
    description: The answer of C(mlperf-ops report), for C(remembered).
    type: dict
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Calls nothing unchanged.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Look for changes since the last verdict
  mlperf_ops.lab.submission_unchanged:
    checker: "{{ _submission_checker.answer }}"
  register: _submission_unchanged
"""

RETURN = r"""
unchanged:
  description: Whether nothing was changed.
  returned: always
  type: bool
why:
  description: Why it is not called unchanged.
  returned: always
  type: str
began_ns:
  description: When this was asked, in nanoseconds since 1970.
  returned: always
  type: int
aggregate:
  description: What C(mlperf-ops aggregate) answered.
  returned: when unchanged
  type: dict
report:
  description: What C(mlperf-ops report) answered.
  returned: when unchanged
  type: dict
"""
