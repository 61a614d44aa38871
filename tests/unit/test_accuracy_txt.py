"""accuracy.txt as the benchmarks' accuracy scripts write it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mlperf_ops.accuracy_txt import AccuracyText, hash_line, parse_accuracy_text, read_accuracy_text
from mlperf_ops.catalogue import AccuracyTarget, load_catalogue
from mlperf_ops.errors import ResultError

DIGEST = "9f" * 32
ROUND = load_catalogue().round("v6.1")


def read(text: str, *targets: AccuracyTarget) -> AccuracyText:
    return parse_accuracy_text(text.splitlines(keepends=True), targets, ROUND.accuracy_regex, ROUND.hash_regex)


def target(metric: str, low: float | None, high: float | None = None) -> AccuracyTarget:
    return AccuracyTarget(metric=metric, min=low, max=high)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy=76.078%, good=38039, total=50000", {"acc": "76.078"}),
        ('{"accuracy": 0.7286}', {"acc": "0.7286"}),
        ("mAP=37.331%", {"mAP": "37.331"}),
        ("Accuracy: mean = 0.86114, kidney = 0.9, tumor = 0.8", {"DICE": "0.86114"}),
        ('{"exact_match": 83.6, "f1": 90.874}', {"F1": "90.874"}),
        ("Word Error Rate: 2.1679%, accuracy=97.832%", {"ACCURACY": "97.832"}),
        ("{'rouge1': '38.486', 'rouge2': '15.9', 'gen_len': 8151688}", {"ROUGE1": "38.486", "GEN_LEN": "8151688"}),
        ("{'exact_match': 81.449, 'tokens_per_sample': 3758.8}", {"exact_match": "81.449"}),
        ("Accuracy Results: {'FID_SCORE': '23.81', 'CLIP_SCORE': '31.79'}", {"CLIP_SCORE": "31.79"}),
    ],
)
def test_the_lines_of_the_accuracy_scripts_are_understood(text: str, expected: dict[str, str]) -> None:
    found = read(f"loading\n{text}\n\nhash={DIGEST}\n", *(target(metric, 0.0) for metric in expected))
    assert found.texts == expected
    assert found.missing == ()
    assert found.sha256 == DIGEST


EXAMPLES = {
    "acc": ("accuracy=76.078%, good=38039, total=50000", "76.078"),
    "meanAcc": ("{'mean-accuracy': '71.5', 'n': 3}", "71.5"),
    "AUC": ("AUC=80.166%, accuracy=96.6%, good=3, total=4, queries=1", "80.166"),
    "DLRM_NE": ("WARNING:main:metric/lifetime_ne/rating: 0.86687", "0.86687"),
    "DLRM_ACC": ("WARNING:main:metric/lifetime_accuracy/rating: 0.69651", "0.69651"),
    "DLRM_AUC": ("WARNING:main:metric/lifetime_gauc/rating: 0.78663", "0.78663"),
    "mAP": ("{'Pedestrian': [57.7], 'Total': 54.256218124416954}", "54.256218124416954"),
    "bleu": ("BLEU: 23.9", "23.9"),
    "F1": ('{"exact_match": 83.59, "f1": 90.874}', "90.874"),
    "ACCURACY": ("Word Error Rate: 2.1679%, accuracy=97.83219%", "97.83219"),
    "DICE": ("Accuracy: mean = 0.86114, kidney = 0.9341, tumor = 0.7882", "0.86114"),
    "ROUGE1": ("{'rouge1': '38.486', 'rouge2': '15.9', 'rougeL': '24.5'}", "38.486"),
    "ROUGE2": ("{'rouge1': 44.5, 'rouge2': 22.1844, 'rougeL': 29.0}", "22.1844"),
    "ROUGEL": ("{'exact_match': 90.08, 'rougeL': 21.457630147114052}", "21.457630147114052"),
    "ROUGELSUM": ("{'rougeL': 24.5, 'rougeLsum': '35.8', 'gen_len': 1}", "35.8"),
    "GEN_LEN": ("{'rougeLsum': '35.8', 'gen_len': 8151688, 'gen_num': 13368}", "8151688"),
    "TOKENS_PER_SAMPLE": ("{'exact_match': 81.4, 'tokens_per_sample': 3758.8, 'num-samples': 4388}", "3758.8"),
    "CLIP_SCORE": ("Accuracy Results: {'FID_SCORE': '23.819', 'CLIP_SCORE': '31.791'}", "31.791"),
    "FID_SCORE": ("Accuracy Results: {'FID_SCORE': '23.819', 'CLIP_SCORE': '31.791'}", "23.819"),
    "gsm8k_accuracy": ("{'rouge1': 45.3, 'gsm8k': 73.16, 'mbxp': 60.3}", "73.16"),
    "mbxp_accuracy": ("{'rouge1': 45.3, 'gsm8k': 73.16, 'mbxp': 60.3}", "60.3"),
    "exact_match": ("{'exact_match': 81.449, 'tokens_per_sample': 3758.8}", "81.449"),
    "vbench_score": ("{'vbench_score': 70.48}", "70.48"),
    "F1_HIERARCHICAL": ('{"precision": 0.8, "f1": 0.7903}', "0.7903"),
    "E2E_ACCURACY": ("Accuracy: 98.2500", "98.2500"),
}


@pytest.mark.parametrize("round_", ["v5.1", "v6.0", "v6.1"])
def test_every_pattern_of_the_rounds_has_an_example(round_: str) -> None:
    assert set(load_catalogue().round(round_).accuracy_regex) == set(EXAMPLES)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("metric", EXAMPLES)
def test_every_form_is_read_with_any_line_end(metric: str, end: str) -> None:
    line, number = EXAMPLES[metric]
    assert read(f"Loading...{end or chr(10)}{line}{end}", target(metric, 0.0)).texts == {metric: number}


def test_a_digest_with_a_carriage_return_is_read_as_text_files_are(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.txt"
    path.write_bytes(f"accuracy=80.0%\r\nhash={DIGEST}\r\n".encode())
    assert read_accuracy_text(path, [], ROUND.accuracy_regex, ROUND.hash_regex).sha256 == DIGEST


@pytest.mark.parametrize(
    ("text", "miss", "told"),
    [
        ("75.0", 0.25, "acc is 75; expected at least 75.25 and at most 80, missed by 0.25"),
        ("75.25", 0.0, "acc is 75.25; expected at least 75.25 and at most 80"),
        ("80", 0.0, "acc is 80; expected at least 75.25 and at most 80"),
        ("81.5", 1.5, "acc is 81.5; expected at least 75.25 and at most 80, missed by 1.5"),
    ],
)
def test_a_score_says_by_how_much_it_misses(text: str, miss: float, told: str) -> None:
    (score,) = read(f"accuracy={text}%\n", target("acc", 75.25, 80.0)).scores
    assert score.misses_by == pytest.approx(miss)
    assert score.sentence == told


def test_no_number_misses_by_no_number() -> None:
    (score,) = read("accuracy=76.4.1%\n", target("acc", 75.0)).scores
    assert math.isnan(score.misses_by)
    assert score.sentence == "acc is '76.4.1', which is no number; expected at least 75"


def test_the_targets_of_a_variant_and_of_a_scenario_are_its_own() -> None:
    line = '{"exact_match": 83.6, "f1": 90.5}\n'
    met = {
        name: read(line, *ROUND.accuracy_targets(name, "Offline")).scores[0].met for name in ("bert-99", "bert-99.9")
    }
    assert met == {"bert-99": True, "bert-99.9": False}
    line = '{"f1": 0.781}\n'
    met = {
        s: read(line, *ROUND.accuracy_targets("qwen3-vl-235b-a22b", s)).scores[0].met
        for s in ("Offline", "Interactive")
    }
    assert met == {"Offline": False, "Interactive": True}


def test_a_metric_below_its_minimum_is_not_met() -> None:
    (score,) = read("accuracy=75.695%\n", *ROUND.accuracy_targets("resnet", "Offline")).scores
    assert not score.met
    assert score.value == pytest.approx(75.695)
    assert score.limit == "at least 75.6954"


def test_the_minimum_itself_is_met() -> None:
    (score,) = read("accuracy=75.6954%\n", *ROUND.accuracy_targets("resnet", "Offline")).scores
    assert score.met


def test_a_metric_above_its_maximum_is_not_met() -> None:
    targets = ROUND.accuracy_targets("llama2-70b-99.9", "Offline")
    found = read("{'rouge1': 44.5, 'rouge2': 22.1, 'rougeL': 28.7, 'tokens_per_sample': 324.0}\n", *targets)
    assert [score.metric for score in found.scores if not score.met] == ["TOKENS_PER_SAMPLE"]
    assert found.scores[-1].limit == "at least 265.005 and at most 323.895"


def test_a_metric_with_an_upper_bound_only_needs_no_minimum() -> None:
    found = read(
        "{'exact_match': 83.0, 'tokens_per_sample': 1.0}\n", *ROUND.accuracy_targets("gpt-oss-120b", "Offline")
    )
    assert all(score.met for score in found.scores)


def test_a_pattern_counts_at_the_start_of_a_line_only() -> None:
    found = read("final accuracy=76.5%\n", target("acc", 75.0))
    assert found.scores == ()
    assert found.missing == ("acc",)


def test_a_text_that_only_looks_like_a_number_is_not_met() -> None:
    (score,) = read("accuracy=76.4.1%\n", target("acc", 75.0)).scores
    assert math.isnan(score.value)
    assert not score.met


def test_a_worse_line_after_the_hash_counts_for_us_and_not_for_the_official_checker() -> None:
    (score,) = read(f"accuracy=76.5%\nhash={DIGEST}\naccuracy=70.0%\n", target("acc", 75.0)).scores
    assert score.met_officially
    assert score.text == "76.5"
    assert not score.met
    assert score.value == pytest.approx(70.0)


def test_a_worse_line_before_the_hash_counts_for_both() -> None:
    (score,) = read(f"accuracy=70.0%\naccuracy=76.5%\nhash={DIGEST}\n", target("acc", 75.0)).scores
    assert not score.met_officially
    assert not score.met


@pytest.mark.parametrize("line", ["hash=1234", "hash=" + "g" * 64, "hash=" + "A" * 64])
def test_a_hash_line_of_another_form_is_no_sha256(line: str) -> None:
    found = read(f"{line}\n", target("acc", 1.0))
    assert found.hash_text == line.removeprefix("hash=")
    assert found.sha256 is None


def test_without_a_hash_line_there_is_no_digest() -> None:
    assert read(f"accuracy=1\n hash={DIGEST}\n", target("acc", 1.0)).hash_text is None


def test_what_is_written_as_hash_line_is_read_back() -> None:
    assert read(hash_line(DIGEST)).sha256 == DIGEST
    with pytest.raises(ResultError, match="is not a sha256"):
        hash_line("abc")


def test_a_file_in_any_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.txt"
    path.write_bytes(b"\xff\xfe gr\xfc\xdfe\naccuracy=80.0%\n")
    found = read_accuracy_text(path, [target("acc", 75.0)], ROUND.accuracy_regex, ROUND.hash_regex)
    assert found.texts == {"acc": "80.0"}


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"cannot read .*accuracy\.txt: No such file"):
        read_accuracy_text(tmp_path / "accuracy.txt", [], ROUND.accuracy_regex, ROUND.hash_regex)
