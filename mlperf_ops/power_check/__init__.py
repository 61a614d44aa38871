"""Check of a power measurement: the official power checker's eleven checks and stricter ones, as pure functions.

`read_measurement` reads performance/{power,ranging,run_1}; `check_measurement` returns typed findings. Whoever shows
them (the submission checker, a verb) decides how.
"""

from __future__ import annotations

from mlperf_ops.power_check.check import check_measurement
from mlperf_ops.power_check.files import FILES, read_measurement
from mlperf_ops.power_check.model import Measurement, PowerFinding, PowerSubject

__all__ = ["FILES", "Measurement", "PowerFinding", "PowerSubject", "check_measurement", "read_measurement"]
