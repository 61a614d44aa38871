"""Real LoadGen logs of short runs, as if the runs had been long enough."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

from mlperf_ops.model import Mode, Scenario
from tests.support.attempts import RealLogs


@dataclasses.dataclass
class LongLogs(RealLogs):
    """The same logs, as if the runs had been long enough and one as fast as the other."""

    rates: dict[str, float] = dataclasses.field(default_factory=dict)  # mode -> samples per second

    def get(self, scenario: Scenario, mode: Mode, samples: int = 200) -> Path:
        raw = super().get(scenario, mode, samples)
        if mode == "accuracy":
            return raw
        folder = self.base / f"long-{mode}-{self.rates.get(mode, 1000)}"
        if not folder.exists():
            shutil.copytree(raw, folder)
            for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
                text = (folder / name).read_text().replace("INVALID", "VALID")
                rate = self.rates.get(mode, 1000)
                text = re.sub(r'("key": "result_samples_per_second", "value": )[^,]+', rf"\g<1>{rate}", text)
                (folder / name).write_text(re.sub(r"(Samples per second: ).*", rf"\g<1>{rate}", text))
        return folder
