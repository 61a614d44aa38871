"""Compliance tests verified on the logs of real LoadGen runs; with a checkout the official scripts must agree.

MLPERF_INFERENCE_CHECKOUT names a checkout of mlcommons/inference at the round's commit. Speeds are set in the logs
afterwards (`with_score`), so that no case depends on how busy this machine is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker.texts import TextFile
from mlperf_ops.commands.compliance import agrees
from mlperf_ops.compliance.audit import audit_settings, audit_text
from mlperf_ops.compliance.model import MEAN_LENGTH, SCORE, Options, Request, Runs, Verification
from mlperf_ops.compliance.official import run_official
from mlperf_ops.compliance.sampled import write_baseline
from mlperf_ops.compliance.scoring import by_labels
from mlperf_ops.compliance.verify import verify
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG, read_responses
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG
from mlperf_ops.model import ComplianceTest, Scenario
from tests.support.compliance_runs import SAMPLES, Sut, int32s, int64, run

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

ROUND = load_catalogue().round("v6.1")
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT")
needs_checkout = pytest.mark.skipif(
    CHECKOUT is None, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference"
)
CLASSES = [int64(index) for index in range(SAMPLES)]
LONG = ("performance_sample_count_override = 120",)


def audit(test: ComplianceTest, official: str) -> str:
    return audit_text(audit_settings(ROUND, test, official))


def wrong(count: int) -> list[str]:
    """Class answers of which the first `count` are wrong."""
    return [int64(index + 500 if index < count else index) for index in range(SAMPLES)]


def tokens(count: int, *, end: tuple[int, ...] = (2,)) -> list[str]:
    return [int32s(*range(5, 5 + count + index % 3), *end) for index in range(SAMPLES)]


def counted(answers: list[str]) -> list[int]:
    return [len(text) // 8 for text in answers]


def recommended(shift: float, *, accuracy: bool) -> list[str]:
    made = []
    for index in range(SAMPLES):
        predictions = [0.2 + shift, 0.7 - shift, 0.5]
        more = [1.0, 0.0, 1.0, 1.0, 2.0, 1.0, 3.0] if accuracy else []
        made.append(struct.pack(f"<{5 + len(more)}f", index // 10, index, *predictions, *more).hex())
    return made


@dataclass
class Made:
    """Runs of real LoadGen, each made once, and copies of them in which something was changed."""

    base: Path
    made: dict[str, Path] = field(default_factory=dict)

    def get(self, name: str, sut: Callable[[], Sut], config: str = "") -> Path:
        if name not in self.made:
            self.made[name] = run(self.base / name, sut(), config)
        return self.made[name]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("compliance runs".replace(" ", "_")))


def changed(folder: Path, target: Path, **texts: Callable[[str], str]) -> Path:
    """Copy a run, with the text of some of its logs changed."""
    shutil.copytree(folder, target)
    for name, change in texts.items():
        path = target / {"detail": DETAIL_LOG, "summary": SUMMARY_LOG, "answers": ACCURACY_LOG}[name]
        before = path.read_text()
        after = change(before)
        assert after != before, name
        path.write_text(after)
    return target


_DETAIL_KEYS = {"SingleStream": "early_stopping_latency_ss", "MultiStream": "early_stopping_latency_ms"}


def with_score(folder: Path, target: Path, scenario: str, value: float) -> Path:
    """Copy a run, call it VALID and set what it measured: nanoseconds in streams, else per second."""
    key = {**_DETAIL_KEYS, "Offline": "result_samples_per_second", "Server": "result_completed_samples_per_sec"}[
        scenario
    ]
    shown = {
        "SingleStream": r"(Early stopping 90.0th percentile estimate: ).*",
        "MultiStream": r"(Early stopping 99.0th percentile estimate: ).*",
        "Offline": r"(Samples per second: ).*",
        "Server": r"(Completed samples per second +: ).*",
    }[scenario]
    return changed(
        folder,
        target,
        detail=lambda text: re.sub(rf'("key": "{key}", "value": )[^,]+', rf"\g<1>{value}", text).replace(
            '"INVALID"', '"VALID"'
        ),
        summary=lambda text: re.sub(shown, rf"\g<1>{value}", text).replace("INVALID", "VALID"),
    )


def request(
    test: ComplianceTest,
    official: str,
    scenario: Scenario,
    tested: Path,
    *,
    performance: Path | None = None,
    accuracy: Path | None = None,
    options: Options | None = None,
) -> Request:
    return Request(test, ROUND, official, scenario, Runs(tested, performance, accuracy), options or Options())


def judged(asked: Request) -> Verification:
    """Verify, and let the official script agree where there is a checkout."""
    found = verify(asked)
    if CHECKOUT is not None:
        official = run_official(asked, Path(CHECKOUT))
        assert agrees(found, official), official.said
    return found


# --- TEST01 -----------------------------------------------------------------------------------------------------------


def accuracy_run(runs: Made) -> Path:
    return runs.get("accuracy", lambda: Sut(accuracy=True, answers=CLASSES))


def classes(scenario: str, answers: list[str]) -> Sut:
    """Long enough for LoadGen to estimate a percentile."""
    return Sut(scenario, answers=answers, sleep_ms=0.1, queries=700)


def speed(runs: Made, scenario: str) -> Path:
    return runs.get(f"performance-{scenario}", lambda: classes(scenario, CLASSES))


def sampled(runs: Made, scenario: str, bad: int = 0) -> Path:
    """A TEST01 run, some of whose answers differ from the accuracy run's."""
    return runs.get(f"TEST01-{scenario}-{bad}", lambda: classes(scenario, wrong(bad)), audit("TEST01", "resnet"))


