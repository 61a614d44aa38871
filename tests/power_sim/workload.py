"""A workload under real LoadGen that takes as long as it is told: `python workload.py OUT_FOLDER SECONDS [SECONDS]`.

With two durations the first is of the first call (ranging) and the second of every further one: whether OUT_FOLDER was
there before tells them apart. SingleStream, so that LoadGen itself ends the run at its minimum duration.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import mlperf_loadgen as lg
import numpy as np

_QUERY_S = 0.02
_SAMPLES = 16


def main() -> None:
    """Run LoadGen once."""
    out, seconds = Path(sys.argv[1]), [float(word) for word in sys.argv[2:]]
    again = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.SingleStream, lg.TestMode.PerformanceOnly
    settings.min_duration_ms = int((seconds[-1] if again else seconds[0]) * 1000)
    settings.min_query_count = 10
    settings.single_stream_expected_latency_ns = int(_QUERY_S * 1e9)
    matrix = np.ones((256, 256), dtype=np.float32)

    def issue(queries: list[lg.QuerySample]) -> None:
        end = time.monotonic() + _QUERY_S
        while time.monotonic() < end - _QUERY_S / 2:
            matrix.dot(matrix)
        time.sleep(max(end - time.monotonic(), 0.0))
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, matrix.ctypes.data, 4) for query in queries])

    library = lg.ConstructQSL(_SAMPLES, _SAMPLES, lambda _: None, lambda _: None)
    sut = lg.ConstructSUT(issue, lambda: None)
    log = lg.LogSettings()
    log.log_output.outdir = str(out)
    log.enable_trace = False
    lg.StartTestWithLogSettings(sut, library, settings, log)
    lg.DestroyQSL(library)
    lg.DestroySUT(sut)


if __name__ == "__main__":
    main()
