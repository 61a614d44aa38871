"""Check of a power measurement: the official power checker's eleven checks and stricter ones, as pure functions.

`read_measurement` reads performance/{power,ranging,run_1}; `check_measurement` returns typed findings. Whoever shows
them (the submission checker, a verb) decides how.
"""

from __future__ import annotations

from mlperf_ops.power_check.check import check_measurement
from mlperf_ops.power_check.files import (
    FILES,
    FOLDERS,
    is_measurement,
    measurement_of,
    read_measurement,
    simulated_files,
)
from mlperf_ops.power_check.model import ExpectedMeter, Measurement, PowerFinding, PowerSubject

__all__ = [
    "FILES",
    "FOLDERS",
    "ExpectedMeter",
    "Measurement",
    "PowerFinding",
    "PowerSubject",
    "check_measurement",
    "is_measurement",
    "measurement_of",
    "read_measurement",
    "simulated_files",
]
