"""Every check of the official checkers has a rule of ours; a check that comes new is noticed.

The modular checker's checks are read from the checkout that MLPERF_INFERENCE_CHECKOUT names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlperf_ops.checker.registry import all_rules

CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT")

# Check of the modular checker -> our rules that say the same, or say it right where the check is known to be wrong.
MODULAR: dict[str, set[str]] = {
    "performance_check.missing_check": {"missing-file"},
    "performance_check.scenarios_check": {"missing-scenario", "scenario-not-allowed"},
    "performance_check.loadgen_errors_check": {"loadgen-errors"},  # dead there without a flag
    "performance_check.equal_issue_check": {"equal-issue"},  # dead and inverted there
    "performance_check.performance_sample_count_check": {"performance-sample-count"},
    "performance_check.seeds_check": {"seeds"},
    "performance_check.latency_check": {"early-stopping", "latency-limit"},
    "performance_check.min_query_count_check": {"min-queries"},
    "performance_check.min_duration_check": {"min-duration"},
    "performance_check.network_check": {"system-network", "network-sut-name"},
    "performance_check.llm_check": {"token-latency"},
    "performance_check.inferred_check": {"log-scenario"},
    "performance_check.get_performance_metric_check": {"result-value", "log-incomplete", "loadgen-validity"},
    "performance_check.endpoints_model_check": {"endpoints-benchmark"},
    "accuracy_check.accuracy_result_check": {"accuracy-target", "accuracy-metric-missing", "accuracy-hash"},
    "accuracy_check.accuracy_json_check": {"missing-file", "accuracy-log-size"},
    "accuracy_check.loadgen_errors_check": {"loadgen-errors"},
    "accuracy_check.dataset_check": {"dataset-size"},
    "accuracy_check.extra_files_check": {"accuracy-artifacts"},
    "accuracy_check.endpoints_model_check": {"endpoints-benchmark"},
    "system_check.missing_check": {"system-description-missing"},
    "system_check.availability_check": {"system-field-value"},
    "system_check.system_type_check": {"system-field-value"},
    "system_check.network_check": {"system-network"},
    "system_check.required_fields_check": {"system-field-missing", "system-field-empty"},
    "system_check.submitter_check": {"system-field-value"},
    "system_check.division_check": {"system-field-value"},
    "system_check.nameplate_power_check": {"nameplate-power"},
    "measurements_checks.missing_check": {"missing-file"},
    "measurements_checks.directory_exist_check": {"missing-src"},
    "measurements_checks.required_files_check": {"missing-file", "empty-file"},
    "measurements_checks.required_fields_check": {"measurements-field-missing", "measurements-field-empty"},
    "power_check.required_files_check": {"missing-file", "stray-file"},
    "power_check.external_power_check": {
        *("power-session", "power-sources", "power-meter", "power-identity", "power-clock", "power-level"),
        *("power-messages", "power-digests", "power-meter-errors", "power-debug", "power-uncertainty"),
    },
    "power_check.get_power_metric_check": {"power-readings"},
    "compliance_check.dir_exists_check": {"missing-compliance"},
    "compliance_check.performance_check": {"seeds", "min-duration", "min-queries", "early-stopping", "log-unreadable"},
    "compliance_check.accuracy_check": {"compliance-failed", "compliance-accuracy", "missing-compliance"},
    "compliance_check.compliance_performance_check": {"compliance-performance", "missing-compliance", "stray-file"},
    "compliance_check.compliance_endpoints_check": {"endpoints-audit"},
}
# What only the old and the release checkers look at -> our rules.
EARLIER: dict[str, set[str]] = {
    "files in the root": {"stray-file"},
    "files in a division": {"stray-file"},
    "broken symbolic links": {"symlink"},
    "files above the limit": {"file-size"},
    "names that start with a dot": {"hidden-name"},
    "names with spaces": {"space-in-name"},
    "__pycache__": {"pycache"},
    "empty folders": {"empty-folder"},
    "systems without results": {"system-without-results"},
    "results without system description": {"system-description-missing"},
    "calibration": {"missing-calibration"},
    "files of the power measurement beside the result": {"missing-file"},
    "lists of performance and accuracy files": {"missing-file", "stray-file"},
    "result_validity": {"loadgen-validity"},
    "errors of LoadGen in performance logs": {"loadgen-errors"},
    "limits of Interactive by the folder's scenario": {"token-latency", "latency-limit"},
    "accuracy folder of a deterministic TEST01": {"missing-compliance", "stray-file"},
}


@pytest.mark.parametrize(("check", "rules"), [*MODULAR.items(), *EARLIER.items()])
def test_every_official_check_has_rules_of_ours(check: str, rules: set[str]) -> None:
    assert rules, check
    assert rules <= set(all_rules())


@pytest.mark.skipif(CHECKOUT is None, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference")
def test_the_official_checker_has_no_check_that_we_do_not_know() -> None:
    folder = Path(str(CHECKOUT)) / "tools/submission/submission_checker/checks"
    found = {
        f"{path.stem}.{name}"
        for path in folder.glob("*_check*.py")
        for name in re.findall(r"self\.checks\.append\(\s*self\.(\w+)\)", path.read_text())
    }
    assert found - {"structure_check.sample_check"} == set(MODULAR)  # an unused sample
