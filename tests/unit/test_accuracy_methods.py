"""The methods against figures that follow from the definitions; tests/integration asks the official scripts."""

from __future__ import annotations

import json
import math
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlperf_ops.accuracy import Request, compute
from mlperf_ops.accuracy.long_context import contains_answer, identifiers
from mlperf_ops.accuracy.mixed_answers import is_right_number
from mlperf_ops.accuracy.model import library
from mlperf_ops.accuracy.ranking import session_auc
from mlperf_ops.accuracy.registry import METHODS, module_of
from mlperf_ops.accuracy.segmentation import dice
from mlperf_ops.accuracy.speech import joined
from mlperf_ops.accuracy.squad import project
from mlperf_ops.accuracy.squad_windows import Question as SquadQuestion
from mlperf_ops.accuracy.squad_windows import WordPieces, windows_of
from mlperf_ops.accuracy.tables import read_columns, read_pickle
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.scorer_parameters import METHOD_PARAMETERS
from mlperf_ops.errors import ConfigError, MlperfOpsError, ResultError, ToolError
from tests.support import accuracy_logs as made


def score(method: str, inputs: dict[str, Path], **parameters: Any) -> Any:  # noqa: ANN401  # the figures of the text
    return compute(method, Request(inputs["log"], {k: v for k, v in inputs.items() if k != "log"}, parameters))


def log_of(folder: Path, *answers: bytes) -> Path:
    return made.write_log(folder / "log.json", enumerate(answers))


# --- the catalogue and the methods ------------------------------------------------------------------


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


# --- detection --------------------------------------------------------------------------------------


