"""Documentation of the action loadgen_run; its code is plugins/action/loadgen_run.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: loadgen_run
short_description: Run the cells of the plan on a host
version_added: "0.1.0"
description:
  - Asks the host which cells have a good result for their very spec, and runs the others one after another.
  - A cell runs detached on the host. One that still runs from an earlier play is re-attached.
  - Shows progress as plain lines.
options:
  results:
    description: Results folder of the run on the controller. Empty takes C(results/<run id>).
    type: str
    default: ""
  keep_going:
    description: Succeed although cells failed; somebody else has to tell.
    type: bool
    default: false
  only:
    description:
      - Patterns of the cells to run, C(benchmark/scenario/mode); a part may have C(*). Without any all run. The others
        stay planned.
    type: list
    elements: str
    default: []
  retries:
    description:
      - How often a cell runs again after a failure that may not come again, such as a reboot of the host or a crash.
    type: int
    default: 1
  launcher:
    description:
      - How the host starts cells. C(systemd) is a transient unit, C(session) a process session of its own, C(auto) a
        unit where systemd is PID 1 and the play may become root, else a session.
    type: str
    default: auto
  lost_seconds:
    description: How long a host may be silent while a cell runs, before the play leaves it.
    type: int
    default: 600
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Says how many cells would run.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Run the cells that have no good result
  mlperf_ops.lab.loadgen_run:
    results: results/lab
"""

RETURN = r"""
cells:
  description: Number of planned cells of the host.
  returned: success
  type: int
  sample: 8
failed_cells:
  description: Key and reason of each cell that has no result.
  returned: when cells ran
  type: list
  elements: str
retried:
  description: Key of each attempt that failed and was followed by another one, and why.
  returned: when cells ran
  type: list
  elements: str
tainted:
  description: Key of each cell whose host drifted meanwhile, and how. Such a cell runs again in the next play.
  returned: when cells ran
  type: list
  elements: str
invalid:
  description: Key and reason of each cell that LoadGen or the accuracy target calls invalid.
  returned: when cells ran
  type: list
  elements: str
"""
