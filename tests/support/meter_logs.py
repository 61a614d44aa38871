"""A meter's log of one run: ranging from 15:00 to 15:10, the run from 15:20 to 15:55.

The run is longer than the 800 s that the official checker leaves out at each of its ends.
"""

from __future__ import annotations

from mlperf_ops.power_log import power_seconds

DAY = "07-25-2025"
HEAD = (
    f"{DAY} 14:59:00.000: Uncertainty checking for YokogawaWT310 is activated",
    f"{DAY} 15:00:00.000: Go with mark 's_ranging'",
    f"{DAY} 15:10:00.000: Completed test",
)
"""Its lines before the run."""
BEGIN_S, END_S = (power_seconds(f"{DAY} {time}") or 0.0 for time in ("15:20:00.000", "15:55:00.000"))