def _perfect(folder: Path, rows: list[list[float]] | None = None) -> dict[str, Path]:
    truth = {
        "images": [{"id": 11, "width": 100, "height": 50}, {"id": 12, "width": 80, "height": 80}],
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 7, "iscrowd": 0, "bbox": [10, 5, 40, 20], "area": 800},
            {"id": 2, "image_id": 12, "category_id": 9, "iscrowd": 0, "bbox": [8, 8, 40, 40], "area": 1600},
        ],
        "categories": [{"id": 7, "name": "a"}, {"id": 9, "name": "b"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    first = np.array(rows or [[0, 0.1, 0.1, 0.5, 0.5, 0.9, 7]], "<f4").tobytes()
    second = np.array([[1, 0.1, 0.1, 0.6, 0.6, 0.9, 9]], "<f4").tobytes()
    return {"log": log_of(folder, first, second), "labels": folder / "truth.json"}


def test_boxes_that_are_all_right_are_a_hundred_percent(tmp_path: Path) -> None:
    found = score("detection", _perfect(tmp_path))
    assert found.text == "mAP=100.000%\n"
    assert found.sample_count == 2
    assert found.notes == ()


def test_a_detection_of_another_sample_is_noted(tmp_path: Path) -> None:
    found = score("detection", _perfect(tmp_path, [[5, 0.1, 0.1, 0.5, 0.5, 0.9, 7]]))
    assert found.notes == ("1 detections name another sample than their response, as if batches were mixed up",)


def test_a_class_that_the_annotations_lack_is_told_with_the_inverse_map(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="class 7 is none of the 2 categories"):
        score("detection", _perfect(tmp_path), use_inv_map=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no COCO annotation file"),
        ("[]", "is no COCO annotation file"),
        ('{"images": [], "annotations": [], "categories": []}', "its images lack id, height or width"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "its images lack id, height or width"),
    ],
)
def test_annotations_of_another_form_are_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    inputs = _perfect(tmp_path)
    inputs["labels"].write_text(content)
    with pytest.raises(ConfigError, match=told):
        score("detection", inputs)


def test_half_a_box_is_told(tmp_path: Path) -> None:
    inputs = _perfect(tmp_path)
    log_of(tmp_path, np.zeros(10, "<f4").tobytes(), b"")
    with pytest.raises(
        ResultError,
        match=r"40 bytes; expected groups of 7 x float32 of 28 bytes each \(float32 does not fit its size: is the log",
    ):
        score("detection", inputs)


def test_a_log_without_any_box_is_no_zero(tmp_path: Path) -> None:
    inputs = _perfect(tmp_path)
    log_of(tmp_path, b"", b"")
    with pytest.raises(ResultError, match="holds no detection at all"):
        score("detection", inputs)


# --- questions --------------------------------------------------------------------------------------


@pytest.fixture
def pieces(tmp_path: Path) -> WordPieces:
    return WordPieces(made.vocabulary(tmp_path / "vocab.txt"))


@pytest.mark.parametrize(
    ("said", "original", "answer"),
    [
        ("steve smith", "Steve Smith's", "Steve Smith"),
        ("cafe", "Café,", "Café"),
        ("1 , 234", "1,234 samples", "1,234"),
        ("not there", "Steve Smith", "Steve Smith"),
        ("北 京", "in 北京 city", "北京"),
    ],
)
def test_word_pieces_become_the_text_of_the_paragraph(
    pieces: WordPieces, said: str, original: str, answer: str
) -> None:
    assert project(said, original, pieces) == answer


def test_windows_overlap_and_each_token_has_one_own_window(pieces: WordPieces) -> None:
    question = SquadQuestion("quick", ("quick",) * 30, ("quick",))
    windows = windows_of([question], pieces, max_tokens=17, max_question_tokens=64, stride_tokens=5)
    assert [len(window.tokens) for window in windows] == [17, 17, 17, 17, 14]
    owners: dict[int, int] = {}
    for window in windows:
        for token, own in window.best_context.items():
            owners[window.word_of_token[token]] = owners.get(window.word_of_token[token], 0) + own
    assert set(owners.values()) == {1}
    assert len(owners) == 30


def test_the_right_words_are_an_exact_match(tmp_path: Path) -> None:
    vocab = made.vocabulary(tmp_path / "vocab.txt")
    asked = {"id": "1", "question": "the museum", "answers": [{"text": "Zürich"}]}
    article = {"context": "The museum in Zürich, opened.", "qas": [asked]}
    (tmp_path / "dev.json").write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": [article]}]}))
    (window,) = windows_of(
        [SquadQuestion("the museum", ("The", "museum", "in", "Zürich,", "opened."), ("Zürich",))],
        WordPieces(vocab),
        384,
        64,
        128,
    )
    word = [token for token, word in window.word_of_token.items() if word == 3][:-1]  # without the comma
    logits = np.zeros((384, 2), "<f4")
    logits[word[0], 0] = logits[word[-1], 1] = 5
    inputs = {"log": log_of(tmp_path, logits.tobytes()), "labels": tmp_path / "dev.json", "vocab": vocab}
    assert score("squad", inputs).text == '{"exact_match": 100.0, "f1": 100.0}\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON"),
        ('{"data": [{}]}', "is no SQuAD file"),
        ('{"data": []}', "holds no question"),
        ('{"data":[{"paragraphs":[{"context":"a","qas":[{"question":"b","answers":[]}]}]}]}', "has no answer"),
    ],
)
def test_a_data_set_of_another_form_is_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "dev.json").write_text(content)
    inputs = {"log": tmp_path / "log", "labels": tmp_path / "dev.json", "vocab": made.vocabulary(tmp_path / "v")}
    with pytest.raises(ConfigError, match=told):
        score("squad", inputs)


def test_a_vocabulary_of_another_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(ConfigError, match=r"it has no line \[UNK\]"):
        WordPieces(tmp_path / "vocab.txt")


# --- volumes ----------------------------------------------------------------------------------------


def test_dice_is_twice_the_shared_part_over_the_sum() -> None:
    kidney, tumour = dice(np.array([1, 1, 2, 0, 0]), np.array([1, 0, 2, 2, 0]))
    assert kidney == pytest.approx(2 * 1 / 3, abs=1e-6)
    assert tumour == pytest.approx(2 * 1 / 3, abs=1e-6)


