"""TEST06 to TEST09 of imported results, on real LoadGen logs: verified with what the map says of their answers."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mlperf_ops.aggregate import aggregate
from mlperf_ops.compliance.audit import audit_settings, audit_text
from mlperf_ops.files import Json
from mlperf_ops.importing.store import Imported
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG
from mlperf_ops.model import ComplianceTest, Mode
from tests.support.attempts import RealLogs
from tests.support.compliance_runs import SAMPLES, Sut, int32s, run
from tests.support.vendor import CATALOGUE, Vendor

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

ROUND = CATALOGUE.round("v6.1")
ANSWERS = [int32s(*range(5, 11 + index % 3), 2) for index in range(SAMPLES)]
MADE_BY_SCRIPT = "compliance_accuracy.txt"
SCORES_OF_GPT = "{{'exact_match': {score}, 'tokens_per_sample': 6.0}}\n"
_RATINGS = {"ne": 0.8665, "accuracy": 0.697, "gauc": 0.787}
SCORES_OF_DLRM = "".join(f"metric/lifetime_{name}/rating: {score}\n" for name, score in _RATINGS.items())


def tokens(benchmark: str, answers: list[str] | None = None, *, queries: int = 250) -> Sut:
    """A language model whose answers, and how many tokens they have, are known."""
    said = ANSWERS if answers is None else answers
    counts = [len(text) // 8 for text in said]
    conf = ("performance_sample_count_override = 120",)
    return Sut("Offline", model=benchmark, answers=said, sleep_ms=0, counts=counts, queries=queries, more_conf=conf)


def recommended(shift: float, *, accuracy: bool) -> Sut:
    """A recommender; an accuracy run also logs labels, weights and their number."""
    answers = []
    for index in range(SAMPLES):
        more = [1.0, 0.0, 1.0, 1.0, 2.0, 1.0, 3.0] if accuracy else []
        predictions = (0.2 + shift, 0.7 - shift, 0.5)
        answers.append(struct.pack(f"<{5 + len(more)}f", index // 10, index, *predictions, *more).hex())
    return Sut("Offline", accuracy=accuracy, model="dlrm-v3", answers=answers, sleep_ms=0)


class Made:
    """Runs of real LoadGen, each made once."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def get(self, name: str, sut: Callable[[], Sut], config: str = "") -> Path:
        folder = self.base / name
        return folder if folder.exists() else run(folder, sut(), config)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("tests-of-a-vendor"))


@pytest.fixture
def vendor(tmp_path: Path, real_logs: RealLogs) -> Vendor:
    found = Vendor(tmp_path, real_logs)
    found.map["division"] = "closed"
    found.map["systems"][0]["system_type"] = "datacenter"
    return found


def audit(test: ComplianceTest, official: str) -> str:
    return audit_text(audit_settings(ROUND, test, official))


def bring(vendor: Vendor, benchmark: str, folders: dict[Mode, Path], **more: Json) -> dict[Mode, Imported]:
    """Put runs into the vendor's folder and the map, and import them."""
    for mode, source in folders.items():
        shutil.copytree(source, vendor.base / mode, dirs_exist_ok=True)
    named = {mode: mode for mode in folders}
    vendor.map["results"] = [{"system": "box", "benchmark": benchmark, "scenario": "Offline", "folders": named, **more}]
    told = {one.key.rpartition("/")[2]: one for one in vendor.bring()}
    return {mode: told[mode] for mode in folders}