INT64 = Options(answer_type="int64")


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_equal_answers_at_equal_speed_pass_test01(runs: Made, scenario: Scenario, tmp_path: Path) -> None:
    performance = with_score(speed(runs, scenario), tmp_path / "p", scenario, 20_000_000)
    tested = with_score(sampled(runs, scenario), tmp_path / "t", scenario, 21_000_000)
    found = judged(
        request(
            "TEST01", "resnet", scenario, tested, performance=performance, accuracy=accuracy_run(runs), options=INT64
        )
    )
    assert found.passed, found.sentence
    for name in ("verify_accuracy.txt", "verify_performance.txt"):
        content = found.files[name]
        assert isinstance(content, bytes)
        assert b"\nTEST PASS\n" in content
    assert set(found.files) == {
        *("verify_accuracy.txt", "verify_performance.txt"),
        *("performance/run_1/mlperf_log_summary.txt", "performance/run_1/mlperf_log_detail.txt"),
        *("accuracy/mlperf_log_accuracy.json", "accuracy/accuracy.txt"),
    }


@pytest.mark.parametrize(
    ("scenario", "before", "after", "passed"),
    [
        ("Offline", 1000, 1100, True),
        ("Offline", 1000, 1100.1, False),
        ("Offline", 1000, 900, True),
        ("Offline", 1000, 899.9, False),
        ("SingleStream", 200_000, 240_000, True),  # fast: 20 %
        ("SingleStream", 200_000, 240_001, False),
        ("SingleStream", 200_001, 240_000, False),
        ("SingleStream", 10_000_000, 10_900_000, True),
        ("MultiStream", 1_600_000, 1_300_000, True),
        ("MultiStream", 1_600_001, 1_300_000, False),
    ],
)
def test_the_speed_of_test01_is_held_to_both_bounds(
    runs: Made, scenario: Scenario, before: float, after: float, *, passed: bool, tmp_path: Path
) -> None:
    found = judged(
        request(
            *("TEST01", "resnet", scenario),
            with_score(sampled(runs, scenario), tmp_path / "t", scenario, after),
            performance=with_score(speed(runs, scenario), tmp_path / "p", scenario, before),
            accuracy=accuracy_run(runs),
            options=INT64,
        )
    )
    assert found.passed == passed, found.sentence
    if not passed:
        assert "than the performance run" in found.reasons[0]
        assert "compliance_min_duration_ms" in found.remedy


def label_file(folder: Path) -> Path:
    path = folder / "labels.txt"
    # Half of the right answers are labelled wrong, so that scores are no round numbers.
    path.write_text("".join(f"{i}.jpg {i if i % 2 else 999}\n" for i in range(SAMPLES)))
    return path


@pytest.mark.parametrize(
    ("bad", "official", "passed"),
    [(0, "resnet", True), (1, "resnet", True), (4, "resnet", False)],  # the first sample is wrong in both runs
)
def test_differing_answers_are_left_to_the_scores(
    runs: Made, bad: int, official: str, *, passed: bool, tmp_path: Path
) -> None:
    options = replace(INT64, score=by_labels(label_file(tmp_path), None))
    found = judged(
        request(
            *("TEST01", official, "Offline"),
            with_score(sampled(runs, "Offline", bad), tmp_path / "t", "Offline", 1000),
            performance=with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000),
            accuracy=accuracy_run(runs),
            options=options,
        )
    )
    assert found.passed == passed, found.sentence
    if not passed:
        assert "% apart, and 1 % is allowed" in found.sentence
        text = found.files["verify_accuracy.txt"]
        assert isinstance(text, bytes)
        assert b"TEST PASS" not in text


