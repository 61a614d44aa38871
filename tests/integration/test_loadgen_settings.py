"""Every generated user.conf goes through the pinned LoadGen; its detail log must show what the plan expects.

LoadGen applies its embedded configuration only to the first settings of a process, so each case is a process of its
own. Full-length runs end as soon as LoadGen has logged its settings.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.model import Mode, RunStyle, Scenario
from mlperf_ops.userconf import ConfRequest, UserConf, make_user_conf

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

ROUND = load_catalogue().round("v6.1")
SAMPLES = 20
RUN = """
import os, sys, time
import mlperf_loadgen as lg
import numpy as np
conf, model, scenario, mode, samples, whole = sys.argv[1:]
settings = lg.TestSettings()
settings.FromConfig(conf, model, scenario, 1)
settings.scenario, settings.mode = getattr(lg.TestScenario, scenario), getattr(lg.TestMode, mode)
answer = np.zeros(8, np.int64)
def issue(ids, indices):
    while whole == "no" and "effective_sample_concatenate" not in open("mlperf_log_detail.txt").read():
        time.sleep(0.01)
    if whole == "no":
        os._exit(0)
    lg.QuerySamplesComplete([lg.QuerySampleResponse(i, answer.ctypes.data, 8) for i in ids])
library = lg.ConstructQSL(int(samples), int(samples), lambda loaded: None, lambda unloaded: None)
sut = lg.ConstructFastSUT(issue, lambda: None)
logs = lg.LogSettings()
logs.enable_trace = False
lg.StartTestWithLogSettings(sut, library, settings, logs)
"""


def run_loadgen(made: UserConf, mode: Mode, folder: Path, *, whole: bool, samples: int = SAMPLES) -> dict[str, Json]:
    (folder / "user.conf").write_text(made.text)
    argv = ["user.conf", made.conf_model, made.scenario, TEST_MODES[mode], str(samples), "yes" if whole else "no"]
    subprocess.run([sys.executable, "-c", RUN, *argv], cwd=folder, check=True, timeout=60)
    return read_detail(folder / "mlperf_log_detail.txt").values


def differences(made: UserConf, log: dict[str, Json]) -> dict[str, tuple[object, object]]:
    return {key: (value, log.get(key)) for key, value in made.expect.items() if log.get(key) != value}


@pytest.mark.parametrize("mode", ["accuracy", "performance"])
@pytest.mark.parametrize("style", ["test", "fast", "valid"])
@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_the_log_shows_the_expected_settings(scenario: Scenario, style: RunStyle, mode: Mode, tmp_path: Path) -> None:
    made = make_user_conf(
        ConfRequest("resnet", scenario, mode, "open", style, measured=12.3456789, total_sample_count=SAMPLES), ROUND
    )
    assert len(made.expect) > 20
    assert differences(made, run_loadgen(made, mode, tmp_path, whole=False)) == {}


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_style_test_with_700_queries_satisfies_loadgen(scenario: Scenario, tmp_path: Path) -> None:
    # Counts and early stopping are tested, not the machine: how late its scheduler may be is left open.
    given = {"target_qps": 700, "target_latency_ms": 10_000} if scenario == "Server" else {}
    made = make_user_conf(
        ConfRequest("resnet", scenario, "performance", "open", "test", given=given, query_count=700), ROUND
    )
    log = run_loadgen(made, "performance", tmp_path, whole=True)
    assert differences(made, log) == {}
    assert log["result_validity"] == "VALID"
    assert log["early_stopping_met"] is True


@pytest.mark.parametrize(
    ("official", "scenario"),
    [
        ("3d-unet-99", "SingleStream"),  # equal issue: LoadGen rounds the query count up
        ("3d-unet-99", "Offline"),
        ("yolo-99", "Offline"),  # known to the embedded file in part
        ("e2e-rag-qna", "Offline"),  # not known at all
        ("llama3.1-8b-edge", "SingleStream"),  # token latencies
        ("llama2-70b-99.9", "Server"),
        ("llama2-70b-99.9", "Interactive"),
        ("llama2-70b-99.9", "Offline"),
    ],
)
@pytest.mark.parametrize("style", ["test", "valid"])
def test_other_benchmarks_log_the_expected_settings(
    official: str, scenario: Scenario, style: RunStyle, tmp_path: Path
) -> None:
    made = make_user_conf(
        ConfRequest(official, scenario, "performance", "open", style, measured=321.0, total_sample_count=SAMPLES), ROUND
    )
    assert differences(made, run_loadgen(made, "performance", tmp_path, whole=False)) == {}


@pytest.mark.parametrize(
    ("scenario", "given"),
    [
        (
            "Server",
            {
                "target_qps": 1234.56789,
                "target_latency_ms": 99,
                "target_latency_percentile": 95.5,
                "coalesce_queries": True,
                "max_async_queries": 17,
                "max_duration_ms": 700000,
            },
        ),
        ("MultiStream", {"target_latency_ms": 1.23456789, "samples_per_query": 4, "min_query_count": 3}),
        ("SingleStream", {"target_latency_ms": 3.3333333333, "target_latency_percentile": 99, "max_query_count": 5}),
        ("Offline", {"target_qps": 0.37, "performance_sample_count_override": 7, "accuracy_sample_count_override": 6}),
        ("Offline", {"target_qps": 50, "sample_concatenate_permutation": True}),
        ("Offline", {"performance_sample_count_override": 20, "performance_issue_unique": True}),
        ("SingleStream", {"target_latency_ms": 5, "performance_issue_same": True, "performance_issue_same_index": 3}),
    ],
)
def test_the_users_own_keys_reach_loadgen(scenario: Scenario, given: dict[str, Json], tmp_path: Path) -> None:
    made = make_user_conf(
        ConfRequest("resnet", scenario, "performance", "open", "valid", given=given, total_sample_count=SAMPLES), ROUND
    )
    assert differences(made, run_loadgen(made, "performance", tmp_path, whole=False)) == {}


def test_a_stray_audit_config_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "audit.config").write_text("*.*.accuracy_log_sampling_target = 64\n")
    made = make_user_conf(ConfRequest("resnet", "Offline", "performance", "open", "test"), ROUND)
    log = run_loadgen(made, "performance", tmp_path, whole=True)
    assert "effective_accuracy_log_sampling_target" in differences(made, log)
