"""audit.config of every compliance test through the pinned LoadGen: its log must show what the plan expects.

As test_loadgen_settings.py, whose process this borrows: it starts LoadGen in a folder, where LoadGen itself looks for
audit.config, and that is how an implementation that is not ours meets the file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.harness.attempt_files import AUDIT_CONFIG, USER_CONF
from mlperf_ops.harness.supervisor import new_attempt, run_cell
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.model import ComplianceTest, LoadgenRequest, RunStyle, Scenario
from mlperf_ops.userconf import ConfRequest, UserConf, make_user_conf
from tests.integration.test_loadgen_settings import SAMPLES, differences, run_loadgen
from tests.support.images import ImageFolder, make_images
from tests.support.specs import LoadgenScenario, make_spec

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

ROUND = load_catalogue().round("v6.1")
CASES: list[tuple[str, Scenario, ComplianceTest]] = [
    ("resnet", "SingleStream", "TEST01"),
    ("resnet", "MultiStream", "TEST01"),
    ("resnet", "Server", "TEST01"),
    ("resnet", "Offline", "TEST01"),
    ("3d-unet-99", "SingleStream", "TEST01"),
    ("resnet", "SingleStream", "TEST04"),
    ("resnet", "MultiStream", "TEST04"),
    ("resnet", "Server", "TEST04"),
    ("resnet", "Offline", "TEST04"),
    ("stable-diffusion-xl", "Offline", "TEST04"),
    ("llama2-70b-99.9", "Offline", "TEST06"),
    ("llama2-70b-99.9", "Interactive", "TEST06"),
    ("dlrm-v3", "Server", "TEST08"),
    ("gpt-oss-120b", "Offline", "TEST07"),
    ("gpt-oss-120b", "Server", "TEST07"),
    ("gpt-oss-120b", "Offline", "TEST09"),
    ("gpt-oss-120b", "Interactive", "TEST09"),
    ("e2e-rag-qna", "Offline", "TEST09"),
]


def conf(official: str, scenario: Scenario, test: ComplianceTest, style: RunStyle) -> UserConf:
    return make_user_conf(
        ConfRequest(official, scenario, test, "closed", style, measured=12.0, compliance=test, total_sample_count=None),
        ROUND,
    )


@pytest.mark.parametrize("style", ["test", "valid"])
@pytest.mark.parametrize(("official", "scenario", "test"), CASES)
def test_the_log_shows_what_audit_config_asks_for(
    official: str, scenario: Scenario, test: ComplianceTest, style: RunStyle, tmp_path: Path
) -> None:
    made = conf(official, scenario, test, style)
    (tmp_path / AUDIT_CONFIG).write_text(made.audit)
    assert made.expect["effective_test_mode"] == "PerformanceOnly"
    # Unique samples are taken from the whole library, which therefore must not be smaller than the round says.
    samples = max(SAMPLES, int(made.settings.values["performance_sample_count_override"]))
    log = run_loadgen(made, test, tmp_path, whole=False, samples=samples)
    assert differences(made, log) == {}
    assert log["effective_accuracy_log_sampling_target"] == made.settings.values["accuracy_log_sampling_target"]


def test_server_is_derated_by_the_rounds_factor_and_other_scenarios_are_not() -> None:
    assert conf("resnet", "Server", "TEST01", "valid").settings.values["target_qps"] == pytest.approx(12 * 1.01 * 0.96)
    assert conf("resnet", "Server", "TEST04", "valid").settings.values["target_qps"] == pytest.approx(12 * 1.01 * 0.97)
    assert conf("resnet", "Offline", "TEST01", "valid").settings.values["target_qps"] == pytest.approx(12 * 1.01)


# --- our own harness --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return make_images(tmp_path_factory.mktemp("imagenet"), 12)


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_an_audit_config_that_lies_around_has_no_effect_on_an_ordinary_cell(
    images: ImageFolder, scenario: LoadgenScenario, tmp_path: Path
) -> None:
    attempt = new_attempt(tmp_path)
    (attempt / AUDIT_CONFIG).write_text(conf("resnet", scenario, "TEST01", "test").audit)
    result = run_cell(make_spec(images, None, scenario, accuracy=False), attempt, request_sha256="x")
    assert result.failure is None
    log = read_detail(attempt / "mlperf_log_detail.txt").values
    assert log["effective_accuracy_log_sampling_target"] == 0
    assert log["effective_accuracy_log_rng_seed"] == 0
    assert "warning_generic_message" not in log


@pytest.mark.parametrize(("test", "key", "value"), [
    ("TEST01", "effective_accuracy_log_sampling_target", 4096),
    ("TEST04", "effective_performance_issue_same_index", 3),
])  # fmt: skip
def test_a_compliance_cell_reads_its_own_audit_config_and_leaves_it_as_evidence(
    images: ImageFolder, test: ComplianceTest, key: str, value: int, tmp_path: Path
) -> None:
    plain = make_spec(images, None, "SingleStream", accuracy=False)
    made = conf("resnet", "SingleStream", test, "test")
    request = LoadgenRequest("resnet50", "SingleStream", "PerformanceOnly", made.text, made.expect, made.audit)
    spec = dataclasses.replace(plain, cell=dataclasses.replace(plain.cell, mode=test), loadgen=request)
    attempt = new_attempt(tmp_path)
    result = run_cell(spec, attempt, request_sha256="x")
    assert result.failure is None, result.failure
    assert (attempt / AUDIT_CONFIG).read_text() == made.audit
    assert (attempt / USER_CONF).read_text() == made.text
    assert read_detail(attempt / "mlperf_log_detail.txt").values[key] == value
    assert (attempt / "labels.txt").exists() == (test == "TEST01")


def test_a_compliance_cell_whose_audit_config_was_not_read_fails(images: ImageFolder, tmp_path: Path) -> None:
    plain = make_spec(images, None, "Offline", accuracy=False)
    made = conf("resnet", "Offline", "TEST04", "test")
    request = LoadgenRequest("resnet50", "Offline", "PerformanceOnly", made.text, made.expect)  # nothing written
    attempt = new_attempt(tmp_path)
    result = run_cell(dataclasses.replace(plain, loadgen=request), attempt, request_sha256="x")
    assert result.verdict == "failed"
    assert "effective_performance_issue_same is False, expected True" in result.reasons[0]
