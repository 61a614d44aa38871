"""Which rounds had a benchmark, what took its place, and what asking for one in the wrong round answers."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from typer.testing import CliRunner

from mlperf_ops.catalogue import Catalogue, load_catalogue
from mlperf_ops.catalogue.history import foreign_test, not_in_round, round_names, rounds_of, span, successors
from mlperf_ops.cli import main
from mlperf_ops.commands.catalogue import app
from mlperf_ops.errors import ConfigError

CATALOGUE: Catalogue = load_catalogue()


def test_rounds_are_known_from_the_first_to_the_newest() -> None:
    assert " ".join(round_names(CATALOGUE)) == "v0.5 v0.7 v1.0 v1.1 v2.0 v2.1 v3.0 v3.1 v4.0 v4.1 v5.0 v5.1 v6.0 v6.1"


def test_every_benchmark_of_every_round_is_an_entry_of_the_catalogue() -> None:
    official = {one.maps_to for one in CATALOGUE.benchmarks.values() if one.official}
    for rounds in (CATALOGUE.rounds, CATALOGUE.earlier_rounds):
        for round_ in rounds.values():
            assert set(round_.models) <= official, round_.name


@pytest.mark.parametrize(
    ("name", "entry", "rounds"),
    [
        ("resnet", "resnet50", "since v0.5"),
        ("bert", "bert-99", "since v0.7"),
        ("3d-unet", "3d-unet-99", "since v0.7"),
        ("dlrm", "dlrm-99", "v0.7 to v3.0"),
        ("dlrm-v2", "dlrm-v2-99", "v3.1 to v5.1"),
        ("dlrm-v3", "dlrm-v3", "since v6.0"),
        ("gpt-j", "gptj-99", "v3.1 to v5.0"),
        ("rnnt", "rnnt", "v0.7 to v4.0"),
        ("ssd-large", "ssd-resnet34", "v0.5 to v2.0"),
        ("ssd-small", "ssd-mobilenet", "v0.5 to v2.0"),
        ("retinanet", "retinanet", "v2.1 to v6.0"),
        ("sdxl", "stable-diffusion-xl", "since v4.0"),
        ("llama2-70b", "llama2-70b-99.9", "since v4.0"),
        ("llama3_1-8b", "llama3.1-8b", "since v5.1"),
        ("mixtral", "mixtral-8x7b", "v4.1 to v6.0"),
        ("yolo", "yolo-99", "since v6.0"),
        ("whisper", "whisper", "since v5.1"),
        ("qwen3-vl", "qwen3-vl-235b-a22b", "since v6.0"),
        ("gnmt", "gnmt", "v0.5"),
        ("e2e-rag", "e2e-rag-qna", "v6.1"),
    ],
)
def test_names_that_people_use_find_the_benchmark_and_its_rounds(name: str, entry: str, rounds: str) -> None:
    found = CATALOGUE.benchmark(name)
    assert found.name == entry
    assert span(rounds_of(found.maps_to, CATALOGUE), CATALOGUE) == rounds


@pytest.mark.parametrize(
    ("name", "round_", "sentence"),
    [
        ("resnet50", "v6.1", None),
        (
            "ssd-resnet34",
            "v6.1",
            "'ssd-resnet34': it was in v0.5 to v2.0, and retinanet (v2.1 to v6.0), then yolo-99 took its place",
        ),
        (
            "ssd-resnet34",
            "v5.1",
            "round v5.1 has no benchmark 'ssd-resnet34': it was in v0.5 to v2.0, and retinanet took its place",
        ),
        ("rnnt", "v6.0", "round v6.0 has no benchmark 'rnnt': it was in v0.7 to v4.0, and whisper took its place"),
        (
            "mixtral",
            "v6.1",
            "'mixtral-8x7b': it was in v4.1 to v6.0, and the round has nothing in its place",
        ),
        ("yolo-99", "v5.1", "round v5.1 has no benchmark 'yolo-99': it is new in v6.0"),
        ("llama2-70b-interactive", "v5.1", "it was in v5.0, and llama2-70b-99.9 took its place"),
    ],
)
def test_asking_in_the_wrong_round_is_answered_in_one_sentence(name: str, round_: str, sentence: str | None) -> None:
    said = not_in_round(CATALOGUE.benchmark(name), CATALOGUE.round(round_), CATALOGUE)
    assert said is None if sentence is None else str(said).endswith(sentence)


def test_rounds_with_gaps_are_listed_and_a_circle_of_successors_ends() -> None:
    assert span(("v2.0", "v3.0"), CATALOGUE) == "v2.0, v3.0"
    assert span((), CATALOGUE) == "no round"
    first = CATALOGUE.benchmark("ssd-resnet34")
    second = CATALOGUE.benchmark("retinanet").model_copy(update={"successor": "ssd-resnet34"})
    changed = dataclasses.replace(CATALOGUE, benchmarks={**CATALOGUE.benchmarks, "retinanet": second})
    assert [one.name for one in successors(first, changed)] == ["retinanet"]
    assert "nothing in its place" in str(not_in_round(first, changed.round("v6.1"), changed))


def test_tests_that_only_earlier_rounds_had_are_named_with_the_benchmarks_that_needed_them() -> None:
    rounds = CATALOGUE.earlier_rounds
    split = ("TEST04-A", "TEST04-B")
    assert [name for name in rounds if set(split) <= set(rounds[name].compliance_tests)] == (
        ["v0.5", "v0.7", "v1.0", "v1.1", "v2.0"]
    )
    assert [name for name in rounds if "TEST05" in rounds[name].compliance_tests] == [*rounds][:-1]
    assert rounds["v1.1"].models["ssd-large"].compliance == ("TEST01", *split, "TEST05")
    assert rounds["v1.1"].models["bert-99"].compliance == ("TEST01", "TEST05")
    assert rounds["v4.1"].models["resnet"].compliance == ("TEST01", "TEST04", "TEST05")
    assert rounds["v5.0"].models["gptj-99"].compliance == ("TEST06",)


def test_a_round_that_can_only_be_looked_up_says_so_and_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"lab: round v4\.1 can only be looked up; expected one of v5\.1") as caught:
        CATALOGUE.round("v4.1", "lab")
    assert caught.value.hint == "mlperf-ops catalogue show v4.1"
    runner = CliRunner()
    text = runner.invoke(app, ["show", "v4.1"]).stdout
    assert "gptj-99.9" in text
    assert "TEST05" in text


def test_show_tells_the_rounds_of_a_benchmark_and_its_rules_in_one() -> None:
    runner = CliRunner()
    text = runner.invoke(app, ["show", "ssd-large"]).stdout
    assert "rounds: v0.5 v0.7 v1.0 v1.1 v2.0" in text
    assert "metrics: mAP" in text
    assert "successor: retinanet" in text
    shown = yaml.safe_load(runner.invoke(app, ["show", "bert", "--json"]).stdout)["benchmarks/bert-99"]
    assert (shown["rounds"][0], shown["metrics"], shown["task"]) == ("v0.7", ["F1"], "language")
    rules = yaml.safe_load(runner.invoke(app, ["show", "bert", "--round", "v6.1", "--json"]).stdout)
    assert rules["rules"]["accuracy"][0]["min"] == 89.96526
    assert "min: 89.96526" in runner.invoke(app, ["show", "bert", "--round", "v6.1"]).stdout
    failed = runner.invoke(app, ["show", "retinanet", "--round", "v6.1"])
    assert isinstance(failed.exception, ConfigError)
    assert failed.exception.message.endswith("it was in v2.1 to v6.0, and yolo-99 took its place")
    listed = runner.invoke(app, ["list", "benchmarks"]).stdout
    assert "v2.1 to v6.0" in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ["accuracy", "--round", "v6.1", "--benchmark", "rnnt", "--text", "accuracy.txt"],
        ["compliance", "list", "--round", "v6.1", "--benchmark", "rnn-t"],
        ["user-conf", "render", "rnnt", "Offline", "--round", "v6.1", "--division", "closed"],
    ],
)
def test_every_verb_says_what_took_the_place_of_a_retired_benchmark(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "round v6.1 has no benchmark 'rnnt': it was in v0.7 to v4.0, and whisper took its place" in (
        capsys.readouterr().err
    )


def test_each_test_of_the_catalogue_is_told_in_the_rounds_that_have_it_not() -> None:
    catalogue = load_catalogue()
    names: set[str] = {test for one in catalogue.earlier_rounds.values() for test in one.compliance_tests}
    names.update(test for one in catalogue.rounds.values() for test in one.compliance_files)
    for round_ in catalogue.rounds.values():
        told = {test for test in names if foreign_test(test, round_, catalogue) is not None}
        assert told == names - set(round_.compliance_files)
    assert foreign_test("TEST09", catalogue.round("v5.1"), catalogue) == (
        "TEST09 is a compliance test only since v6.0, and none of round v5.1"
    )
    assert foreign_test("TEST99", catalogue.round("v6.1"), catalogue) is None
