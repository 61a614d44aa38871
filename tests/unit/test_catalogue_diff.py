"""What changed between two rounds, and what has to be run again."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner

from mlperf_ops.catalogue import Catalogue, Round, load_catalogue
from mlperf_ops.catalogue.diff import ALL_RUNS, diff_rounds
from mlperf_ops.catalogue.diff_models import Change
from mlperf_ops.commands.catalogue import app
from mlperf_ops.errors import ConfigError

CATALOGUE: Catalogue = load_catalogue()
V61 = CATALOGUE.round("v6.1")
RUNNER = CliRunner()


def later(**models: Mapping[str, object]) -> Round:
    """Return a round with the seeds of v6.1 in which some rules of some models are others."""
    changed = {name: V61.models[name].model_copy(update=update) for name, update in models.items()}
    return V61.model_copy(update={"name": "v6.2", "models": {**V61.models, **changed}})


def changes(new: Round, model: str) -> list[tuple[str, str, str, str]]:
    found = diff_rounds(V61, new, CATALOGUE)
    assert set(found.changed) == {model}
    return [(one.what, one.before, one.after, one.again) for one in found.changed[model]]


def test_v6_0_to_v6_1_is_what_a_submitter_has_to_know() -> None:
    found = diff_rounds(CATALOGUE.round("v6.0"), V61, CATALOGUE)
    assert found.everything_again == (
        "the seeds differ: v6.1 accepts no run of v6.0, so accuracy, performance and compliance tests of every "
        "benchmark have to run again with mlcommons-loadgen 6.0.17"
    )
    assert found.added == ("qwen3.6-27b", "e2e-rag-qna", "e2e-rag-db")
    assert {one.name: one.successor for one in found.gone} == {
        "retinanet": "yolo-99",
        "llama2-70b-99": "llama2-70b-99.9",
        "mixtral-8x7b": None,
        "llama3.1-405b": None,
        "pointpainting": None,
    }
    assert set(found.changed) == {"stable-diffusion-xl", "wan-2.2-t2v-a14b", "qwen3-vl-235b-a22b"}
    assert (
        Change("latency", "Interactive latency", "-", "1500 ms", "performance") in found.changed["qwen3-vl-235b-a22b"]
    )
    assert "resnet" in found.unchanged
    assert found.again["resnet"] == (ALL_RUNS,)
    rules = {one.what: (one.before, one.after) for one in found.round_changes}
    assert rules["LoadGen package"] == ("mlcommons-loadgen 6.0.15", "mlcommons-loadgen 6.0.17")
    assert rules["limit: min duration exempt models"] == ("-", "e2e-rag-qna, e2e-rag-db")
    assert rules["path of nameplate power"] == ("-", "{division}/{submitter}/systems/{system}_power.yaml")


def test_v5_1_to_v6_0_names_the_layout_and_the_scenarios() -> None:
    found = diff_rounds(CATALOGUE.round("v5.1"), CATALOGUE.round("v6.0"), CATALOGUE)
    layout = {one.what: (one.after, one.again) for one in found.round_changes if one.area == "layout"}
    assert layout["path of src dir"] == ("{division}/{submitter}/src", "the submission tree (no runs)")
    assert layout["path of measurements"][0].endswith("/{scenario}/measurements.json")
    assert {one.what for one in found.round_changes if one.area == "compliance"} == {
        "files of TEST07",
        "files of TEST08",
        "files of TEST09",
    }
    assert ("key accuracy_sample_count_override", "-") in {(one.what, one.before) for one in found.round_changes}
    deepseek = {(one.what, one.before, one.after) for one in found.changed["deepseek-r1"]}
    assert ("scenarios on datacenter systems", "Server, Offline", "Offline, Server or Interactive") in deepseek
    assert ("LoadGen's name for it in the scenario Interactive", "-", "deepseek-r1-interactive") in deepseek
    retinanet = {one.what: (one.before, one.after) for one in found.changed["retinanet"]}
    assert retinanet["scenarios on edge systems"] == ("SingleStream, MultiStream, Offline", "-")
    assert {one.name: one.successor for one in found.gone} == {"dlrm-v2-99": "dlrm-v3", "dlrm-v2-99.9": "dlrm-v3"}


def test_with_equal_seeds_only_what_a_rule_touches_runs_again() -> None:
    resnet = V61.models["resnet"]
    targets = (resnet.accuracy[0].model_copy(update={"min": 80.0, "reference": None, "factor": None}),)
    edge = resnet.suites["edge"].model_copy(update={"required": (*resnet.suites["edge"].required, "Server")})
    new = later(
        resnet={
            "accuracy": targets,
            "suites": {**resnet.suites, "edge": edge},
            "performance_sample_count": 2048,
            "target_latency_ns": {"Server": 10_000_000},
            "compliance": ("TEST01", "TEST04", "TEST06"),
        }
    )
    assert changes(new, "resnet") == [
        (
            "scenarios on edge systems",
            "SingleStream, MultiStream, Offline",
            "SingleStream, MultiStream, Server, Offline",
            "all runs of Server",
        ),
        ("accuracy", "acc >= 75.6954", "acc >= 80", "accuracy, if the score is too low now"),
        ("samples loaded in a performance run", "1024", "2048", "performance"),
        ("Server latency", "15 ms", "10 ms", "performance"),
        ("compliance tests", "TEST01, TEST04", "TEST01, TEST04, TEST06", "TEST06"),
    ]
    found = diff_rounds(V61, new, CATALOGUE)
    assert found.everything_again is None
    assert found.again["bert-99"] == ()
    assert found.again["resnet"] == (
        "all runs of Server",
        "accuracy, if the score is too low now",
        "performance",
        "TEST06",
    )


def test_token_latencies_bounds_of_answers_and_durations_are_compared() -> None:
    llama = V61.models["llama3.1-8b"]
    tight = llama.token_latency_limits_ns["Interactive"].model_copy(update={"ttft": 400_000_000})
    new = later(**{"llama3.1-8b": {"token_latency_limits_ns": {**llama.token_latency_limits_ns, "Interactive": tight}}})
    assert changes(new, "llama3.1-8b") == [("Interactive time to first token", "500 ms", "400 ms", "performance")]
    limits = V61.limits.model_copy(update={"min_duration_exempt_models": ()})
    found = diff_rounds(V61, V61.model_copy(update={"name": "v6.2", "limits": limits}), CATALOGUE)
    assert set(found.changed) == {"e2e-rag-qna", "e2e-rag-db"}
    assert found.changed["e2e-rag-db"] == (Change("limits", "shortest performance run", "0 s", "600 s", "performance"),)


def test_equal_rounds_have_no_difference_and_one_round_cannot_be_compared() -> None:
    assert diff_rounds(V61, V61.model_copy(update={"name": "v6.2"}), CATALOGUE).equal
    with pytest.raises(ConfigError, match=r"both rounds are v6\.1"):
        diff_rounds(V61, V61, CATALOGUE)


def test_a_field_of_the_system_description_is_named_by_itself() -> None:
    fields = V61.system_description
    more = fields.model_copy(update={"required": (*fields.required, "rack"), "non_empty": fields.non_empty[1:]})
    found = diff_rounds(V61, V61.model_copy(update={"name": "v6.2", "system_description": more}), CATALOGUE)
    assert {(one.what, one.before, one.after) for one in found.round_changes} == {
        ("system description: rack", "-", "required"),
        (f"system description: {fields.non_empty[0]}", "required, not empty", "required"),
    }


def test_the_command_prints_tables_for_people_and_json_for_tools() -> None:
    text = RUNNER.invoke(app, ["diff", "v6.0", "v6.1"]).stdout
    assert text.startswith("From round v6.0 to v6.1\n\nRun again: everything; the seeds differ: ")
    assert "New benchmarks: qwen3.6-27b, e2e-rag-qna, e2e-rag-db\n" in text
    assert "No longer there: retinanet (now yolo-99), " in text
    assert "Same rules: resnet, " in text
    shown = json.loads(RUNNER.invoke(app, ["diff", "v6.0", "v6.1", "--json"]).stdout)
    assert shown["run_again"]["everything"] is True
    assert shown["run_again"]["benchmarks"]["resnet"] == ["all runs"]
    assert shown["benchmarks"]["gone"][0] == {"name": "retinanet", "was_in": "v2.1 to v6.0", "successor": "yolo-99"}
    assert {
        "area": "latency",
        "what": "Interactive latency",
        "before": "-",
        "after": "1500 ms",
        "again": "performance",
    } in (shown["benchmarks"]["changed"]["qwen3-vl-235b-a22b"])
    failed = RUNNER.invoke(app, ["diff", "v6.0", "v6.2"])
    assert isinstance(failed.exception, ConfigError)
    assert "unknown round 'v6.2'" in failed.exception.message
    assert "can only be looked up" in str(RUNNER.invoke(app, ["diff", "v5.0", "v6.1"]).exception)
