"""Generated data sets, labels and accuracy logs of every task, small and with their tricky cases in them.

Everything is made here from a seed; nothing is taken from a real data set. A case is deliberately neither all right nor
all wrong, has repeated samples where LoadGen may repeat them, and logs in another order than the data set's.
"""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlperf_ops.accuracy.squad_windows import WordPieces, read_questions, windows_of
from tests.support.torch_files import write_tensor

TEXT = (
    "the quick brown fox jumped over a lazy dog while an old river city museum opened its doors in spring "
    "Scientists measured light in Zürich and found 1,234 samples of Café naïve résumé data near Beijing 北京 "
    "government officials said costs rose by twenty five percent last year however growth slowed "
    "(perhaps) it isn't well-known that J. R. Smith's team won 3-2 against U.S. rivals on 12 May 1998"
)
SPEECH = (
    "mister smith can't pay twenty five dollars colour color any one anyone some times sometimes going to gonna "
    "over all overall nineteen ninety eight the old man said no way it's 25 $40 50% well known co-operate"
)
WORDS = TEXT.split()


def write_log(path: Path, entries: Iterable[tuple[int, bytes]]) -> Path:
    """Write an accuracy log line by line, as LoadGen does."""
    rows = [
        json.dumps({"seq_id": number, "qsl_idx": index, "data": data.hex().upper()})
        for number, (index, data) in enumerate(entries)
    ]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    return path


def shuffled(rng: np.random.Generator, answers: Sequence[bytes], repeat: int = 0) -> list[tuple[int, bytes]]:
    """Answers in random order, the first `repeat` of them logged again at the end, with their own answer."""
    order = rng.permutation(len(answers)).tolist()
    return [(index, answers[index]) for index in [*order, *order[:repeat]]]


def images(folder: Path, dtype: str) -> dict[str, Path]:
    rng = np.random.default_rng(1)
    right = rng.integers(0, 1000, 200)
    said = np.where(rng.random(200) < 0.76, right, rng.integers(0, 1000, 200))
    (folder / "val_map.txt").write_text("".join(f"val_{i:08d}.JPEG {label}\n" for i, label in enumerate(right)))
    log = shuffled(rng, [np.array([one], dtype).tobytes() for one in said], repeat=7)
    return {"log": write_log(folder / "log.json", log), "labels": folder / "val_map.txt"}


def detections(folder: Path, *, inverse: bool = False, count: int = 20) -> dict[str, Path]:
    """20 images, category ids with gaps, images without boxes, and one logged as a single zero."""
    rng = np.random.default_rng(2)
    categories = [{"id": one, "name": f"c{one}"} for one in (1, 3, 4, 7, 90)]
    ids = [category["id"] for category in categories]
    pictures: list[dict[str, Any]] = [
        {"id": 1000 + 7 * i, "file_name": f"{i}.jpg", "width": int(rng.integers(200, 900)), "coco_url": "-"}
        | {"height": int(rng.integers(200, 900))}
        for i in range(count)
    ]
    annotations: list[dict[str, Any]] = []
    answers: list[bytes] = []
    for index, picture in enumerate(pictures):
        rows = []
        for _ in range(int(rng.integers(0, 6)) if index else 3):
            width, height = picture["width"], picture["height"]
            w, h = rng.uniform(20, width / 2), rng.uniform(20, height / 2)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            category = int(rng.choice(ids))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": picture["id"], "category_id": category, "iscrowd": 0}
                | {"bbox": [x, y, w, h], "area": w * h}
            )
            shift = rng.normal(0, 0.006, 4)
            said = category if rng.random() < 0.8 else int(rng.choice(ids))
            box = np.array([y / height, x / width, (y + h) / height, (x + w) / width]) + shift
            rows.append([index, *box, rng.uniform(0.05, 1), ids.index(said) + 1 if inverse else said])
        if index == 5:
            answers.append(np.zeros(1, "<f4").tobytes())
        else:
            answers.append(np.array(rows, "<f4").tobytes())
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": pictures, "annotations": annotations, "categories": categories}))
    return {"log": write_log(folder / "log.json", shuffled(rng, answers, repeat=3)), "labels": path}


