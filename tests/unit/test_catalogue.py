"""The catalogue: what is in it, and that every slip in a file is one sentence with file, line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlperf_ops.catalogue import (
    Catalogue,
    Preprocess,
    Round,
    read_catalogue,
)
from mlperf_ops.catalogue.component import CONVERT_OPTIONS
from mlperf_ops.commands.catalogue import app
from mlperf_ops.convert import CONVERTERS
from mlperf_ops.errors import ConfigError


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue()


@pytest.fixture(scope="module")
def v6_1(catalogue: Catalogue) -> Round:
    return catalogue.round("v6.1")


# --- what a round says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mapping", "official"),
    [
        ("resnet", {}, "resnet"),
        ("resnet50", {}, "resnet"),
        ("llama3_1-8b", {}, "llama3.1-8b"),
        ("own-net", {"own-net": "bert-99"}, "bert-99"),
        ("efficientnet-lite0", {}, "resnet"),  # guessed from the name
        ("efficientnet-lite0", {"efficientnet-lite0": "bert-99"}, "bert-99"),  # a mapping beats the guess
        ("resnet", {"resnet": "bert-99"}, "resnet"),  # but no official name
        ("own-net", {}, None),
        ("own-net", {"own-net": "retinanet"}, None),  # not in this round
        ("ssd-resnet34", {}, None),
    ],
)
def test_directory_names_find_their_benchmark(
    v6_1: Round, name: str, mapping: dict[str, str], official: str | None
) -> None:
    assert v6_1.official_name(name, mapping) == official


def test_scenarios_depend_on_the_category_of_the_system(v6_1: Round) -> None:
    edge = v6_1.scenarios("resnet50", "edge")
    assert edge is not None
    assert edge.required == ("SingleStream", "MultiStream", "Offline")
    assert edge.all == edge.required
    assert v6_1.scenarios("resnet50", "datacenter") is None
    both = v6_1.scenarios("resnet50", "edge,datacenter")
    assert both is not None
    assert both == v6_1.scenarios("resnet50", "datacenter,edge")
    assert "Server" in both.required
    llama = v6_1.scenarios("llama2-70b-99.9", "datacenter")
    assert llama is not None
    assert set(llama.one_of) == {"Server", "Interactive"}


def test_targets_and_counts_may_differ_per_scenario(v6_1: Round) -> None:
    (target,) = v6_1.accuracy_targets("resnet50", "Offline")
    assert (target.metric, target.min, target.reference, target.factor) == ("acc", 75.6954, 76.46, 0.99)
    assert v6_1.accuracy_sample_count("resnet50", "Offline") == 50000
    (offline,) = v6_1.accuracy_targets("qwen3-vl-235b-a22b", "Offline")
    (interactive,) = v6_1.accuracy_targets("qwen3-vl-235b-a22b", "Interactive")
    assert (offline.min, interactive.min) == (0.782397, 0.779922)
    assert v6_1.accuracy_sample_count("qwen3-vl-235b-a22b", "Interactive") == 8000
    assert v6_1.accuracy_sample_count("qwen3-vl-235b-a22b", "Offline") == 48289
    assert v6_1.accuracy_sample_count("gpt-oss-120b", "Offline") == 4395


def test_shortest_runs_and_tolerances(v6_1: Round) -> None:
    assert v6_1.min_duration_ms("resnet50") == 600_000
    assert v6_1.min_duration_ms("e2e-rag-db") == 0
    assert v6_1.accuracy_delta_perc("bert-99", "F1") == 1
    assert v6_1.accuracy_delta_perc("bert-99.9", "F1") == 0.1
    assert v6_1.accuracy_delta_perc("stable-diffusion-xl", "FID_SCORE") == 2


def test_an_unknown_benchmark_of_a_round_names_the_nearest(v6_1: Round) -> None:
    with pytest.raises(ConfigError, match=r"unknown benchmark of round v6\.1 'resnet5'") as caught:
        v6_1.rules("resnet5")
    assert caught.value.hint == "did you mean 'resnet50'?"


@pytest.mark.parametrize(
    ("key", "scenario", "division", "says"),
    [
        ("target_qps", "Server", "closed", None),
        ("target_qps", "Interactive", "closed", None),
        ("target_latency", "SingleStream", "closed", None),
        ("target_latency", "Server", "open", None),
        ("target_latency", "Server", "closed", "is not allowed for Server in the closed division"),
        ("target_latency", "Interactive", "network", "is not allowed for Interactive in the network division"),
        (
            "target_latency_percentile",
            "SingleStream",
            "closed",
            "is not allowed for SingleStream in the closed division",
        ),
        ("samples_per_query", "MultiStream", "closed", "is not allowed for MultiStream in the closed division"),
        ("target_qps", "SingleStream", "open", "has no effect in scenario SingleStream; it is for Offline, Server"),
        ("qsl_rng_seed", "Offline", "open", "must never be set"),
        ("accuracy_log_probability", "Offline", "open", "must never be set"),
        ("accuracy_log_sampling_target", "Offline", "open", "belongs to audit.config"),
        ("min_query_conut", "Offline", "open", "did you mean 'min_query_count'?"),
    ],
)
def test_user_conf_keys_are_judged_by_division_and_scenario(
    v6_1: Round, key: str, scenario: str, division: str, says: str | None
) -> None:
    problem = v6_1.user_conf.problem(key, scenario, division)  # type: ignore[arg-type]  # literals as parameters
    assert problem is None if says is None else says in str(problem)


# --- benchmarks, components, families ---------------------------------------------------------------


def test_benchmarks_are_found_by_name_and_alias(catalogue: Catalogue) -> None:
    assert catalogue.benchmark("resnet") is catalogue.benchmark("resnet50")
    with pytest.raises(ConfigError, match="unknown benchmark 'resnet5'") as caught:
        catalogue.benchmark("resnet5")
    assert caught.value.hint == "did you mean 'resnet50'?"
    for kind in ("round", "implementation", "component", "family", "lock_path"):
        with pytest.raises(ConfigError, match="unknown"):
            getattr(catalogue, kind)("no-such-thing")


def test_the_sweep_of_mobile_models_is_41_benchmarks_and_81_runs(catalogue: Catalogue) -> None:
    members = catalogue.family("mobile-imagenet")
    names = [one.name for one in members]
    assert len(names) == len(set(names)) == 41
    assert sum(name.startswith("mobilenet-") for name in names) == 36
    for version, widths in (("v1", "1.0 0.75 0.5 0.25"), ("v2", "1.0 0.75 0.5 0.35")):
        for width in widths.split():
            for pixels in (224, 192, 160, 128):
                assert f"mobilenet-{version}-{width}-{pixels}" in names
    for kind in ("large", "large-minimalistic", "small", "small-minimalistic"):
        assert f"mobilenet-v3-{kind}" in names
    assert [name for name in names if name.startswith("efficientnet")] == [f"efficientnet-lite{n}" for n in range(5)]
    assert sum(len(one.precisions) for one in members) == 81
    assert [one.name for one in members if len(one.precisions) == 1] == ["mobilenet-v3-small-minimalistic"]
    published = [name for one in members for name in one.precisions.values()]
    assert len(set(published)) == 81
    assert "mobilenet-v2-precision_uint8-0.35-160" in published
    assert "efficientnet-int8-lite3" in published
    assert {one.maps_to for one in members} == {"resnet"}
    assert [one.name for one in members if one.status == "runnable"] == [f"efficientnet-lite{n}" for n in range(3)]


def test_what_a_benchmark_says_of_loadgen_is_what_every_round_says(catalogue: Catalogue, v6_1: Round) -> None:
    assert v6_1.rules("3d-unet-99").equal_issue
    for one in catalogue.benchmarks.values():
        rules = [round_.models[one.maps_to] for round_ in catalogue.rounds.values() if one.maps_to in round_.models]
        for asked in rules:
            assert one.equal_issue == asked.equal_issue, one.name
            assert one.loadgen_conf_model == asked.loadgen_conf.conf_model, one.name
        if not rules:
            assert (one.equal_issue, one.loadgen_conf_model) == (False, None), one.name


def test_a_runnable_benchmark_says_how_its_pictures_become_tensors(catalogue: Catalogue) -> None:
    lite = catalogue.benchmark("efficientnet-lite1")
    assert lite.preprocess == {
        "kind": "imagenet",
        "image_size_px": 240,
        "crop": "central_fraction_then_resize",
        "resize_px": 272,
        "interpolation": "bicubic",
        "channel_order": "RGB",
        "mean": [127.0, 127.0, 127.0],
        "scale": 128.0,
    }
    official = catalogue.benchmark("resnet50")
    assert isinstance(official.preprocess_rules, Preprocess)
    assert official.preprocess_rules.crop_fraction == 0.875
    assert official.model is not None
    assert (official.model.output.kind, official.model.output.label_offset) == ("class_index", 1)
    assert catalogue.benchmark("mobilenet-v1-1.0-224").preprocess == {}


def test_components_from_packages_are_pinned_to_the_last_byte(catalogue: Catalogue) -> None:
    for one in catalogue.components.values():
        if one.source.type == "pypi":
            assert one.members, one.name
            assert one.source.file.replace("_", "-").startswith(f"{one.source.package}-{one.source.version}-")
        assert bool(one.how_to_get) == one.from_user
    pictures = catalogue.component("imagenet-20")
    assert len(pictures.members) == pictures.sample_count == 20
    pattern = re.compile(str(pictures.convert.options["pattern"])) if pictures.convert else None
    assert pattern is not None
    labels = [pattern.match(Path(member.path).name) for member in pictures.members]
    assert [int(found["label"]) for found in labels if found][:3] == [243, 559, 438]
    assert all(labels)


def test_there_is_a_checkout_of_every_round_s_checkers(catalogue: Catalogue) -> None:
    pinned = {
        one.source.commit: one.source.repository for one in catalogue.components.values() if one.source.type == "git"
    }
    for round_ in catalogue.rounds.values():
        assert pinned[round_.checker.commit] == round_.checker.repository
        if round_.checker.release is not None:
            assert pinned[round_.checker.release.commit] == round_.checker.repository
    assert [name for name, one in catalogue.rounds.items() if one.checker.release is not None] == ["v5.1"]


def test_every_converter_has_checked_options() -> None:
    assert set(CONVERT_OPTIONS) == set(CONVERTERS)


@pytest.mark.parametrize("name", ["v5.1", "v6.0", "v6.1"])
def test_the_lock_of_a_round_pins_its_loadgen_with_digests_and_names_no_machine(
    catalogue: Catalogue, name: str
) -> None:
    loadgen = catalogue.round(name).loadgen
    text = catalogue.lock_path(loadgen.requirements).read_text()
    pinned = re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)
    assert (loadgen.package, loadgen.version) in pinned
    assert {"numpy", "onnxruntime", "pillow"} <= {name for name, _ in pinned}
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pinned)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "http" not in text
    assert "index-url" not in text


def test_implementations_start_one_process_per_cell(catalogue: Catalogue) -> None:
    harness, dummy = catalogue.implementation("harness"), catalogue.implementation("dummy")
    assert harness.argv == ("{python}", "-m", "mlperf_ops.harness.sut", "--spec", "spec.json")
    assert (harness.simulated, dummy.simulated) == (False, True)
    assert dummy.frameworks == ("oracle",)


# --- the command ---------------------------------------------------------------------------------------


def test_list_and_show_print_tables_for_people_and_json_for_tools() -> None:
    runner = CliRunner()
    assert "efficientnet-lite0" in runner.invoke(app, ["list"]).stdout
    listed = yaml.safe_load(runner.invoke(app, ["list", "benchmarks", "--json"]).stdout)
    assert len(listed["benchmarks"]) == len(read_catalogue().benchmarks)
    shown = yaml.safe_load(runner.invoke(app, ["show", "resnet50", "--json"]).stdout)
    assert set(shown) == {"benchmarks/resnet50", "components/resnet50"}
    assert shown["benchmarks/resnet50"]["preprocess"]["interpolation"] == "area"
    only = yaml.safe_load(runner.invoke(app, ["show", "resnet", "--kind", "benchmarks", "--json"]).stdout)
    assert set(only) == {"benchmarks/resnet50"}
    text = runner.invoke(app, ["show", "v6.1"]).stdout
    assert "acc >= 75.6954" in text
    assert "2085463073848966840" in text
    failed = runner.invoke(app, ["show", "resnet51"])
    assert isinstance(failed.exception, ConfigError)
    assert failed.exception.hint == "did you mean 'resnet50'?"
