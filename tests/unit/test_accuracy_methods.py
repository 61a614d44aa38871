"""Every method and every scorer of the catalogue fit together; the figures of the methods have tests of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlperf_ops.accuracy import Request, compute
from mlperf_ops.accuracy.model import library
from mlperf_ops.accuracy.registry import METHODS, module_of
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.scorer_parameters import METHOD_PARAMETERS
from mlperf_ops.errors import ConfigError, ToolError


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_what_the_protocol_names(name: str) -> None:
    module = module_of(name)
    assert callable(module.score)


def test_every_method_has_parameters() -> None:
    assert set(METHODS) == set(METHOD_PARAMETERS)


@pytest.mark.parametrize("round_", ["v5.1", "v6.0", "v6.1"])
def test_every_benchmark_of_a_round_has_one_scorer_for_all_its_metrics(round_: str) -> None:
    catalogue = load_catalogue()
    entry = catalogue.round(round_)
    for model in entry.models:
        owners = [scorer for scorer in catalogue.scorers.values() if model in scorer.models]
        assert len(owners) == 1, model
        for scenario in ("Offline", "Server", "Interactive"):
            wanted = {target.metric for target in entry.accuracy_targets(model, scenario)}
            assert wanted == set(owners[0].metrics), (model, scenario)


def test_the_example_of_every_scorer_states_its_metrics() -> None:
    catalogue = load_catalogue()
    for scorer in catalogue.scorers.values():
        if scorer.name == "dlrm-v3-entropy":  # its form has three lines, of which one is the example
            continue
        for metric in scorer.metrics:
            pattern = catalogue.round("v6.1").accuracy_regex[metric]
            assert re.match(pattern, scorer.form), (scorer.name, metric)


def test_a_parameter_that_does_not_exist_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match=r"unknown parameter 'dtipe'.*did you mean 'dtype'"):
        compute("top1", Request(Path("log"), {}, {"dtipe": "int32"}))
    with pytest.raises(ConfigError, match=r"parameter dtype: unknown value 'int33'; expected one of .*int32, int64"):
        compute("top1", Request(Path("log"), {}, {"dtype": "int33"}))


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(ToolError, match=r"package no-such cannot be imported.*mlperf-ops\[metrics\]"):
        library("no_such_package_here", "no-such")


def test_the_reference_page_has_every_scorer() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "accuracy.md").read_text()
    for scorer in load_catalogue().scorers.values():
        line = next(line for line in page.splitlines() if f"`{scorer.official.script}` |" in line and line[0] == "|")
        assert all(model in line for model in scorer.models), scorer.name
        assert all(metric in line for metric in scorer.metrics), scorer.name
        assert f"| {scorer.name} | `{scorer.form}` |" in page, scorer.name