def test_a_net_shift_within_the_rounds_percentage_passes_at_99_and_fails_at_99_9(runs: Made, tmp_path: Path) -> None:
    options = Options(
        answer_type="int64",
        baseline_text='{"exact_match": 83.1, "f1": 90.300}\n',
        compliance_text='{"exact_match": 83.0, "f1": 90.030}\n',
    )
    common = {
        "performance": with_score(speed(runs, "Offline"), tmp_path / "p", "Offline", 1000),
        "accuracy": accuracy_run(runs),
        "options": options,
    }
    tested = with_score(sampled(runs, "Offline", 3), tmp_path / "t", "Offline", 1000)
    assert judged(request("TEST01", "bert-99", "Offline", tested, **common)).passed  # type: ignore[arg-type]
    strict = judged(request("TEST01", "bert-99.9", "Offline", tested, **common))  # type: ignore[arg-type]
    assert "0.3 % apart, and 0.1 % is allowed" in strict.sentence
    assert strict.files["accuracy/baseline_accuracy.txt"] == b'{"exact_match": 83.1, "f1": 90.300}\n'


def test_without_a_scorer_the_sentence_says_how_to_go_on(runs: Made, tmp_path: Path) -> None:
    found = judged(
        request(
            *("TEST01", "resnet", "Offline", sampled(runs, "Offline", 1)),
            performance=speed(runs, "Offline"),
            accuracy=accuracy_run(runs),
            options=INT64,
        )
    )
    assert not found.passed
    assert "nothing here can score the answers" in found.sentence
    assert "--baseline-text" in found.remedy


@needs_checkout
def test_the_baseline_is_that_of_the_official_script(runs: Made, tmp_path: Path) -> None:
    test_log, accuracy_log = sampled(runs, "Offline", 1) / ACCURACY_LOG, accuracy_run(runs) / ACCURACY_LOG
    count = write_baseline(test_log, accuracy_log, tmp_path / "ours.json")
    script = Path(str(CHECKOUT)) / "compliance" / "TEST01" / "create_accuracy_baseline.sh"
    subprocess.run(["bash", str(script), str(accuracy_log), str(test_log)], cwd=tmp_path, check=True)
    theirs = json.loads((tmp_path / "mlperf_log_accuracy_baseline.json").read_text())
    assert json.loads((tmp_path / "ours.json").read_text()) == theirs
    assert len(theirs) == count > 0


# --- TEST04 -----------------------------------------------------------------------------------------------------------


def repeated(runs: Made, scenario: str) -> Path:
    return runs.get(f"TEST04-{scenario}", lambda: classes(scenario, CLASSES), audit("TEST04", "resnet"))


@pytest.mark.parametrize(
    ("scenario", "before", "after", "passed", "noted"),
    [
        ("Offline", 1000, 1099.9, True, False),
        ("Offline", 1000, 1100, False, False),
        ("Offline", 1000, 10, True, False),  # slower is no sin
        ("SingleStream", 12_000_000, 10_000_001, True, True),  # the official script lets 20 % pass
        ("SingleStream", 12_000_000, 10_000_000, False, False),
        ("SingleStream", 12_000_000, 11_500_000, True, False),
        ("MultiStream", 12_000_000, 10_000_000, False, False),
    ],
)
def test_test04_may_not_be_faster(
    runs: Made, scenario: Scenario, before: float, after: float, *, passed: bool, noted: bool, tmp_path: Path
) -> None:
    found = judged(
        request(
            *("TEST04", "resnet", scenario),
            with_score(repeated(runs, scenario), tmp_path / "t", scenario, after),
            performance=with_score(speed(runs, scenario), tmp_path / "p", scenario, before),
        )
    )
    assert found.passed == passed, found.sentence
    assert bool(found.notes) == noted