def test_nothing_where_nothing_is_counts_as_right() -> None:
    assert dice(np.zeros(4), np.zeros(4)) == (1.0, 1.0)


def test_volumes_are_scored_by_case(tmp_path: Path) -> None:
    inputs = made.volumes(tmp_path)
    found = score("segmentation", inputs)
    assert found.sample_count == 3
    assert found.details["by_case"]["case_00111"] == 1.0  # nothing there, nothing found
    assert float(found.text.split("mean = ")[1].split(",")[0]) == pytest.approx(
        np.mean(list(found.details["by_case"].values())), abs=5e-6
    )


@pytest.mark.parametrize(
    ("parameters", "told"),
    [({"dtype": "int64"}, "data holds 1536 bytes|expected int64|has 1536 voxels"), ({"dtype": "int16"}, "voxels")],
)
def test_volumes_of_another_type_are_told(tmp_path: Path, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ResultError, match=told):
        score("segmentation", made.volumes(tmp_path), **parameters)


def test_a_class_that_is_none_is_told(tmp_path: Path) -> None:
    inputs = made.volumes(tmp_path)
    sizes = [(8 + n) * 16 * 12 for n in range(3)]
    log_of(tmp_path, *(bytes([7]) * size for size in sizes))
    with pytest.raises(
        ResultError, match=r"the response of case_00002 holds 7; expected the classes 0, 1 and 2.* dtype=int8"
    ):
        score("segmentation", inputs)


# --- speech -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "said", "expected"),
    [
        ("a b c", "a b c", ("a b c", "a b c")),
        ("any one here", "anyone here", ("anyone here", "anyone here")),
        ("some times", "sometimes else", ("sometimes", "sometimes else")),
        ("cooperate", "co op erate", ("cooperate", "cooperate")),
        ("one two three four", "onetwothreefour", ("one two three four", "onetwothreefour")),  # at most three
        ("a", "", ("a", "")),
    ],
)
def test_words_that_are_written_apart_are_joined(right: str, said: str, expected: tuple[str, str]) -> None:
    theirs, ours = joined(right.split(), said.split())
    assert (" ".join(theirs), " ".join(ours)) == expected


def _speech(folder: Path, text: str, heard: str, *, seconds: float = 1.0) -> dict[str, Path]:
    row = {"transcript": text, "original_duration": seconds}
    (folder / "manifest.json").write_text(json.dumps([row]))
    data = np.array([made.ALPHABET.index(letter) for letter in heard], "<i8").tobytes()
    return {"log": log_of(folder, data), "labels": folder / "manifest.json"}


def test_one_wrong_word_of_four_is_a_quarter(tmp_path: Path) -> None:
    found = score("speech", _speech(tmp_path, "the old man said", "the old man sang"), alphabet=made.ALPHABET)
    assert found.text == "Word Error Rate: 25.0%, accuracy=75.0%\n"


def test_a_long_recording_is_no_sample(tmp_path: Path) -> None:
    inputs = _speech(tmp_path, "the old man said", "the", seconds=30.5)
    with pytest.raises(ConfigError, match="holds no recording of at most 30 s"):
        score("speech", inputs, alphabet=made.ALPHABET)


def test_an_index_outside_of_the_alphabet_is_told(tmp_path: Path) -> None:
    inputs = _speech(tmp_path, "a", "a")
    log_of(tmp_path, np.array([99], "<i8").tobytes())
    with pytest.raises(
        ResultError, match=r"99 is no character; the alphabet has 42 .*read as int64; .*--parameter dtype=int32 "
    ):
        score("speech", inputs, alphabet=made.ALPHABET)


# --- clicks and ranking -----------------------------------------------------------------------------


def test_predictions_in_perfect_order_have_an_area_of_one(tmp_path: Path) -> None:
    rows = np.array([[0.9, 1], [0.2, 0], [0.6, 1], [0.7, 0]], "<f4")
    found = score("clicks", {"log": log_of(tmp_path, rows[:3].tobytes(), rows[3:].tobytes())})
    assert found.text == "AUC=75.000%, accuracy=75.000%, good=3, total=4, queries=2\n"


