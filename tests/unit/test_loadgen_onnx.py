"""Inputs, user.conf and command line of `mlperf-ops loadgen-onnx`, without LoadGen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from mlperf_ops.errors import ConfigError
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic import conf, samples
from mlperf_ops.harness.generic.graph import index_rows
from mlperf_ops.harness.generic.inputs import (
    ModelInput,
    check_batch,
    fill,
    read_inputs,
    sample_shapes,
    values_for,
)
from mlperf_ops.harness.generic.request import GenericRequest
from mlperf_ops.harness.generic.sessions import can_bind, provider_name
from tests.support import onnx_models

IDS = ModelInput("input_ids", "tensor(int64)", ("batch", "sequence"))
MASK = ModelInput("attention_mask", "tensor(int64)", ("batch", "sequence"))
IMAGE = ModelInput("image", "tensor(float)", (None, 3, "height", "width"))
SPEED = conf.Measured(latency_seconds=0.002, samples_per_second=1000.0)


def shapes_of(inputs: list[ModelInput], given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {item.input.name: item.shape for item in sample_shapes(inputs, given, {})}


def lines(**changes: object) -> list[str]:
    request = GenericRequest(**{"model": "m.onnx", "scenario": "Offline", **changes})  # type: ignore[arg-type]
    return conf.compose(request, SPEED).text.splitlines()


# --- shapes -------------------------------------------------------------------------------------------


def test_symbolic_dimensions_without_a_size_become_one_and_are_named() -> None:
    (image,) = sample_shapes([IMAGE], {}, {})
    assert image.shape == (1, 3, 1, 1)
    assert image.assumed == ("dimension 0", "height", "width")


def test_a_size_given_for_one_input_reaches_every_input_that_shares_the_dimension() -> None:
    assert shapes_of([IDS, MASK], {"input_ids": (1, 128)}) == {"input_ids": (1, 128), "attention_mask": (1, 128)}


def test_a_symbolic_dimension_takes_a_size_by_its_own_name() -> None:
    assert shapes_of([IDS, MASK], {"sequence": (7,)}) == {"input_ids": (1, 7), "attention_mask": (1, 7)}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"input_id": (1, 8)}, "unknown input 'input_id'.*did you mean 'input_ids'"),
        ({"input_ids": (1, 8, 8)}, r"has 2 dimensions \[batch, sequence\], not \[1, 8, 8\]"),
        ({"sequence": (1, 8)}, "'sequence' is one dimension"),
        ({"input_ids": (1, 8), "attention_mask": (1, 9)}, "dimension 'sequence' is 9 .* and 8 by input 'input_ids'"),
        ({"input_ids": (1, 8), "sequence": (9,)}, "dimension 'sequence' is 8 .* and 9 by --shape sequence"),
    ],
)
def test_a_shape_that_contradicts_the_model_or_another_is_refused(
    given: dict[str, tuple[int, ...]], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        sample_shapes([IDS, MASK], given, {})


def test_a_fixed_dimension_keeps_its_size() -> None:
    with pytest.raises(ConfigError, match=r"fixed shape \[\?, 3, height, width\]; \[1, 4, 2, 2\] does not fit"):
        sample_shapes([IMAGE], {"image": (1, 4, 2, 2)}, {})


def test_a_batch_needs_a_symbolic_first_dimension_everywhere() -> None:
    check_batch([IDS, MASK], 4)
    with pytest.raises(ConfigError, match=r"--batch 4: input 'scale' has the fixed shape \[\]"):
        check_batch([IDS, ModelInput("scale", "tensor(float)", ())], 4)
    check_batch([ModelInput("fixed", "tensor(float)", (1, 3))], 1)


# --- values -------------------------------------------------------------------------------------------


def test_the_graph_tells_which_integers_index_a_table(tmp_path: Path) -> None:
    rows = index_rows(onnx_models.token_model(tmp_path / "tokens.onnx"))
    assert rows == {"input_ids": onnx_models.VOCABULARY, "token_type_ids": onnx_models.SEGMENTS}


@pytest.mark.parametrize(
    ("kind", "rows", "int_max", "expected"),
    [
        ("int64", {"x": 50}, None, (0, 49)),
        ("int64", {"x": 50}, 9, (0, 9)),
        ("int64", {"x": 50}, 999, (0, 49)),
        ("int64", {}, None, (0, 1)),
        ("int32", {}, 7, (0, 7)),
        ("uint8", {}, None, (0, 255)),
        ("int8", {}, None, (-128, 127)),
        ("int8", {}, 1000, (0, 127)),
    ],
)
def test_integers_stay_in_range(
    kind: str, rows: dict[str, int], int_max: int | None, expected: tuple[int, int]
) -> None:
    values = values_for(ModelInput("x", f"tensor({kind})", (1,)), rows, int_max)
    made = np.zeros((4, 4096), dtype=kind)
    fill(made, "x", values, seed=0)
    assert (int(made.min()), int(made.max())) == expected == (values.low, values.high)


@pytest.mark.parametrize("kind", ["float", "float16", "double", "bool"])
def test_other_types_are_filled_with_values_that_differ_between_samples(kind: str) -> None:
    item = ModelInput("x", f"tensor({kind})", (1,))
    (shape,) = sample_shapes([item], {}, {})
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    made = np.zeros((2, 64), dtype=dtype)
    fill(made, "x", values_for(shape.input, {}, None), seed=0)
    assert made.min() >= 0
    assert made.max() <= 1
    assert not np.array_equal(made[0], made[1])


def test_equal_seeds_give_equal_samples_and_others_do_not() -> None:
    made = [np.zeros((2, 8), dtype=np.float32) for _ in range(3)]
    for array, seed in zip(made, (1, 1, 2), strict=True):
        fill(array, "x", values_for(IMAGE, {}, None), seed)
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_outputs_whose_size_depends_on_the_data_are_not_bound(tmp_path: Path) -> None:
    assert can_bind(ort.InferenceSession(onnx_models.image_model(tmp_path / "image.onnx")))
    assert can_bind(ort.InferenceSession(onnx_models.token_model(tmp_path / "tokens.onnx")))
    for model in (onnx_models.detector, onnx_models.half_model, onnx_models.string_model):
        assert not can_bind(ort.InferenceSession(model(tmp_path / "other.onnx")))


def test_inputs_are_read_from_the_session(tmp_path: Path) -> None:
    session = ort.InferenceSession(onnx_models.half_model(tmp_path / "half.onnx"))
    assert read_inputs(session) == (
        ModelInput("x", "tensor(float16)", ("N", 16)),
        ModelInput("scale", "tensor(float16)", ()),
    )


# --- the user's own samples ---------------------------------------------------------------------------


def test_own_samples_come_along_the_batch_or_along_an_axis_of_their_own(tmp_path: Path) -> None:
    vector = ModelInput("x", "tensor(float)", ("N", 4))
    flat, stacked = tmp_path / "flat.npy", tmp_path / "stacked.npy"
    np.save(flat, np.zeros((6, 4), dtype=np.float32))
    np.save(stacked, np.zeros((5, 2, 4), dtype=np.float64))
    assert samples.open_files({"x": str(flat)}, [vector])["x"].shape == (6, 1, 4)
    assert samples.open_files({"x": str(stacked)}, [vector])["x"].shape == (5, 2, 4)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "evil.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match=r"not a plain .npy array .*pickles are not read"):
        samples.open_files({"image": str(path)}, [IMAGE])


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 3)), "holds float64, the model wants int64"),
        (np.zeros((2, 3, 4, 5), dtype=np.int64), "has 4 dimensions; the model wants 2"),
        (np.zeros((0, 3), dtype=np.int64), "holds no sample"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path: Path, array: np.ndarray, sentence: str) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array)
    with pytest.raises(ConfigError, match=sentence):
        samples.open_files({"input_ids": str(path)}, [IDS])


def test_the_number_of_samples_follows_the_files() -> None:
    held = {"a": np.zeros((6, 1)), "b": np.zeros((6, 2))}
    assert samples.sample_count(None, held, 100) == 6
    assert samples.sample_count(4, held, 100) == 4
    assert samples.sample_count(None, {}, 100) == 100
    with pytest.raises(ConfigError, match="--samples 7: the --input files hold 6"):
        samples.sample_count(7, held, 100)
    with pytest.raises(ConfigError, match=r"different numbers of samples \(a: 6, c: 5\)"):
        samples.sample_count(None, {"a": held["a"], "c": np.zeros((5, 1))}, 100)


def test_samples_that_do_not_fit_into_memory_are_refused_before_they_are_made() -> None:
    layout = samples.plan_layout({"x": ("float32", (1000, 1000, 1000))}, 10_000)
    with pytest.raises(CellError, match=r"10000 samples need 38146972 MiB, .* MiB are available") as caught:
        samples.reserve(samples.new_memory(), layout)
    assert caught.value.kind == "out_of_memory"


def test_shared_memory_shows_the_same_samples_to_everybody_who_maps_it() -> None:
    layout = samples.plan_layout({"a": ("float16", (3,)), "b": ("int64", ())}, 5)
    memory = samples.new_memory()
    samples.reserve(memory, layout)
    here, there = layout.map(memory), layout.map(memory)
    here["a"][:] = 2
    here["b"][:] = np.arange(5)
    assert (there["a"] == 2).all()
    assert there["b"].tolist() == [0, 1, 2, 3, 4]


# --- user.conf ----------------------------------------------------------------------------------------


def test_what_nobody_sets_comes_from_the_measurement() -> None:
    assert lines() == ["*.Offline.min_duration = 10000", "*.Offline.target_qps = 1300"]
    assert lines(scenario="Server") == ["*.Server.min_duration = 10000", "*.Server.target_qps = 500"]
    assert lines(scenario="SingleStream")[1] == "*.SingleStream.target_latency = 1"
    assert lines(scenario="MultiStream")[1] == "*.MultiStream.target_latency = 4"


def test_options_win_over_the_users_file_and_the_file_over_the_measurement() -> None:
    own = "*.Server.target_qps = 7\nresnet50.Server.min_duration = 5\n*.*.max_duration = 60000 # an end\n"
    made = conf.compose(
        GenericRequest(
            model="m.onnx",
            scenario="Server",
            user_conf=own,
            user_conf_path="my.conf",
            duration_seconds=2,
            min_queries=3,
        ),
        SPEED,
    )
    assert made.model == "resnet50"
    assert made.text.splitlines() == [
        "# my.conf",
        *own.splitlines(),
        "resnet50.Server.min_duration = 2000",
        "resnet50.Server.min_query_count = 3",
    ]


def test_a_rate_serves_as_a_latency_for_the_streams_unless_one_is_given() -> None:
    assert lines(scenario="SingleStream", expected_qps=50.0)[-1] == "generic.SingleStream.target_latency = 20"
    made = lines(scenario="SingleStream", expected_qps=50.0, target_latency_ms=0.5)
    assert made[-1] == "generic.SingleStream.target_latency = 0.5"


def test_servers_bound_is_whole_milliseconds() -> None:
    assert "generic.Server.target_latency = 15" in lines(scenario="Server", target_latency_ms=15.0)
    with pytest.raises(ConfigError, match="whole milliseconds in Server"):
        lines(scenario="Server", target_latency_ms=0.5)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n*.Server.target_qsp = 1", "my.conf:2: unknown user.conf key 'target_qsp'.*did you mean 'target_qps'"),
        ("*.Servre.target_qps = 1", "my.conf:1: unknown scenario 'Servre'.*did you mean 'Server'"),
        ("*.Server.target_qps 1", "my.conf:1: .*is not of the form"),
        ("*.Server.target_qps = fast", "my.conf:1: 'fast' is not a number"),
        ("a.Server.target_qps = 1\nb.Server.target_qps = 1", "names the models a, b"),
    ],
)
def test_a_slip_in_the_users_file_is_named_because_loadgen_would_not(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        lines(scenario="Server", user_conf=text, user_conf_path="my.conf")


# --- the command line ---------------------------------------------------------------------------------


def test_a_provider_may_be_written_short_and_a_wrong_one_gets_the_nearest() -> None:
    assert provider_name("cpu") == "CPUExecutionProvider"
    with pytest.raises(CellError, match="has no provider 'CPUExecutionProvidor'") as caught:
        provider_name("CPUExecutionProvidor")
    assert caught.value.hint == "did you mean 'CPUExecutionProvider'?"


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlperf_ops", "loadgen-onnx", *words], capture_output=True, text=True, check=False
    )


def test_without_the_harness_packages_one_sentence_says_how_to_install_them() -> None:
    program = (
        "import sys; sys.modules['mlperf_loadgen'] = None; from mlperf_ops import cli; "
        "cli.main(['loadgen-onnx', 'model.onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr == (
        "mlperf-ops: error: loadgen-onnx needs mlcommons-loadgen in this Python "
        "(install them with: pip install 'mlperf-ops[harness]')\n"
    )


def test_a_missing_file_and_a_file_that_is_no_model_get_a_sentence_each(tmp_path: Path) -> None:
    missing = call(str(tmp_path / "no.onnx"))
    assert missing.returncode == 2
    assert missing.stderr.strip().endswith("no.onnx: No such file or directory")
    text = tmp_path / "notes.onnx"
    text.write_text("these are notes, not a model")
    wrong = call(str(text), "--json", "-o", str(tmp_path / "out"))
    assert wrong.returncode == 2
    assert "is not an ONNX model" in json.loads(wrong.stdout)["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--scenario", "Ofline"), "unknown scenario 'Ofline'; expected one of MultiStream, Offline, Server, SingleStream, all (did you mean 'Offline'?)"),  # noqa: E501
        (("--runner", "threadpool"), "(did you mean 'threads'?)"),
        (("--execmode", "sequentia"), "(did you mean 'sequential'?)"),
        (("--shape", "x"), "--shape x: expected the form NAME=1,3,224,224"),
        (("--shape", "x=1,a"), "'1,a' is not a list of numbers"),
        (("--shape", "x=0"), "sizes are at least 1"),
        (("--concurrency", "2"), "runner inline does one inference at a time"),
        (("--expected-qps", "0"), "--expected-qps 0: expected a number above 0"),
        (("--user-conf", "no.conf"), "cannot read no.conf: No such file or directory"),
    ],
)  # fmt: skip
def test_a_slip_on_the_command_line_is_one_line(words: tuple[str, ...], sentence: str) -> None:
    done = call("model.onnx", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
