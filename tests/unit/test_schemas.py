"""The JSON Schemas in docs/reference/schemas are those of the code, and fit the files that the code writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlperf_ops import model, plan_model
from mlperf_ops.catalogue.folders import BUILT_IN
from mlperf_ops.schemas import model_of, schemas, write
from mlperf_ops.typed import dump, load
from mlperf_ops.yamlfile import load_yaml_with_lines

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "schemas"

PLAN = plan_model.Plan(
    round="v6.1",
    division="open",
    submitter="Lab",
    run_id="local",
    run_style="test",
    inventory="inventory/local",
    hosts=(
        plan_model.PlannedHost(
            name="localhost",
            system="node",
            home="/home/me/.mlperf",
            system_type="edge",
            system_description={"cooling": "air", "disks": [1, {"size": None}]},
            components=("resnet50",),
            requirements="harness-v6.1.txt",
        ),
    ),
    cells=(
        plan_model.PlannedCell(
            cell=model.Cell("node", "resnet50", "Offline", "accuracy"),
            host="localhost",
            official_benchmark="resnet",
            status="planned",
            reason=None,
            notes=("no target",),
            expected=plan_model.Seconds(1.0, 2.5, "counts"),
            request={"argv": ["{python}"], "deep": {"er": [True, 1.5]}},
        ),
    ),
    components=(plan_model.Component("resnet50", "model", "1.5", None, "your own file", "/models/resnet50_v1.onnx"),),
    limits=(plan_model.Limit("min-duration", None, "run style test"),),
)


def test_committed_schemas_are_up_to_date() -> None:
    hint = "run: python -m mlperf_ops.schemas docs/reference/schemas"
    made = schemas()
    assert {path.stem for path in COMMITTED.glob("*.json")} == set(made), hint
    for name, schema in made.items():
        assert json.loads((COMMITTED / f"{name}.json").read_text()) == schema, f"{name}: {hint}"


def test_writing_schemas_twice_changes_nothing(tmp_path: Path) -> None:
    assert {path.stem for path in write(tmp_path)} == set(schemas())
    assert write(tmp_path) == []


def test_the_schema_of_a_file_accepts_what_the_code_writes_and_reads() -> None:
    text = json.dumps(dump(PLAN))
    model_of(plan_model.Plan).model_validate_json(text)
    assert load(plan_model.Plan, json.loads(text), "plan.json") == PLAN


@pytest.mark.parametrize("change", [{"divisiom": "open"}, {"division": "openn"}, {"round": 6}, {"hosts": {}}])
def test_the_schema_of_a_file_refuses_what_the_code_refuses(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        model_of(plan_model.Plan).model_validate_json(json.dumps(dump(PLAN) | change))


def test_a_catalogue_schema_knows_the_keys_of_the_files() -> None:
    for name, folder in (("round", "rounds"), ("component", "components"), ("implementation", "implementations")):
        properties = schemas()[name]["properties"]
        assert isinstance(properties, dict)
        for path in (BUILT_IN / folder).glob("*.yaml"):
            data, _ = load_yaml_with_lines(path)
            assert isinstance(data, dict)
            assert set(data) <= set(properties), path
