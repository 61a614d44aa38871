"""One LoadGen test: settings out of user.conf, the measured call, and everything that it holds released after it.

One per process: LoadGen's embedded mlperf.conf is applied only by the first `FromConfig` of a process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

import mlperf_loadgen as loadgen

from mlperf_ops.harness.attempt_files import USER_CONF
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.scenarios import Sut


def settings_of(conf_model: str, scenario: str, mode: str) -> loadgen.TestSettings:
    """Return the settings of user.conf in the current folder over LoadGen's embedded ones.

    Args:
        conf_model: Model name under which LoadGen looks the keys up.
        scenario: LoadGen's own name of it, which has no Interactive.
        mode: AccuracyOnly or PerformanceOnly.

    Raises:
        CellError: LoadGen does not accept the file.
    """
    settings = loadgen.TestSettings()
    # Also where user.conf is empty: it is this call that applies the embedded mlperf.conf.
    if settings.FromConfig(USER_CONF, conf_model, scenario, 1):
        raise CellError("bad_settings", f"LoadGen does not accept user.conf for model {conf_model}", "see console.log")
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = getattr(loadgen.TestMode, mode)
    return settings


def measure(
    settings: loadgen.TestSettings,
    folder: Path,
    sut: Sut,
    sample_count: int,
    load_samples: Callable[[list[int]], None],
    unload_samples: Callable[[list[int]], None],
    audit_config: Path | None = None,
) -> float:
    """Run LoadGen, whose logs go to a folder; return the CPU seconds that this process spent in it.

    Args:
        settings: Of the test.
        folder: Where the logs go.
        sut: What answers.
        sample_count: Samples in the library.
        load_samples: Called by LoadGen ahead of timing.
        unload_samples: Called by LoadGen after it.
        audit_config: Settings of a compliance test. None: none is read, not even one that lies in the current folder,
            where LoadGen would find it by itself.
    """
    library = loadgen.ConstructQSL(sample_count, sample_count, load_samples, unload_samples)
    handle = loadgen.ConstructFastSUT(sut.issue, lambda: None)
    log = loadgen.LogSettings()
    log.log_output.outdir = str(folder)
    log.enable_trace = False
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing in the measured path makes cycles; a collection would be a pause
    started = time.process_time()
    loadgen.StartTestWithLogSettings(handle, library, settings, log, "" if audit_config is None else str(audit_config))
    cpu_seconds = time.process_time() - started
    gc.enable()
    sut.stop()
    loadgen.DestroyFastSUT(handle)
    loadgen.DestroyQSL(library)
    return cpu_seconds