def sentence(rng: np.random.Generator, low: int, high: int) -> str:
    """Words with a stop at the end, and often a comma."""
    words = [str(word) for word in rng.choice(WORDS, int(rng.integers(low, high)))]
    if rng.random() < 0.5:
        words[len(words) // 2] += ","
    return " ".join(words).capitalize() + str(rng.choice([".", "!", "?"]))


def paragraph(rng: np.random.Generator, sentences: int) -> str:
    return " ".join(sentence(rng, 4, 18) for _ in range(sentences))


def vocabulary(path: Path) -> Path:
    """A vocab.txt of word pieces that leaves some words to be split, and some unknown."""
    letters = sorted({letter for word in WORDS for letter in word.lower()} - {"京"})
    whole = sorted({word.lower() for number, word in enumerate(WORDS) if number % 3})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *whole]
    path.write_text("\n".join(dict.fromkeys([*pieces, ".", ",", "!", "?", "'", "-", "(", ")", "##ing", "##ed"])) + "\n")
    return path


def squad(folder: Path, *, dtype: str = "float32", transposed: bool = False) -> dict[str, Path]:
    """Logits that peak at the right words in two of three windows that hold them, else at random; some with ties."""
    labels, vocab = squad_questions(folder)
    questions = read_questions(labels)
    rng = np.random.default_rng(4)
    answers = []
    for index, window in enumerate(windows_of(questions, WordPieces(vocab), 384, 64, 128)):
        length = 384 if index % 4 else max(len(window.tokens), 120)
        logits = rng.normal(0, 1, (length, 2))
        start = int(rng.integers(10, length - 12))
        end = start + int(rng.integers(0, 9))
        wanted = questions[window.question].answers[0].split()
        words = questions[window.question].words
        held = [token for token, word in window.word_of_token.items() if words[word : word + len(wanted)] == (*wanted,)]
        if held and index % 3:
            start = held[0]
            last = window.word_of_token[start] + len(wanted) - 1
            end = max((token for token, word in window.word_of_token.items() if word <= last), default=start)
        logits[start, 0] += 6
        logits[end, 1] += 6
        logits = np.round(logits, 1) if index % 5 == 0 else logits  # equal sums
        answers.append((logits.T if transposed else logits).astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    return {"log": write_log(folder / "log.json", shuffled(rng, answers)), "labels": labels, "vocab": vocab}


def squad_questions(folder: Path) -> tuple[Path, Path]:
    """50 questions: paragraphs of one window and of several, answers with punctuation, accents and articles."""
    rng = np.random.default_rng(3)
    articles = []
    for article in range(5):
        paragraphs: list[dict[str, Any]] = []
        for _ in range(2):
            context = paragraph(rng, int(rng.integers(3, 45)))
            words = context.split(" ")
            qas: list[dict[str, Any]] = []
            for _ in range(5):
                at = int(rng.integers(0, len(words) - 5))
                answer = " ".join(words[at : at + int(rng.integers(1, 5))])
                texts = (answer, answer, answer.strip(".,!?"))
                answers = [{"text": text, "answer_start": context.find(answer)} for text in texts]
                question = sentence(rng, 4, 90 if len(qas) == 4 else 14)
                qas.append({"id": f"q{article}-{len(paragraphs)}-{len(qas)}", "question": question, "answers": answers})
            paragraphs.append({"context": context.replace(". ", ".\u202f", 1).replace("? ", "?\n", 1), "qas": qas})
        articles.append({"title": f"t{article}", "paragraphs": paragraphs})
    path = folder / "dev.json"
    path.write_text(json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False), encoding="utf-8")
    return path, vocabulary(folder / "vocab.txt")


def volumes(folder: Path, dtype: str = "uint8") -> dict[str, Path]:
    """Three cases; one without a tumour that is found nevertheless, one without either that is right."""
    nibabel = importlib.import_module("nibabel")  # of the extra metrics, without types

    rng = np.random.default_rng(5)
    cases = ["case_00002", "case_00000", "case_00111"]
    answers, details = [], {}
    for number, case in enumerate(cases):
        shape = (8 + number, 16, 12)
        truth = rng.choice(3, shape, p=[0.7, 0.2, 0.1]).astype(np.uint8)
        if number == 1:
            truth[truth == 2] = 1
        said = np.where(rng.random(shape) < 0.9, truth, rng.choice(3, shape)).astype(dtype)
        if number == 2:
            truth[:] = said[:] = 0
        place = folder / "data" / "nifti" / case
        place.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(truth, np.eye(4)), place / "segmentation.nii.gz")
        details[case] = {"image_shape": (1, *shape), "reshaped_affine": np.eye(4)}
        answers.append(said.tobytes())
    with (folder / "data" / "preprocessed_files.pkl").open("wb") as stream:
        pickle.dump({"file_list": cases, "cases": details}, stream, protocol=4)
    return {"log": write_log(folder / "log.json", shuffled(rng, answers)), "labels": folder / "data"}