def test_a_sut_that_answers_repeated_samples_from_a_cache_fails_test04(runs: Made) -> None:
    """Without any figure set: the SUT really is faster."""
    slow = runs.get("slow", lambda: Sut("Offline", answers=CLASSES, sleep_ms=4))
    cached = runs.get(
        "cached", lambda: Sut("Offline", answers=CLASSES, sleep_ms=4, same_ms=0.5), audit("TEST04", "resnet")
    )
    found = judged(request("TEST04", "resnet", "Offline", cached, performance=slow))
    assert not found.passed
    assert re.search(
        r"the test is \d+\.\d % faster than the performance run \(.+\); 10 % faster is allowed", found.sentence
    )


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_a_copy_of_the_performance_run_is_no_test04_although_the_official_script_passes_it(runs: Made) -> None:
    performance = speed(runs, "Offline")
    found = judged(request("TEST04", "resnet", "Offline", performance, performance=performance))
    assert (found.passed, found.official_passed) == (False, True)
    assert "effective_performance_issue_same is False, expected 1" in found.sentence
    assert "a copy of the performance run's" in found.sentence
    text = found.files["verify_performance.txt"]
    assert isinstance(text, bytes)
    assert b"TEST PASS" not in text


def test_scores_without_evidence_do_not_reach_the_tree(runs: Made) -> None:
    found = verify(
        request(
            *("TEST01", "resnet", "Offline"),
            runs.get("without audit.config", lambda: Sut(accuracy=True, answers=wrong(1))),
            performance=speed(runs, "Offline"),
            accuracy=accuracy_run(runs),
            options=replace(INT64, baseline_text="accuracy=50.0%\n", compliance_text="accuracy=50.0%\n"),
        )
    )
    assert not found.passed
    assert "effective_test_mode is AccuracyOnly, expected PerformanceOnly" in found.sentence
    assert "accuracy/baseline_accuracy.txt" not in found.files


def test_logs_of_another_round_and_of_another_scenario_are_found(runs: Made, tmp_path: Path) -> None:
    other = changed(
        repeated(runs, "Offline"),
        tmp_path / "other",
        detail=lambda text: text.replace(str(ROUND.seeds.qsl_rng_seed), "1780908523862526354"),
    )
    performance = speed(runs, "Offline")
    found = verify(request("TEST04", "resnet", "Offline", other, performance=performance))
    assert "qsl_rng_seed of the test is 1780908523862526354" in found.sentence
    found = verify(request("TEST04", "resnet", "SingleStream", repeated(runs, "Offline"), performance=performance))
    assert "the test ran scenario Offline, not SingleStream" in found.sentence


# --- TEST06 to TEST09 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scenario", "answers", "first", "counts", "says"),
    [
        ("good", "Server", tokens(6), int32s(5), None, None),
        ("good", "Offline", tokens(6), None, None, None),
        ("no end token", "Offline", tokens(6, end=()), None, None, None),
        ("two end tokens", "Offline", tokens(6, end=(2, 2)), None, None, "ends with more than one token 2"),
        ("only end tokens", "Offline", [int32s(2, 2)] * SAMPLES, None, None, None),  # the first token is not looked at
        ("other first token", "Server", tokens(6), int32s(6), None, "the first token is 5 and was reported as 6"),
        ("wrong count", "Offline", tokens(6), None, [3] * SAMPLES, "tokens and reports 3"),
    ],
)
def test_test06_looks_at_ends_first_tokens_and_counts(
    runs: Made,
    name: str,
    scenario: Scenario,
    answers: list[str],
    first: str | None,
    counts: list[int] | None,
    says: str | None,
) -> None:
    tested = runs.get(
        f"TEST06-{scenario}-{name}".replace(" ", "-"),
        lambda: Sut(
            *(scenario, False, "llama2-70b", answers),
            sleep_ms=0,
            first_tokens=None if first is None else [first] * SAMPLES,
            counts=counted(answers) if counts is None else counts,
            more_conf=LONG,
        ),
        audit("TEST06", "llama2-70b-99.9"),
    )
    found = judged(request("TEST06", "llama2-70b-99.9", scenario, tested))
    assert found.passed == (says is None), found.sentence
    assert says is None or says in found.sentence
    text = found.files["verify_accuracy.txt"]
    assert isinstance(text, bytes)
    expected = "Skipped" if scenario == "Offline" else str("first token" not in (says or ""))
    assert f"First token check pass: {expected}\n".encode() in text


def test_tokens_of_another_size_are_recognised(runs: Made) -> None:
    answers = [struct.pack("<4q", 5, 6, 7, 2).hex()] * SAMPLES
    tested = runs.get(
        "TEST06-int64",
        lambda: Sut("Offline", model="llama2-70b", answers=answers, sleep_ms=0, counts=[4] * SAMPLES, more_conf=LONG),
        audit("TEST06", "llama2-70b-99.9"),
    )
    assert "--answer-type int64" in judged(request("TEST06", "llama2-70b-99.9", "Offline", tested)).remedy
    assert judged(request("TEST06", "llama2-70b-99.9", "Offline", tested, options=INT64)).passed