def test_a_click_log_without_labels_is_told(tmp_path: Path) -> None:
    inputs = {"log": log_of(tmp_path, np.array([0.9, 0.2], "<f4").tobytes())}
    with pytest.raises(ResultError, match=r"expected 0 and 1, both.*--labels and --trace are needed"):
        score("clicks", inputs)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("trace", "0, 1\n", r"trace\.txt:1: expected '<first>, <last>, <items>'"),
        ("labels", "1\t0\n2\t0\n", r"day_23:2: expected 0 or 1 and a tab"),
        ("labels", "1\t0\n", "day_23 has 1 lines; the trace names 1000 items"),
    ],
)
def test_labels_of_clicks_are_checked_line_by_line(tmp_path: Path, name: str, content: str, told: str) -> None:
    inputs = made.clicks(tmp_path, beside=False)
    inputs[name].write_text(content)
    with pytest.raises(ConfigError, match=told):
        score("clicks", inputs)


def test_another_number_of_predictions_than_the_trace_says_is_told(tmp_path: Path) -> None:
    (tmp_path / "apart").mkdir()
    apart = made.clicks(tmp_path / "apart", beside=False)
    beside = made.clicks(tmp_path, beside=True)
    with pytest.raises(ResultError, match=r"predictions; .*trace\.txt:\d+ says"):
        score("clicks", apart | beside)


def test_a_coin_has_an_entropy_of_one(tmp_path: Path) -> None:
    answers = [
        np.array([90, n, 0.5, 0.5, 1, 0, 1, 1, 2], "<f4").tobytes()
        for n in range(3)  # time, query, two predictions, labels, weights, count
    ]
    found = score("ranking", {"log": log_of(tmp_path, *answers)})
    assert found.details["ne"] == pytest.approx(1.0)
    assert found.details["accuracy"] == pytest.approx(0.5)
    assert found.details["sessions"] == 0  # equal predictions rank nothing
    assert found.text.splitlines()[0] == "WARNING:main:metric/lifetime_ne/rating: 1.0"


def test_ranking_figures_are_those_of_their_definitions(tmp_path: Path) -> None:
    """Against scikit-learn, where weights are one; torchrec itself needs PyTorch."""
    metrics = library("sklearn.metrics", "scikit-learn")
    inputs = made.sessions(tmp_path)
    said, right, areas, rows = [], [], [], []
    for entry in json.loads(inputs["log"].read_text()):
        data = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").copy()
        items = int(data[-1])
        one, label = data[2 : 2 + items], data[2 + items : 2 + 2 * items]
        said.append(one)
        right.append(label)
        if 0 < label.sum() < items and len(set(one.tolist())) > 1 and len(set(one[one != 0].tolist())) > 1:
            areas.append(metrics.roc_auc_score(label, one))
        data[2 + 2 * items : -1] = 1
        entry["data"] = data.tobytes().hex()
        rows.append(entry)
    inputs["log"].write_text(json.dumps(rows))
    found = score("ranking", inputs).details
    every, labels = np.concatenate(said), np.concatenate(right)
    mean = labels.mean()
    base = -(mean * math.log2(mean) + (1 - mean) * math.log2(1 - mean))
    loss = metrics.log_loss(labels, np.clip(every.astype(float), 1e-12, 1 - 1e-12)) / math.log(2)
    assert found["ne"] == pytest.approx(loss / base, rel=1e-6)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, every >= 0.5))
    assert found["gauc"] == pytest.approx(np.mean(areas), abs=2e-3)  # equal predictions are ranked, not halved


def test_a_session_of_one_kind_ranks_nothing() -> None:
    assert session_auc(np.array([0.1, 0.2], "f4"), np.array([1, 1], "f4")) is None
    assert session_auc(np.array([0.9, 0.2, 0.4], "f4"), np.array([1, 0, 0], "f4")) == pytest.approx(1.0)