ALPHABET = " abcdefghijklmnopqrstuvwxyz'0123456789$%+-"


def transcripts(folder: Path, dtype: str = "int64") -> dict[str, Path]:
    """200 recordings: words joined and taken apart, numbers, spellings, capitals, one too long, one empty answer."""
    rng = np.random.default_rng(6)
    words = SPEECH.split()
    entries, answers = [], []
    for number in range(200):
        spoken = [str(word) for word in rng.choice(words, int(rng.integers(3, 25)))]
        text = " ".join(spoken)
        heard = [word if rng.random() > 0.06 else str(rng.choice(words)) for word in spoken]
        if number % 5 == 0 and len(heard) > 3:
            heard[1:3] = ["".join(heard[1:3])]
        if number % 7 == 0:
            heard.insert(2, "uh")
        seconds = 31.5 if number == 17 else 12.0
        entry = {"transcript": "Hello, World " + text if number == 3 else text, "original_duration": seconds}
        entries.append(entry | {"files": [{"fname": f"{number}.wav", "speed": 1, "duration": seconds}]})
        if number != 17:
            said = "" if number == 40 else " ".join(heard)
            known = [ALPHABET.index(letter) for letter in said if letter in ALPHABET]
            answers.append(np.array(known, dtype).tobytes())
    path = folder / "manifest.json"
    path.write_text(json.dumps(entries))
    return {"log": write_log(folder / "log.json", shuffled(rng, answers)), "labels": path}


def clicks(folder: Path, *, beside: bool = True) -> dict[str, Path]:
    """1000 clicks in 40 samples of unequal size, with equal predictions among them."""
    rng = np.random.default_rng(7)
    counts = rng.multinomial(1000, np.full(40, 1 / 40)).tolist()
    label = (rng.random(1000) < 0.3).astype(np.float32)
    said = np.round(np.clip(label * 0.3 + rng.normal(0.35, 0.2, 1000), 0.01, 0.99), 2).astype(np.float32)
    starts = np.cumsum([0, *counts])
    answers = []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part: NDArray[np.float32] = said[first:last]
        answers.append(np.stack([part, label[first:last]], axis=1).tobytes() if beside else part.tobytes())
    found = {"log": write_log(folder / "log.json", shuffled(rng, answers, repeat=4))}
    if not beside:
        (folder / "day_23").write_text("".join(f"{int(one)}\t{i}\t68fd1e64\n" for i, one in enumerate(label)))
        bounds = zip(starts[:-1].tolist(), starts[1:].tolist(), counts, strict=True)
        (folder / "trace.txt").write_text("".join(f"{a}, {b}, {c}\n" for a, b, c in bounds))
        found |= {"labels": folder / "day_23", "trace": folder / "trace.txt"}
    return found


