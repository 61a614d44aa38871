"""Answers, summaries and speech against figures that follow from the definitions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlperf_ops.accuracy.long_context import contains_answer, identifiers
from mlperf_ops.accuracy.mixed_answers import is_right_number
from mlperf_ops.accuracy.model import library
from mlperf_ops.accuracy.speech import joined
from mlperf_ops.accuracy.squad import project
from mlperf_ops.accuracy.squad_windows import Question as SquadQuestion
from mlperf_ops.accuracy.squad_windows import WordPieces, windows_of
from mlperf_ops.errors import ConfigError, ResultError, ToolError
from tests.support import accuracy_logs as made
from tests.support.accuracy_scores import log_of, score


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