def test_a_ranking_response_of_another_length_is_told(tmp_path: Path) -> None:
    inputs = {"log": log_of(tmp_path, np.array([90, 1, 0.5, 1, 1, 3], "<f4").tobytes())}
    with pytest.raises(ResultError, match="6 numbers, of which the last says 3 candidates"):
        score("ranking", inputs)


# --- graph ------------------------------------------------------------------------------------------


def _saved_tensor(path: Path, values: list[int]) -> None:
    """Write an int64 tensor as torch.save does."""

    def name(module: str, attribute: str) -> bytes:
        return b"c" + f"{module}\n{attribute}\n".encode()

    identity = b"(X\x07\x00\x00\x00storage" + name("torch", "LongStorage") + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    identity += b"J" + struct.pack("<i", len(values)) + b"tQ"
    tensor = b"\x80\x02" + name("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + b"K\x00"
    tensor += (
        b"J" + struct.pack("<i", len(values)) + b"\x85K\x01\x85\x89" + name("collections", "OrderedDict") + b")RtR."
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("val_idx/data.pkl", tensor)
        archive.writestr("val_idx/data/0", np.array(values, "<i8").tobytes())


@pytest.mark.parametrize("bare", [False, True])
def test_graph_labels_are_those_of_the_validation_nodes(tmp_path: Path, bare: bool) -> None:  # noqa: FBT001
    (tmp_path / "paper").mkdir()
    classes = np.array([5, 6, 7, 8], "<f4")
    file = tmp_path / "paper" / "node_label_2K.npy"
    if bare:
        classes.tofile(file)
    else:
        np.save(file, classes)
    _saved_tensor(tmp_path / "val_idx.pt", [3, 0, 2])
    log = log_of(tmp_path, *(np.array([one], "<i4").tobytes() for one in (8, 5, 6)))
    found = score("graph_top1", {"log": log, "labels": tmp_path}, dtype="int32")
    assert found.text == "accuracy=66.667%, good=2, total=3\n"


def test_graph_labels_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the labels.*val_idx\.pt"):
        score("graph_top1", {"log": tmp_path / "log", "labels": tmp_path})


# --- texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "target", "right"),
    [
        ("The answer is 5,600.", "5600", True),
        ("The answer is 3 of 4", "4", False),
        ("first 3, then 4", "4", True),
        ("The answer is nothing, I had 4", "4", True),
        ("It is 4\nQ: What is 5?", "4", True),
        ("no number", "4", False),
        ("4", "four", False),
        ("-.5", "-0.5", True),
    ],
)
def test_the_number_of_an_answer(answer: str, target: str, right: bool) -> None:  # noqa: FBT001
    assert is_right_number(answer, target) is right


def test_identifiers_are_compared_by_their_characters() -> None:
    one, other = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"
    assert identifiers(one, f"it is {one}") == 100.0
    assert identifiers(one, "none") == 0.0
    assert identifiers(one, other) == pytest.approx(round(4 / 36 * 100, 2))  # the hyphens


@pytest.mark.parametrize(
    ("target", "answer", "value"),
    [("Paris|Rome", "Answer: rome", 100.0), ("Paris", "Oslo", 0.0), ("New York", "Answer: newyork city", 100.0)],
)
def test_one_of_the_right_answers_is_enough(target: str, answer: str, value: float) -> None:
    assert contains_answer(target, answer) == value


@pytest.fixture
def punkt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of the sentence splitter that knows two abbreviations, where nltk looks first."""
    nltk = library("nltk", "nltk")
    folder = tmp_path / "nltk" / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    (folder / "abbrev_types.txt").write_text("dr\nmr\n")
    (folder / "collocations.tab").write_text("dr\tsmith\n")
    (folder / "sent_starters.txt").write_text("the\n")
    (folder / "ortho_context.tab").write_text("the\t46\n")
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk")])


@pytest.mark.usefixtures("punkt")
def test_a_summary_that_is_the_target_is_a_hundred_percent(tmp_path: Path) -> None:
    text = "The fox won. The dog slept."
    (tmp_path / "d.json").write_text(json.dumps([{"output": text}]))
    model = made.tokenizer(tmp_path / "model", clean_up=False)
    tokenizers = library("tokenizers", "tokenizers")
    ids = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json")).encode(text).ids
    log = log_of(tmp_path, np.array(ids, "<i4").tobytes())
    inputs = {"log": log, "labels": tmp_path / "d.json", "tokenizer": model}
    assert score("summary", inputs, dtype="int32").text == (
        "{'rouge1': '100.0', 'rouge2': '100.0', 'rougeL': '100.0', 'rougeLsum': '100.0', 'gen_len': 27, 'gen_num': 1}\n"
    )
    numbers = score("summary", inputs, dtype="int32", form="numbers").text
    assert numbers.endswith(f"'gen_tok_len': {len(ids)}, 'tokens_per_sample': {float(len(ids))}}}\n")


def test_missing_data_of_the_sentence_splitter_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nltk = library("nltk", "nltk")
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    inputs = made.articles(tmp_path)
    with pytest.raises(ToolError, match=r"punkt_tab of the Python package nltk is missing .*NLTK_DATA"):
        score("summary", inputs, dtype="int32")


@pytest.mark.usefixtures("punkt")
def test_tokens_of_another_type_are_told(tmp_path: Path) -> None:
    inputs = made.articles(tmp_path, dtype="int32")
    log_of(tmp_path, *[np.array([-5, 3], "<i4").tobytes()] * 20)
    with pytest.raises(
        ResultError, match=r"holds numbers that are no token ids.*read as int32.*add --parameter dtype=int64"
    ):
        score("summary", inputs, dtype="int32")
    log_of(tmp_path, *[b"abc"] * 20)
    with pytest.raises(
        ResultError,
        match=r"3 bytes; expected int64 numbers of 8 bytes each \(int32 or int64 or float32 does not fit its size",
    ):
        score("summary", inputs)


def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    inputs = made.articles(tmp_path)
    (inputs["tokenizer"] / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="there is no tokenizer at"):
        score("summary", inputs)


# --- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]'),
        ("t.jsonl", '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n'),
        ("t.json", '{"a": [1, 2], "b": ["x", "y"]}'),
        ("t.json", '{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}'),
    ],
)
def test_tables_are_read_in_every_form_of_json(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_columns(tmp_path / name, ("b", "a")) == {"b": ["x", "y"], "a": [1, 2]}


def test_a_pandas_table_is_read(tmp_path: Path) -> None:
    pandas = library("pandas", "pandas")
    pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [[1], [2, 3]]}).to_pickle(tmp_path / "t.pkl")
    assert read_columns(tmp_path / "t.pkl", ("a", "b")) == {"a": [1, 2], "b": ["x", "y"]}


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ConfigError, match=r"it names builtins\.print, which a table has no need of"):
        read_pickle(tmp_path / "t.pkl")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.json", "{", "is not JSON"),
        ("t.json", "[]", "holds no list of rows"),
        ("t.json", "[1]", "row 0 is no object"),
        ("t.json", '[{"outputs": 1}]', r"row 0 has no column 'output'.*did you mean 'outputs'"),
        ("t.jsonl", '{"output": 1}\n{', r"t\.jsonl:2 is not JSON"),
        ("t.pkl", "x", "is not a table that can be read safely"),
    ],
)
def test_a_table_of_another_form_is_one_sentence(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(MlperfOpsError, match=told):
        read_columns(tmp_path / name, ("output",))


def test_the_reference_page_has_every_scorer() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "accuracy.md").read_text()
    for scorer in load_catalogue().scorers.values():
        line = next(line for line in page.splitlines() if f"`{scorer.official.script}` |" in line and line[0] == "|")
        assert all(model in line for model in scorer.models), scorer.name
        assert all(metric in line for metric in scorer.metrics), scorer.name
        assert f"| {scorer.name} | `{scorer.form}` |" in page, scorer.name