def tokenizer(folder: Path, *, clean_up: bool) -> Path:
    """A byte-level BPE tokenizer, trained on the words of this module, as a model folder."""
    tokenizers = importlib.import_module("tokenizers")  # of the extra metrics, without types

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": clean_up}
    config |= {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def _answers(model: Path, texts: Sequence[str], dtype: str) -> list[bytes]:
    tokenizers = importlib.import_module("tokenizers")
    encode = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json")).encode
    return [np.array([*encode(text).ids, 1], dtype).tobytes() for text in texts]


def articles(folder: Path, *, clean_up: bool = True, dtype: str = "int32") -> dict[str, Path]:
    """20 articles with summaries; answers that share sentences with them."""
    rng = np.random.default_rng(8)
    rows, texts = [], []
    for _ in range(20):
        kept, other = paragraph(rng, 3), paragraph(rng, 2)
        rows.append({"input": other, "tok_input": [1, 2], "output": f" {kept}\n{other} "})
        texts.append(f"{kept} {paragraph(rng, 2)} . It 's over , said Dr. Who ' s dog .")
    path = folder / "dataset.json"
    path.write_text(json.dumps(rows))
    model = tokenizer(folder / "model", clean_up=clean_up)
    log = shuffled(rng, _answers(model, texts, dtype), repeat=2)
    return {"log": write_log(folder / "log.json", log), "labels": path, "tokenizer": model}


def long_texts(folder: Path, dtype: str = "int32") -> dict[str, Path]:
    """Questions of the three kinds."""
    rng = np.random.default_rng(9)
    identifier = "1b2c3d4e-aaaa-bbbb-cccc-0123456789ab"
    rows = [
        ("rouge", paragraph(rng, 4), paragraph(rng, 4)),
        ("rouge", "The fox won. The dog slept.", "The fox won. A dog sleeps."),
        ("niah_em", identifier, f"The value is {identifier}."),
        ("niah_em", identifier, f"It is {identifier.replace('aaaa', 'dddd')}, I think."),
        ("niah_em", f"{identifier} {identifier[::-1].replace('-', '-')}", f"{identifier}"),
        ("niah_em", identifier, "I do not know."),
        ("qa_em", "Paris|City of Paris", "Well. Answer: the city of  paris"),
        ("qa_em", "Rome", "Answer: Oslo. Answer: Rome"),
        ("qa_em", "1998", "Answer: 1997"),
        ("qa_em", "spring|autumn", "in Spring time"),
    ]
    path = folder / "dataset.json"
    path.write_text(json.dumps([{"metric": kind, "gt_output": right} for kind, right, _ in rows]))
    model = tokenizer(folder / "model", clean_up=False)
    log = shuffled(rng, _answers(model, [text for _, _, text in rows], dtype), repeat=2)
    return {"log": write_log(folder / "log.json", log), "labels": path, "tokenizer": model}


def mixed_questions(folder: Path, dtype: str = "int32") -> dict[str, Path]:
    """OpenOrca and GSM8K questions, and one of MBXP."""
    rng = np.random.default_rng(10)
    rows = [
        ("GSM8K", "5600", "So we add. The answer is 5,600."),
        ("GSM8K", "12", "First 3, then 4: The answer is -12.\nQ: What is 12?"),
        ("GSM8K", "7.5", "In all 7.5 meters"),
        ("GSM8K", "7", "nothing at all"),
        ("GSM8K", "18", "The answer is eighteen. Or 18"),
        ("OpenOrca", paragraph(rng, 3), paragraph(rng, 3)),
        ("OpenOrca", "The fox won. The dog slept.", "The fox won. A dog sleeps."),
        ("MBXP", "assert f() == 1", "def f(): return 1"),
    ]
    path = folder / "dataset.json"
    table = [{"dataset": kind, "gt_output": right, "id": "python_f", "input": "-"} for kind, right, _ in rows]
    path.write_text(json.dumps(table))
    model = tokenizer(folder / "model", clean_up=False)
    log = shuffled(rng, _answers(model, [text for _, _, text in rows], dtype))
    return {"log": write_log(folder / "log.json", log), "labels": path, "tokenizer": model}


def sessions(folder: Path) -> dict[str, Path]:
    """30 ranking sessions: mixed ones, one with one kind of label, one with one prediction."""
    rng = np.random.default_rng(11)
    answers = []
    for number in range(30):
        items = int(rng.integers(2, 40))
        label = (rng.random(items) < 0.4).astype(np.float32)
        if number == 4:
            label[:] = 1
        said = np.clip(label * 0.2 + rng.normal(0.4, 0.2, items), 0, 1).astype(np.float32)
        if number == 9:
            said[:] = 0.5
        weight = np.where(rng.random(items) < 0.9, 1, 0).astype(np.float32)
        answers.append(np.concatenate([[90, number], said, label, weight, [items]]).astype("<f4").tobytes())
    return {"log": write_log(folder / "log.json", shuffled(rng, answers))}


def graph(folder: Path, dtype: str = "uint8") -> dict[str, Path]:
    """200 validation nodes of a graph with 1000, in a data set of size tiny."""
    rng = np.random.default_rng(17)
    classes, nodes = rng.integers(0, 200, 1000), rng.permutation(1000)[:200]
    labels = folder / "igbh" / "tiny" / "processed"
    (labels / "paper").mkdir(parents=True)
    np.save(labels / "paper" / "node_label_2K.npy", classes.astype(np.float32))
    write_tensor(labels / "val_idx.pt", nodes.tolist())
    said = np.where(rng.random(200) < 0.7, classes[nodes], 0)
    log = shuffled(rng, [np.array([one], dtype).tobytes() for one in said], repeat=9)
    return {"log": write_log(folder / "log.json", log), "labels": labels}
