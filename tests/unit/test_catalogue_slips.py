"""Every slip in a catalogue file, built-in or drop-in, is one sentence with file, line, key and the nearest name."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from mlperf_ops.catalogue import (
    Benchmark,
    ComponentEntry,
    Implementation,
    Platform,
    Round,
    load_catalogue,
    read_catalogue,
)
from mlperf_ops.catalogue.benchmark import Family
from mlperf_ops.catalogue.durations import Durations
from mlperf_ops.catalogue.earlier import EarlierRound
from mlperf_ops.catalogue.folders import BUILT_IN
from mlperf_ops.catalogue.problems import validate
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.yamlfile import load_yaml_with_lines

MODELS: dict[str, type[BaseModel]] = {
    "rounds": Round,
    "earlier_rounds": EarlierRound,
    "benchmarks": Benchmark,
    "implementations": Implementation,
    "components": ComponentEntry,
    "platforms": Platform,
    "scorers": Scorer,
    "durations": Durations,
}


@pytest.fixture
def drop_in(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Write one file of an extra catalogue folder; return its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "extra" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield write
    read_catalogue.cache_clear()


def copy_of(name: str, new: str, *changes: tuple[str, str]) -> str:
    """Return a built-in file under another name, with texts replaced that must be in it."""
    text = (BUILT_IN / name).read_text()
    for old, replacement in ((f"name: {Path(name).stem}", f"name: {new}"), *changes):
        assert old in text, old
        text = text.replace(old, replacement, 1)
    return text


def line_of(text: str, fragment: str) -> int:
    return 1 + text[: text.index(fragment)].count("\n")


def test_a_drop_in_adds_a_benchmark_without_code(
    drop_in: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = copy_of(
        "benchmarks/efficientnet-lite0.yaml", "my-net", ("directory: efficientnet-lite0", "directory: my-net")
    )
    path = drop_in("benchmarks/my-net.yml", text)
    monkeypatch.setenv("MLPERF_OPS_CATALOGUE", str(path.parents[1]))
    found = load_catalogue()
    assert found.benchmark("my-net").directory == "my-net"
    assert found.origins["benchmarks/my-net"] == path
    monkeypatch.delenv("MLPERF_OPS_CATALOGUE")
    assert "my-net" not in load_catalogue().benchmarks


SLIPS: list[dict[str, str]] = yaml.safe_load((Path(__file__).parents[1] / "data/catalogue_slips.yaml").read_text())


@pytest.mark.parametrize("slip", SLIPS, ids=[one["says"] for one in SLIPS])
def test_a_slip_is_one_sentence_with_file_line_key_and_the_nearest_name(
    drop_in: Callable[[str, str], Path], slip: dict[str, str]
) -> None:
    text = copy_of(slip["file"], "another", (slip["old"], slip["new"])).replace("aliases: [resnet]\n", "aliases: []\n")
    path = drop_in(f"{slip['file'].split('/')[0]}/another.yaml", text)
    with pytest.raises(ConfigError) as caught:
        read_catalogue((path.parents[1],))
    message, hint = caught.value.message, caught.value.hint
    assert message.startswith(f"{path}:{line_of(text, slip['at'])}: "), message
    assert slip["says"] in message
    assert "\n" not in message
    if "nearest" in slip:
        assert hint == f"did you mean '{slip['nearest']}'?"


FAMILY = """\
---
schema: 1
family: tiny
common: {official: false, maps_to: resnet, task: image_classification, loadgen_conf_model: resnet50}
matrix:
  - axes: {size: [1, 2]}
    entry:
      name: tiny-{size}
      directory: tiny-{size}
      status: data-only
      note: no weights
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("maps_to: resnet,", "maps_to: resnett,", ":4: maps_to: unknown benchmark of a round 'resnett'"),
        ("status: data-only", "status: data", ":10: status: unknown value 'data'"),
        ("      note: no weights\n", "", ":7: file: a data-only benchmark needs note"),
        ("name: tiny-{size}", "name: tiny-{sizeq}", ":7: matrix[0].entry: a text names 'sizeq', which is no axis"),
        ("name: tiny-{size}", "name: tiny", ":8: name: 'tiny' is already defined in"),
        ("family: tiny", "family: tinny", ":3: family: 'tinny' is not the file's name 'tiny'"),
        ("    entry:", "    entri:", ":7: matrix[0]: unknown key 'entri'"),
    ],
)
def test_a_slip_in_a_family_names_the_line_of_its_pattern(
    drop_in: Callable[[str, str], Path], old: str, new: str, sentence: str
) -> None:
    path = drop_in("benchmarks/tiny.yaml", FAMILY)
    assert [one.name for one in read_catalogue((path.parents[1],)).family("tiny")] == ["tiny-1", "tiny-2"]
    read_catalogue.cache_clear()
    assert old in FAMILY
    drop_in("benchmarks/tiny.yaml", FAMILY.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_catalogue((path.parents[1],))
    assert caught.value.message.startswith(f"{path}{sentence}"), caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("benchmark/x.yaml", "name: x\n", "unknown catalogue folder 'benchmark'"),
        ("x.yaml", "name: x\n", "a catalogue file belongs into one of the folders"),
        ("components/x.yaml", "- name: x\n", "x.yaml:1: expected a mapping, found list"),
        ("components/x.yaml", "", "x.yaml:1: expected a mapping, found nothing"),
        ("components/x.yaml", "name: [x\n", "x.yaml:2: not YAML: "),
        ("components/imagenet.yaml", None, "name: 'imagenet' is already defined in "),
        ("locks/harness-v6.1.txt", "numpy==2.0\n", "the Python lock 'harness-v6.1.txt' is already defined in "),
        ("components/other.yaml", None, "name: 'imagenet' is not the file's name 'other'"),
    ],
)
def test_a_file_that_would_be_lost_or_shadow_another_is_refused(
    drop_in: Callable[[str, str], Path], name: str, text: str | None, sentence: str
) -> None:
    path = drop_in(name, (BUILT_IN / "components/imagenet.yaml").read_text() if text is None else text)
    root = path.parent if path.parent.name == "extra" else path.parents[1]
    with pytest.raises(ConfigError) as caught:
        read_catalogue((root,))
    assert sentence in caught.value.message


