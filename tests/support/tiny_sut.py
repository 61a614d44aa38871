"""A SUT that answers at once, under real LoadGen, for tests that need real logs.

One process is one run: LoadGen applies its embedded configuration only once per process. Called as a program:
`python tiny_sut.py SCENARIO MODE OUT_FOLDER SAMPLES`, with user.conf in OUT_FOLDER.
"""

from __future__ import annotations

import os
import sys

import mlperf_loadgen as lg
import numpy as np

WRONG_EVERY = 10  # sample 0, 10, 20 … is answered with another class than its own index


def main() -> None:
    """Run LoadGen once; the right class of sample i is i."""
    scenario, mode, out, samples = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    settings = lg.TestSettings()
    settings.FromConfig(os.path.join(out, "user.conf"), "resnet50", scenario, 1)
    settings.scenario = getattr(lg.TestScenario, scenario)
    settings.mode = getattr(lg.TestMode, mode)
    answers = np.arange(samples, dtype=np.int64)
    answers[::WRONG_EVERY] += 1
    address = answers.ctypes.data

    def issue(ids: list[int], indices: list[int]) -> None:
        lg.QuerySamplesComplete(
            [lg.QuerySampleResponse(one, address + 8 * index, 8) for one, index in zip(ids, indices, strict=True)]
        )

    library = lg.ConstructQSL(samples, samples, lambda _: None, lambda _: None)
    sut = lg.ConstructFastSUT(issue, lambda: None)
    log = lg.LogSettings()
    log.log_output.outdir = out
    log.enable_trace = False
    lg.StartTestWithLogSettings(sut, library, settings, log)
    lg.DestroyFastSUT(sut)
    lg.DestroyQSL(library)


if __name__ == "__main__":
    main()