@pytest.mark.parametrize(
    ("end", "more", "says"),
    [
        ((2,), {}, ""),
        ((7,), {"eos_token_id": 7}, ""),
        ((2, 2), {}, "ends with more than one token 2"),
        ((7, 7), {"eos_token_id": 7}, "ends with more than one token 7"),
    ],
)
def test_test06_reads_answers_with_the_end_token_that_the_map_names(
    made: Made, vendor: Vendor, end: tuple[int, ...], more: dict[str, Json], says: str
) -> None:
    answers = [int32s(*range(10, 16 + index % 3), *end) for index in range(SAMPLES)]
    config = audit("TEST06", "llama2-70b-99.9")
    folder = made.get(f"TEST06-{'-'.join(map(str, end))}", lambda: tokens("llama2-70b", answers), config)
    found = bring(vendor, "llama2-70b-99.9", {"TEST06": folder}, **more)["TEST06"]
    assert (found.state, found.verdict) == ("imported", "failed test" if says else "valid"), found.reason
    assert says in found.reason


def test_test06_reads_answers_of_the_type_that_the_map_names(made: Made, vendor: Vendor) -> None:
    answers = [struct.pack("<4q", 5, 6, 7, 2).hex()] * SAMPLES
    sut = Sut("Offline", model="llama2-70b", answers=answers, sleep_ms=0, counts=[4] * SAMPLES)
    folder = made.get("TEST06-int64", lambda: sut, audit("TEST06", "llama2-70b-99.9"))
    found = bring(vendor, "llama2-70b-99.9", {"TEST06": folder}, answer_type="int64")["TEST06"]
    assert (found.state, found.verdict, found.reason) == ("imported", "valid", "")


@pytest.mark.parametrize(
    ("score", "says"),
    [("60.698", ""), ("60.697", "exact_match is 60.697, and at least 60.698 is asked for"), (None, "nothing here can")],
)
def test_test07_is_judged_by_the_score_of_the_benchmarks_own_script(
    made: Made, vendor: Vendor, score: str | None, says: str
) -> None:
    folder = made.get("TEST07", lambda: tokens("gpt-oss-120b"), audit("TEST07", "gpt-oss-120b"))
    (vendor.base / "TEST07").mkdir()
    if score is not None:
        (vendor.base / "TEST07" / MADE_BY_SCRIPT).write_text(SCORES_OF_GPT.format(score=score))
    found = bring(vendor, "gpt-oss-120b", {"TEST07": folder})["TEST07"]
    assert (found.state, found.verdict) == ("imported", "failed test" if says else "valid"), found.reason
    assert says in found.reason


@pytest.mark.parametrize(("shift", "says"), [(0.0001, ""), (0.02, "the normalized entropy of 250 of 250 queries")])
def test_test08_is_compared_with_the_imported_accuracy_run(made: Made, vendor: Vendor, shift: float, says: str) -> None:
    accuracy = made.get("dlrm-accuracy", lambda: recommended(0, accuracy=True))
    config = audit("TEST08", "dlrm-v3")
    folder = made.get(f"TEST08-{shift}", lambda: recommended(shift, accuracy=False), config)
    (vendor.base / "accuracy").mkdir()
    (vendor.base / "accuracy/accuracy.txt").write_text(SCORES_OF_DLRM)
    found = bring(vendor, "dlrm-v3", {"accuracy": accuracy, "TEST08": folder})
    assert found["accuracy"].state == "imported", found["accuracy"].reason
    assert (found["TEST08"].state, found["TEST08"].verdict) == ("imported", "failed test" if says else "valid")
    assert says in found["TEST08"].reason


def test_test08_without_an_accuracy_run_is_refused(made: Made, vendor: Vendor) -> None:
    folder = made.get("TEST08-0.0001", lambda: recommended(0.0001, accuracy=False), audit("TEST08", "dlrm-v3"))
    found = bring(vendor, "dlrm-v3", {"TEST08": folder})["TEST08"]
    assert found.state == "refused"
    assert "TEST08 is compared with the accuracy run, and there is none" in found.reason


