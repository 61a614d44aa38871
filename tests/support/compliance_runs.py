"""Logs of compliance tests by real LoadGen: a SUT whose answers, speed and tokens the test decides on.

Each run is a process of its own, called as `python compliance_runs.py SPEC.json` in the run's folder, which holds
user.conf and, for a test, audit.config. Times are milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SAMPLES = 120
ANSWERS = "answers.json"


@dataclass
class Sut:
    """What the SUT does.

    Attributes:
        scenario: LoadGen's name.
        accuracy: Run in accuracy mode.
        model: Name for user.conf's keys and LoadGen's embedded file.
        answers: Hexadecimal answer of every sample.
        sleep_ms: Of each query; `same_ms` where one sample is asked for again and again.
        first_tokens: Hexadecimal first token of every sample, reported ahead of the answer.
        counts: Token counts to report; None: none.
        queries: Number of queries (Offline: samples).
    """

    scenario: str = "SingleStream"
    accuracy: bool = False
    model: str = "resnet50"
    answers: list[str] = field(default_factory=list)
    sleep_ms: float = 1.0
    same_ms: float | None = None
    first_tokens: list[str] | None = None
    counts: list[int] | None = None
    queries: int = 250
    more_conf: tuple[str, ...] = ()


def int64(value: int) -> str:
    """An answer of one class index, as the harness writes it."""
    return value.to_bytes(8, "little", signed=True).hex().upper()


def int32s(*values: int) -> str:
    """An answer of tokens."""
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values).hex().upper()


def run(folder: Path, sut: Sut, audit: str = "") -> Path:
    """Run LoadGen in a new folder, which is returned."""
    folder.mkdir(parents=True)
    target = {
        "SingleStream": f"target_latency = {max(sut.sleep_ms, 0.01)}",
        "MultiStream": f"target_latency = {max(sut.sleep_ms, 0.01)}",
        "Server": "target_qps = 200",
        "Offline": "target_qps = 100",
    }[sut.scenario]
    lines = [target, "min_duration = 0", f"min_query_count = {sut.queries}", *sut.more_conf]
    (folder / "user.conf").write_text("".join(f"{sut.model}.{sut.scenario}.{line}\n" for line in lines))
    if audit:
        (folder / "audit.config").write_text(audit)
    (folder / ANSWERS).write_text(json.dumps(asdict(sut)))
    done = subprocess.run(
        [sys.executable, __file__, ANSWERS],
        cwd=folder,
        timeout=120,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,  # what it said is shown
    )
    assert done.returncode == 0, done.stdout.decode()
    return folder


def main() -> None:
    """Run LoadGen in the current folder."""
    import time  # noqa: PLC0415  # what follows is the child process

    import mlperf_loadgen as lg  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    sut: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    settings = lg.TestSettings()
    settings.FromConfig("user.conf", sut["model"], sut["scenario"], 1)
    settings.scenario = getattr(lg.TestScenario, sut["scenario"])
    settings.mode = lg.TestMode.AccuracyOnly if sut["accuracy"] else lg.TestMode.PerformanceOnly
    answers = [np.frombuffer(bytes.fromhex(text) or b"\0", np.uint8) for text in sut["answers"]]
    sizes = [len(text) // 2 for text in sut["answers"]]
    first = [np.frombuffer(bytes.fromhex(text), np.uint8) for text in sut["first_tokens"] or ()]
    same = sut["same_ms"] is not None and Path("audit.config").exists()
    sleep_seconds = (sut["same_ms"] if same else sut["sleep_ms"]) / 1000

    def issue(ids: list[int], indices: list[int]) -> None:
        for one, index in zip(ids, indices, strict=True):
            if first:
                token = first[index]
                lg.FirstTokenComplete([lg.QuerySampleResponse(one, token.ctypes.data, token.nbytes, 1)])
            time.sleep(sleep_seconds)
            more = () if sut["counts"] is None else (sut["counts"][index],)
            lg.QuerySamplesComplete([lg.QuerySampleResponse(one, answers[index].ctypes.data, sizes[index], *more)])

    count = len(answers)
    library = lg.ConstructQSL(count, count, lambda _: None, lambda _: None)
    handle = lg.ConstructSUT(lambda queries: issue([q.id for q in queries], [q.index for q in queries]), lambda: None)
    log = lg.LogSettings()
    log.enable_trace = False
    lg.StartTestWithLogSettings(handle, library, settings, log)
    lg.DestroySUT(handle)
    lg.DestroyQSL(library)


if __name__ == "__main__":
    main()
