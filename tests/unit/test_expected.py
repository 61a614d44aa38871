"""No sentence to the user shows pydantic's wording, wherever a wrong value stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core.core_schema import ErrorType

from mlperf_ops.accuracy.registry import parameters_of
from mlperf_ops.catalogue.problems import validate
from mlperf_ops.cli import main
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.expected import expected, sentence_of
from mlperf_ops.files import Json
from mlperf_ops.importing.import_map import ImportMap
from mlperf_ops.lab import check_host
from mlperf_ops.lab_vars import BenchmarkEntry, HostVars
from mlperf_ops.plan_model import Limit
from mlperf_ops.tuning import Tuning
from mlperf_ops.typed import load

THEIRS = re.compile(
    r"(Input|String|input|string) should|Value error|Assertion error|[Ff]ield required|not permitted|instance of|valid "
    r"(integer|number|string|boolean|list|tuple|dictionary)|pydantic|\bdict\b|\btuple\b|\bNoneType\b|\bint\b|\bstr\b"
)
WRONG: tuple[Json, ...] = (None, True, -1, 0, 3.5, "", "no such thing", "12x", [], [3], {}, {"no": "such"}, [[{}]])
VARS: dict[str, Json] = {
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "Example",
    "mlperf_home": "/srv/mlperf",
    "mlperf_system_type": "edge",
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
}


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_every_kind_of_error_has_words_of_ours(kind: str) -> None:
    limits = {"gt": 1, "ge": 1.5, "lt": 2, "le": 2, "multiple_of": 2, "min_length": 2, "max_length": 3}
    context = {**limits, "pattern": "^a$", "expected": "'a' or 'b'", "field_type": "Dictionary"}
    detail: Any = {"type": kind, "loc": ("x",), "msg": "theirs", "input": 3, "ctx": context}
    said = expected(detail)
    assert THEIRS.search(said) is None
    assert (said == "") == (kind in {"value_error", "assertion_error"})


@pytest.mark.parametrize(
    ("hint", "value", "says"),
    [
        (int, "x", 'expected a whole number, found "x"'),
        (int | bool, [], "expected a whole number or true or false, found []"),
        (tuple[int, ...], 3, "expected a list, found 3"),
        (dict[str, int], [], "expected a mapping, found []"),
        (str, {"a": 1}, 'expected text, found {"a": 1}'),
        (str, None, "expected text, found null"),
    ],
)
def test_a_sentence_says_what_was_expected_and_found(hint: Any, value: Json, says: str) -> None:  # noqa: ANN401  # types
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(hint).validate_python(value)
    assert sentence_of(caught.value.errors()) == says


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x" * 1000)
    assert len(sentence_of(caught.value.errors())) < 130


def _said(variables: dict[str, Json]) -> str:
    try:
        check_host("a", variables, lambda _host, _path, _value: "inventory/all.yml:3")
    except ConfigError as error:
        return str(error)
    return ""


def _places(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


@pytest.mark.parametrize("name", _places(HostVars))
def test_a_wrong_variable_of_the_inventory(name: str) -> None:
    for value in WRONG:
        said = _said({**VARS, name: value})
        assert THEIRS.search(said) is None, said
        assert not said or said.startswith(("inventory/all.yml:3: ", "host a: "))


@pytest.mark.parametrize("name", _places(BenchmarkEntry))
def test_a_wrong_key_of_a_benchmark(name: str) -> None:
    for value in WRONG:
        said = _said({**VARS, "mlperf_benchmarks": [{"benchmark": "x", name: value}]})
        assert THEIRS.search(said) is None, said


@pytest.mark.parametrize("name", _places(Tuning))
def test_a_wrong_setting_of_a_host(name: str) -> None:
    for value in WRONG:
        said = _said({**VARS, "mlperf_tuning": {name: value}})
        assert THEIRS.search(said) is None, said


def test_a_union_names_all_that_would_do() -> None:
    said = _said({**VARS, "mlperf_tuning": {"min_frequency_khz": [1]}})
    assert said == (
        "inventory/all.yml:3: mlperf_tuning.min_frequency_khz: expected hardware_min or hardware_max or "
        "a whole number, found [1]"
    )


def _said_of_map(data: dict[str, Json]) -> str:
    try:
        validate(ImportMap, data, Path("import.yaml"), lambda _path: 4)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", _places(ImportMap))
def test_a_wrong_key_of_an_import_map(name: str) -> None:
    result: Json = {"system": "s", "benchmark": "b", "scenario": "Offline", "folders": {"accuracy": "x"}}
    whole: dict[str, Json] = {"systems": [{"system": "s"}], "results": [result]}
    inner: dict[str, list[dict[str, Json]]] = {
        "systems": [{"system_": "s"}, {"system": 3}, {}],
        "results": [{"scenario": "Offlin"}, {**result, "folders": {}}, {**result, "folders": {"power": "x"}}],  # type: ignore[dict-item]
    }
    wrong: list[Json] = list(WRONG)
    wrong.extend([one] for one in inner.get(name, []))
    for value in wrong:
        said = _said_of_map({**whole, name: value})
        assert THEIRS.search(said) is None, said
        assert not said or said.startswith("import.yaml:4: ")


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        (
            "top1",
            {"dtype": "int3"},
            "parameter dtype: unknown value 'int3'; expected one of float32, int16, int32, int64",
        ),
        ("top1", {"dtyp": "int32"}, "unknown parameter 'dtyp'; expected one of dtype (did you mean 'dtype'?)"),
        ("speech", {}, "parameter alphabet is missing"),
        ("squad", {"best": -1}, "parameter best: expected 0 or more, found -1"),
        ("squad", {"best": "many"}, 'parameter best: expected a whole number, found "many"'),
    ],
)
def test_a_wrong_parameter_of_a_scorer(method: str, given: dict[str, Json], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameters_of(method, given)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["user-conf", "lint", "x", "--round=v6.1", "--division=clsed"], "--division: unknown value 'clsed'; expected"),
        (["accuracy", "--benchmark=x", "--round=v6.1", "--jobs=-1"], '--jobs: expected 0 or more, found "-1"'),
        (["accuracy", "--benchmark=x", "--round=v6.1", "--jobs=x"], '--jobs: expected a whole number, found "x"'),
        (["run", "-i", "x", "--style", "fst"], "--style: unknown value 'fst'; expected one of fast, test, valid"),
    ],
)
def test_a_wrong_value_of_an_option(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"mlperf-ops: error: {says}")
    assert len(told.splitlines()) == 1


def test_a_wrong_value_of_a_file_of_ours() -> None:
    for value, says in ((3, "x: rule: expected text, found 3"), (None, "x: rule: expected text, found null")):
        with pytest.raises(ResultError) as caught:
            load(Limit, {"rule": value, "benchmark": None, "because": "y"}, "x")
        assert str(caught.value) == says
