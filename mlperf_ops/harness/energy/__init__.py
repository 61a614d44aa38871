"""Unofficial energy of a cell: what RAPL, GPUs, the BMC or a PDU say while it runs, kept beside its result.

It is no power measurement as the MLPerf rules define it and never part of a submission. Standard library only.
"""

from __future__ import annotations
