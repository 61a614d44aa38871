"""Which cells of a plan a pattern chooses, and what is said of one that chooses none."""

from __future__ import annotations

import pytest

from mlperf_ops.errors import ConfigError
from mlperf_ops.model import Cell
from mlperf_ops.only import check_patterns, chosen, patterns_of
from tests.unit.test_plan import LITE0, host, keys, plan, refused, spec

CELLS = [
    Cell("sut1", "resnet50", "Offline", "performance"),
    Cell("sut1", "resnet50", "Offline", "TEST01"),
    Cell("sut1", "resnet50", "Server", "accuracy"),
    Cell("sut2", "bert-99", "Server", "performance"),
]


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("resnet50", [0, 1, 2]),
        ("resnet50/Offline", [0, 1]),
        ("*/Server", [2, 3]),
        ("*/*/performance", [0, 3]),
        ("resnet50/*/compliance", [1]),
        ("sut2/bert-99/Server/performance", [3]),
        ("bert*", [3]),
        ("sut1/*/*/*", [0, 1, 2]),
    ],
)
def test_a_pattern_chooses_by_its_parts(pattern: str, places: list[int]) -> None:
    assert [place for place, cell in enumerate(CELLS) if chosen(cell, [pattern])] == places
    check_patterns([pattern], CELLS, "here")


def test_without_patterns_every_cell_is_chosen_and_several_add_up() -> None:
    assert all(chosen(cell, ()) for cell in CELLS)
    assert [chosen(cell, ["bert-99", "*/Offline"]) for cell in CELLS] == [True, True, False, True]


def test_a_variable_may_be_a_list_or_one_text() -> None:
    assert patterns_of("resnet50/Offline, bert-99") == patterns_of(["resnet50/Offline", "bert-99"])
    assert patterns_of("") == ()


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        (
            "resnet5",
            "'resnet5': unknown benchmark 'resnet5'; expected one of bert-99, resnet50 (did you mean 'resnet50'?)",
        ),
        ("resnet50/Ofline", "unknown scenario 'Ofline'; expected one of Offline, Server (did you mean 'Offline'?)"),
        ("bert-99/Server/TEST01", "unknown mode 'TEST01'; expected one of performance"),
        ("Server/performance", "chooses no cell; a pattern is benchmark/scenario/mode, with * for any (did you mean"),
        ("Server/performance", "(did you mean '*/Server/performance'?)"),
        ("server", "(did you mean '*/Server'?)"),
        ("performance", "(did you mean '*/*/performance'?)"),
        ("sut1/resnet50", "(did you mean 'sut1/resnet50/*/*'?)"),
        ("sut1/resnet50/offline", "(did you mean 'sut1/resnet50/Offline/*'?)"),
        ("Server/compliance", "unknown benchmark 'Server'"),
        ("a/b/c/d/e", "has 5 parts; expected benchmark/scenario/mode"),
    ],
)
def test_a_pattern_that_chooses_nothing_is_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_patterns([pattern], CELLS, "here")
    assert sentence in str(caught.value)


def test_the_plan_is_whole_whatever_is_chosen_and_a_mistyped_choice_is_refused() -> None:
    assert keys(plan(a=host(only=["*/Offline"]))) == keys(plan(a=host()))
    assert plan(a=host(only="*/Offline")) == plan(a=host())
    assert "mlperf_only: 'efficientnet-lite0/Ofline': unknown scenario" in refused(
        a=host(only=["efficientnet-lite0/Ofline"])
    )


def test_the_prefix_of_a_host_stands_before_every_command_and_makes_another_spec() -> None:
    plain, prefixed = plan(a=host()), plan(a=host(cmd_prefix="perf stat -o 'a b'"))
    assert spec(prefixed, "Offline/performance").argv[:4] == ("perf", "stat", "-o", "a b")
    assert spec(prefixed, "Offline/performance").argv[4:] == spec(plain, "Offline/performance").argv
    before = {one.cell.key: one.request_sha256 for one in plain.cells}
    assert all(one.request_sha256 != before[one.cell.key] for one in prefixed.cells)


def test_the_prefix_of_a_benchmark_stands_in_place_of_that_of_the_host() -> None:
    own = plan(a=host({**LITE0, "cmd_prefix": "nice"}, cmd_prefix="perf stat"))
    assert spec(own, "Offline/performance").argv[:2] == ("nice", "{python}")
    none = plan(a=host({**LITE0, "cmd_prefix": ""}, cmd_prefix="perf stat"))
    assert spec(none, "Offline/performance").argv[0] == "{python}"


def test_a_prefix_that_is_no_command_line_names_its_place() -> None:
    assert "mlperf_cmd_prefix: not a command line" in refused(a=host(cmd_prefix="numactl '"))