@pytest.mark.parametrize(("count", "says"), [(269, ""), (240, "than allowed (246.43 to 301.19)")])
def test_test09_is_judged_by_the_length_of_the_logged_answers(
    made: Made, vendor: Vendor, count: int, says: str
) -> None:
    answers = [int32s(*range(5, 5 + count + index % 3), 2) for index in range(SAMPLES)]
    config = audit("TEST09", "e2e-rag-qna")
    folder = made.get(f"TEST09-{count}", lambda: tokens("e2e-rag-qna", answers, queries=824), config)
    found = bring(vendor, "e2e-rag-qna", {"TEST09": folder})["TEST09"]
    assert (found.state, found.verdict) == ("imported", "failed test" if says else "valid"), found.reason
    assert says in found.reason


@pytest.mark.parametrize(
    ("test", "benchmark", "model"),
    [
        ("TEST06", "llama2-70b-99.9", "llama2-70b"),
        ("TEST07", "gpt-oss-120b", "gpt-oss-120b"),
        ("TEST08", "dlrm-v3", "dlrm-v3"),
        ("TEST09", "e2e-rag-qna", "e2e-rag-qna"),
    ],
)
def test_a_plain_performance_run_is_no_evidence_of_any_of_them(
    made: Made, vendor: Vendor, test: ComplianceTest, benchmark: str, model: str
) -> None:
    plain = made.get(f"plain-{model}", lambda: tokens(model))
    folders: dict[Mode, Path] = {test: plain}
    if test == "TEST08":
        folders["accuracy"] = made.get("dlrm-accuracy", lambda: recommended(0, accuracy=True))
        (vendor.base / "accuracy").mkdir()
        (vendor.base / "accuracy/accuracy.txt").write_text(SCORES_OF_DLRM)
    found = bring(vendor, benchmark, folders)[test]
    assert found.state == "refused"
    assert f"{test} was not run with its settings" in found.reason


def long_enough(folder: Path, target: Path) -> Path:
    """Copy a performance run, as if it had been long enough."""
    shutil.copytree(folder, target)
    for name in (DETAIL_LOG, SUMMARY_LOG):
        path = target / name
        path.write_text(path.read_text().replace("INVALID", "VALID"))
    return target


@pytest.mark.parametrize(
    ("test", "benchmark", "scores", "text"),
    [
        ("TEST08", "dlrm-v3", SCORES_OF_DLRM, "verify_accuracy.txt"),
        ("TEST09", "e2e-rag-qna", "Accuracy: 35.1\n", "verify_output_len.txt"),
    ],
)
def test_what_they_prove_goes_into_the_tree(  # a case is four words
    made: Made, vendor: Vendor, tmp_path: Path, test: ComplianceTest, benchmark: str, scores: str, text: str
) -> None:
    answers = [int32s(*range(5, 274 + index % 3), 2) for index in range(SAMPLES)]
    rag = tokens("e2e-rag-qna", answers, queries=824)
    runs: dict[Mode, Sut] = {
        "performance": rag if test == "TEST09" else recommended(0.0001, accuracy=False),
        "accuracy": replace(rag, accuracy=True) if test == "TEST09" else recommended(0, accuracy=True),
        test: rag if test == "TEST09" else recommended(0.0001, accuracy=False),
    }
    folders = {
        mode: made.get(
            f"packed-{test}-{mode}", partial(runs.__getitem__, mode), audit(test, benchmark) if mode == test else ""
        )
        for mode in runs
    }
    folders["performance"] = long_enough(folders["performance"], tmp_path / "long")
    (vendor.base / "accuracy").mkdir()
    (vendor.base / "accuracy/accuracy.txt").write_text(scores)
    found = bring(vendor, benchmark, folders)
    assert {mode: (one.verdict, one.reason) for mode, one in found.items()} == dict.fromkeys(runs, ("valid", ""))
    report = aggregate(vendor.run, ROUND, CATALOGUE)
    assert [(one.key, one.passed) for one in report.tests] == [(f"box/{benchmark}/Offline/{test}", True)]
    place = report.tree / "closed/TEST-ONLY/results/box" / benchmark / "Offline" / test
    assert "TEST PASS" in (place / text).read_text()
