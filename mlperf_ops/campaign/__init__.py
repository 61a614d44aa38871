"""A campaign: where every planned cell of a run stands, on all hosts, and what is left to do.

`states` decides the state of a cell, and nothing else does: `mlperf-ops plan`, `status`, `logs` and `shell` ask it. It
knows the plan, what was collected from the hosts and, where they were asked, what the hosts say. Nothing is written.
"""

from __future__ import annotations