@pytest.mark.parametrize(("score", "passed"), [("60.698", True), ("60.697", False), (None, False)])
def test_test07_holds_the_score_to_the_rounds_least_one(runs: Made, score: str | None, *, passed: bool) -> None:
    tested = runs.get(
        "TEST07",
        lambda: Sut(
            "Offline", model="gpt-oss-120b", answers=tokens(6), sleep_ms=0, counts=counted(tokens(6)), more_conf=LONG
        ),
        audit("TEST07", "gpt-oss-120b"),
    )
    text = "no score\n" if score is None else f"{{'exact_match': {score}, 'tokens_per_sample': 6.0}}\n"
    asked = request("TEST07", "gpt-oss-120b", "Offline", tested, options=Options(compliance_text=text))
    found = judged(asked)
    assert found.passed == passed, found.sentence
    said = found.files["verify_accuracy.txt"]
    assert isinstance(said, bytes)
    read = TextFile("", exists=True, text=said.decode(), problem=None).number(SCORE)
    assert read == (None if score is None else float(score)), "for our checker"


@pytest.mark.parametrize(("shift", "passed"), [(0.0, True), (0.0001, True), (0.02, False)])
def test_test08_compares_the_entropy_of_each_query(runs: Made, shift: float, *, passed: bool) -> None:
    accuracy = runs.get("dlrm-accuracy", lambda: Sut(accuracy=True, answers=recommended(0, accuracy=True), sleep_ms=0))
    tested = runs.get(
        f"TEST08-{shift}",
        lambda: Sut("Offline", model="dlrm-v3", answers=recommended(shift, accuracy=False), sleep_ms=0),
        audit("TEST08", "dlrm-v3"),
    )
    found = judged(request("TEST08", "dlrm-v3", "Offline", tested, accuracy=accuracy))
    assert found.passed == passed, found.sentence


@pytest.mark.parametrize(("count", "passed"), [(269, True), (240, False), (310, False)])
def test_test09_holds_the_mean_length_to_the_rounds_bounds(runs: Made, count: int, *, passed: bool) -> None:
    answers = tokens(count)
    tested = runs.get(
        f"TEST09-{count}",
        lambda: Sut("Offline", model="e2e-rag-qna", answers=answers, sleep_ms=0, queries=824, more_conf=LONG),
        audit("TEST09", "e2e-rag-qna"),
    )
    found = judged(request("TEST09", "e2e-rag-qna", "Offline", tested))
    assert found.passed == passed, found.sentence
    assert passed or "than allowed (246.43 to 301.19)" in found.sentence
    text = found.files["verify_output_len.txt"]
    assert isinstance(text, bytes)
    mean = TextFile("", exists=True, text=text.decode(), problem=None).number(MEAN_LENGTH)
    assert mean is not None, "for our checker"
    assert (246.43 <= mean <= 301.19) == passed


# --- broken logs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], "the run was interrupted"),
        (lambda text: text[:300] + "\n\n...\n\n" + text[-300:], "full_logs/"),
        (lambda text: text.replace('"qsl_idx"', '"sample"'), "expected an object with qsl_idx and data in hexadecimal"),
        (
            lambda text: re.sub(r'"data" : "..', '"data" : "zz', text),
            "expected an object with qsl_idx and data in hexadecimal",
        ),
        (lambda text: text.replace("[", "{", 1), "starts with '{'; expected a list of responses"),
        (lambda _: "", "is empty"),
    ],
)
def test_a_broken_accuracy_log_is_one_sentence(
    runs: Made, change: Callable[[str], str], says: str, tmp_path: Path
) -> None:
    broken = changed(accuracy_run(runs), tmp_path / "broken", answers=change)
    asked = request(
        *("TEST01", "resnet", "Offline", sampled(runs, "Offline")),
        performance=speed(runs, "Offline"),
        accuracy=broken,
        options=INT64,
    )
    with pytest.raises(ResultError) as caught:
        verify(asked)
    assert says in str(caught.value)
    assert str(broken) in str(caught.value)


def test_a_list_in_one_line_is_read_like_loadgens(runs: Made, tmp_path: Path) -> None:
    whole = json.loads((accuracy_run(runs) / ACCURACY_LOG).read_text())
    path = tmp_path / "one line.json"
    path.write_text(json.dumps(whole))
    assert [answer.index for answer in read_responses(path)] == [entry["qsl_idx"] for entry in whole]