def test_a_catalogue_folder_that_is_not_there_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLPERF_OPS_CATALOGUE", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nowhere does not exist") as caught:
        load_catalogue()
    assert caught.value.hint == "check MLPERF_OPS_CATALOGUE"


# Mappings whose keys are names of the catalogue's own making: a slip there is another name.
FREE_NAMES = re.compile(
    r"^(models|accuracy_regex|model_aliases|inference_formula|common|(matrix\[\d+\]\.entry\.)?precisions"
    r"|endpoints\.(files|compliance|result_field|further_scenarios)|user_conf\.(never|audit_only)"
    r"|compliance_files\.TEST..\.(folders|folders_if_nondeterministic)|run_styles\.compliance\.server_qps_factor"
    r"|benchmarks|official\.(env|links)|power\.(meters|other_meters|channel_counts|sources\[\d+\])"
    r"|sysctls|matrix\[\d+\]\.axes|models\.[\w.-]+\.required_accuracy_artifacts)$"
)


def keys_of(value: Json, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield every (key path of the mapping, key) of a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield where, key
            yield from keys_of(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_of(item, f"{where}[{index}]")


def misspelt(value: Json, target: tuple[str, str], where: str = "") -> Json:
    """Return a copy of a document in which one key of one mapping has a letter too many."""
    if isinstance(value, dict):
        made: dict[str, Json] = {}
        for key, item in value.items():
            below = misspelt(item, target, f"{where}.{key}" if where else key)
            made[f"{key}q" if (where, key) == target else key] = below
        return made
    if isinstance(value, list):
        return [misspelt(item, target, f"{where}[{index}]") for index, item in enumerate(value)]
    return value


def read_changed(model: type[BaseModel], document: Json, path: Path) -> None:
    """Look at the file alone, which is quick and notices most, then at the whole catalogue."""
    validate(model, document, path, lambda _key_path: 0)
    read_catalogue.cache_clear()
    read_catalogue()


@pytest.mark.parametrize("file", sorted(str(path.relative_to(BUILT_IN)) for path in BUILT_IN.glob("*/*.yaml")))
def test_a_letter_too_many_in_any_key_of_any_built_in_file_is_noticed(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (*MODELS, "locks"):
        shutil.copytree(BUILT_IN / folder, tmp_path / folder)
    monkeypatch.setattr("mlperf_ops.catalogue.folders.BUILT_IN", tmp_path)
    # Only one file changes from one reading to the next.
    once = functools.cache(load_yaml_with_lines)
    monkeypatch.setattr(
        "mlperf_ops.catalogue.loader.load_yaml_with_lines",
        lambda path: load_yaml_with_lines(path) if path == tmp_path / file else once(path),
    )
    document = yaml.safe_load((tmp_path / file).read_text())
    checked = [(where, key) for where, key in keys_of(document) if not FREE_NAMES.match(where)]
    # One key of each form: not every member of a list, nor every benchmark of a round.
    forms = {
        re.sub(r"\[\d+\]|^models\.[\w-]+(\.\d[\w-]*)?", "*", f"{where} {key}"): (where, key) for where, key in checked
    }
    keys = list(forms.values())
    assert keys
    model = MODELS[file.split("/", maxsplit=1)[0]] if "matrix" not in document else Family
    for target in keys:
        changed = misspelt(document, target)
        (tmp_path / file).write_text(json.dumps(changed, indent=1))
        with pytest.raises(ConfigError) as caught:
            read_changed(model, changed, tmp_path / file)
        assert caught.value.message.startswith(f"{tmp_path / file}:"), (target, caught.value.message)
    read_catalogue.cache_clear()
