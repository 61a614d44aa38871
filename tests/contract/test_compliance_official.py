"""Settings and bounds of the compliance tests against the audit.config files and scripts of an official checkout.

MLPERF_INFERENCE_CHECKOUT names one of mlcommons/inference at the commit of v6.0 and v6.1, and
MLPERF_INFERENCE_CHECKOUT_V5_1 one at the tag v5.1.1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlperf_ops.catalogue import Round, load_catalogue
from mlperf_ops.compliance.audit import audit_settings
from mlperf_ops.loadgen_keys import AUDIT_KEYS, CONF_KEYS

CHECKOUTS = {
    "v5.1": os.environ.get("MLPERF_INFERENCE_CHECKOUT_V5_1"),
    "v6.0": os.environ.get("MLPERF_INFERENCE_CHECKOUT"),
    "v6.1": os.environ.get("MLPERF_INFERENCE_CHECKOUT"),
}
SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")


@pytest.fixture(params=sorted(CHECKOUTS))
def ours(request: pytest.FixtureRequest) -> Round:
    if CHECKOUTS[request.param] is None:
        pytest.skip(f"no checkout of mlcommons/inference is named for {request.param}")
    return load_catalogue().round(request.param)


def compliance(round_: Round) -> Path:
    return Path(str(CHECKOUTS[round_.name]))


def lines(path: Path) -> dict[str, str]:
    """Key -> value of a configuration file, as LoadGen reads it."""
    found = re.findall(r"^\s*([^#\s]\S*)\s*=\s*(\S+)", path.read_text(), re.MULTILINE)
    assert found, path
    return dict(found)


def official_config(round_: Round, test: str, model: str) -> Path:
    run = round_.compliance[test]  # type: ignore[index]  # a known test
    own = run.models.get(model)
    folder = "" if own is None or own.folder is None else own.folder
    return compliance(round_) / run.config.format(folder=folder)


def pairs(round_: Round) -> list[tuple[str, str]]:
    return [(test, model) for model, rules in round_.models.items() for test in rules.compliance]


def test_every_test_of_every_benchmark_has_the_official_settings(ours: Round) -> None:
    """What LoadGen takes of the official file, for the model '*' in each scenario, is what we ask for."""
    assert pairs(ours)
    for test, model in pairs(ours):
        official = lines(official_config(ours, test, model))
        settings = audit_settings(ours, test, model)  # type: ignore[arg-type]  # a known test
        for scenario in SCENARIOS:
            taken = {
                key: int(official[name])
                for key in CONF_KEYS | AUDIT_KEYS
                for name in (f"*.{scenario}.{key}", f"*.*.{key}")
                if name in official
            }
            assert settings == taken, (test, model, scenario)


def test_lines_for_single_models_are_known_and_have_no_effect(ours: Round) -> None:
    for test, run in ours.compliance.items():
        if "{folder}" in run.config:
            continue
        official = lines(compliance(ours) / run.config)
        single = {name: int(value) for name, value in official.items() if not name.startswith("*.")}
        known = {
            f"{model}.{scenario}.{key}": value
            for model, audit in run.models.items()
            for scenario, keys in audit.ignored.items()
            for key, value in keys.items()
        }
        assert single == known, test
    # Obeying them, a closed Offline run would miss the samples that the checker asks of the test's log, too.
    for model, audit in ours.compliance["TEST04"].models.items():
        least = ours.rules(model).offline_min_samples_per_query
        assert least is not None
        assert audit.ignored["Offline"]["min_query_count"] < least


def test_the_least_score_and_the_output_lengths_are_the_official_ones(ours: Round) -> None:
    for test, model in pairs(ours):
        official = lines(official_config(ours, test, model))
        own = ours.compliance[test].models.get(model)  # type: ignore[index]
        least = official.get("*.*.test07_accuracy_threshold")
        assert (None if least is None else float(least)) == (None if own is None else own.accuracy_minimum), model
        bounds = [official.get(f"*.*.test09_{end}_output_tokens") for end in ("min", "max")]
        if bounds != [None, None]:
            known = ours.compliance_files[test].mean_output_tokens[model]  # type: ignore[index]
            assert tuple(float(str(bound)) for bound in bounds) == known, model


def test_the_bounds_of_the_scripts_are_the_same(ours: Round) -> None:
    folder = compliance(ours) / "compliance"
    for test in ("TEST01", "TEST04"):
        text = (folder / test / "verify_performance.py").read_text()
        bounds = ours.compliance[test].performance
        assert bounds is not None
        assert [float(found) for found in re.findall(r"threshold = ([\d.]+)", text)] == [
            bounds.part,
            bounds.part_if_fast,
        ]
        for scenario, limit in bounds.fast_up_to.items():
            assert re.search(rf'"{scenario}"\s+and\s+(?:float\()?ref_score\)?\s*<=\s*{limit:.0f}', text), scenario
        assert bounds.slower_too == ("1 - threshold" in text)
        assert bounds.as_rate == ("1e9 /" in text)
    eos = re.search(r'"--eos_token_id", "-e", default=(\d+)', (folder / "TEST06" / "run_verification.py").read_text())
    assert eos is not None
    assert int(eos[1]) == ours.compliance["TEST06"].eos_token_id
    if "TEST08" in ours.compliance:
        found = re.search(r'"--tolerance",\s+default=([\d.]+)', (folder / "TEST08" / "run_verification.py").read_text())
        assert found is not None
        assert float(found[1]) == ours.compliance["TEST08"].relative_tolerance


def test_no_test_of_the_checkout_is_left_out() -> None:
    round_ = load_catalogue().round("v6.1")
    if CHECKOUTS["v6.1"] is None:
        pytest.skip("no checkout of mlcommons/inference is named for v6.1")
    folders = {path.name for path in (compliance(round_) / "compliance").iterdir() if path.name.startswith("TEST")}
    assert folders == set(round_.compliance) == set(round_.compliance_files)
