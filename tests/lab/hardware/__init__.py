"""Simulated hardware for lab hosts, at the border between a host and its hardware.

A view gives a host the knobs of a real server with the semantics of the kernel that would serve them, from a FUSE
process: CPU frequency of three drivers, C-states, SMT, huge pages, and its own copy of the sysctls that all hosts of
one machine share. Shims take the place of tools whose hardware is missing. All of it is a simulation: use it to test
what a role does to a machine, never to measure.
"""

from __future__ import annotations

from tests.lab.hardware.controls import Controls
from tests.lab.hardware.view import VIEWS, View, ViewName, missing

__all__ = ["VIEWS", "Controls", "View", "ViewName", "missing"]
