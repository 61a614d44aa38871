"""Compliance tests of imported results, on real LoadGen logs: judged as our own, filed, packed and told of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.files import Json, read_json
from mlperf_ops.importing.store import Imported
from mlperf_ops.matrix import MatrixCell
from mlperf_ops.model import Mode
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.text import verdict_lines
from tests.support.attempts import snapshot
from tests.support.long_logs import LongLogs
from tests.support.submission_trees import edit_log
from tests.support.vendor import CATALOGUE, Vendor

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

PLACE = "closed/TEST-ONLY/results/box/resnet50/Offline"
FOLDERS = "results[0].folders"
ALL: tuple[Mode, ...] = ("performance", "accuracy", "TEST01", "TEST04")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> LongLogs:
    return LongLogs(tmp_path_factory.mktemp("logs"))


@pytest.fixture
def vendor(tmp_path: Path, logs: LongLogs) -> Vendor:
    made = Vendor(tmp_path, logs)
    made.map["division"] = "closed"
    return made


def brought(vendor: Vendor) -> dict[str, Imported]:
    return {one.key.rpartition("/")[2]: one for one in vendor.bring()}


def packed(vendor: Vendor) -> AggregateReport:
    return aggregate(vendor.run, CATALOGUE.round("v6.1"), CATALOGUE)


def standing(report: AggregateReport) -> dict[str, MatrixCell]:
    row = next(row for row in report.matrix if row.scenario == "Offline")
    return {cell.cell: cell for cell in row.cells}


def as_submitted(folder: Path) -> None:
    """Sort the files of a test into the folders of a submission."""
    for name, below in (("mlperf_log_accuracy.json", "accuracy"), ("accuracy.txt", "accuracy")):
        if (folder / name).exists():
            (folder / below).mkdir(exist_ok=True)
            (folder / name).rename(folder / below / name)
    (folder / "performance/run_1").mkdir(parents=True)
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        (folder / name).rename(folder / "performance/run_1" / name)
    for name in ("verify_performance.txt", "verify_accuracy.txt"):
        (folder / name).write_text("TEST PASS, says another tool\n")
    for name in ("user.conf", "audit.config", "labels.txt"):
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("form", ["one folder", "a submission's folders"])
def test_imported_tests_are_packed_and_told_of_like_our_own(vendor: Vendor, form: str) -> None:
    vendor.runs("Offline", *ALL)
    if form == "a submission's folders":
        for test in ("TEST01", "TEST04"):
            as_submitted(vendor.base / "Offline" / test)
    told = brought(vendor)
    assert {mode: (one.state, one.verdict, one.reason) for mode, one in told.items()} == dict.fromkeys(
        ALL, ("imported", "valid", "")
    )
    attempt = vendor.run / told["TEST01"].path
    assert attempt.parent.parent == vendor.run / "hosts/box/resnet50/Offline/TEST01"
    assert "accuracy_log_sampling_target = 4096" in str(read_json(attempt / "spec.json"))
    # The one on answers is kept for logs that came truncated; of whole ones it is not read.
    assert {path.name for path in attempt.rglob("verify_*")} <= {"verify_accuracy.txt"}
    report = packed(vendor)
    assert [(one.key, one.passed) for one in report.tests] == [
        ("box/resnet50/Offline/TEST01", True),
        ("box/resnet50/Offline/TEST04", True),
    ]
    assert {cell.state for cell in standing(report).values()} == {"valid"}
    files = snapshot(report.tree)
    for name in ("TEST01/verify_accuracy.txt", "TEST01/verify_performance.txt", "TEST04/verify_performance.txt"):
        assert b"TEST PASS" in files[f"{PLACE}/{name}"].splitlines()
        assert b"another tool" not in files[f"{PLACE}/{name}"]
    assert "TEST01 passed, TEST04 passed" in verdict_lines(read_run(vendor.run, CATALOGUE), "report.html")
    before = snapshot(vendor.run)
    assert {one.state for one in vendor.bring()} == {"there already"}
    assert snapshot(vendor.run) == before


def test_a_test_that_fails_comes_in_as_what_it_is(vendor: Vendor, logs: LongLogs) -> None:
    logs.rates["TEST04"] = 1250
    try:
        vendor.runs("Offline", *ALL)
    finally:
        del logs.rates["TEST04"]
    told = brought(vendor)
    assert (told["TEST04"].state, told["TEST04"].verdict) == ("imported", "failed test")
    assert "TEST04 failed: the test is 25.0 % faster than the performance run" in told["TEST04"].reason
    report = packed(vendor)
    assert standing(report)["TEST04"].state == "failed test"
    assert standing(report)["TEST01"].state == "valid"
    assert snapshot(report.tree)[f"{PLACE}/TEST04/verify_performance.txt"].endswith(b"TEST FAIL\n")


def test_tests_may_come_later_and_are_compared_with_what_is_there(vendor: Vendor) -> None:
    vendor.runs("Offline", "performance", "accuracy")
    vendor.bring()
    assert standing(packed(vendor))["TEST01"].state == "not planned"
    vendor.map["results"] = []
    vendor.runs("Offline", "TEST01", "TEST04", user_conf="Offline/performance/user.conf")
    assert {one.state for one in vendor.bring()} == {"imported"}
    assert {cell.state for cell in standing(packed(vendor)).values()} == {"valid"}


def spoil(vendor: Vendor, how: str) -> None:
    base = vendor.base / "Offline"
    test = vendor.detail("Offline", "TEST04")
    if how == "a plain run":
        edit_log(test, {"effective_performance_issue_same": False, "effective_performance_issue_same_index": 0})
    elif how == "a copy":
        source = vendor.detail("Offline", "performance")
        for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
            shutil.copyfile(source.with_name(name), test.with_name(name))
        audit: dict[str, Json] = {"effective_performance_issue_same": True, "effective_performance_issue_same_index": 3}
        edit_log(test, audit)
    elif how == "another round":
        seeds = CATALOGUE.round("v5.1").seeds.model_dump()
        edit_log(test, {f"effective_{name}": value for name, value in seeds.items()})
    elif how == "another test":
        for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
            shutil.copyfile(base / "TEST01" / name, base / "TEST04" / name)
    elif how == "another scenario":
        edit_log(test, {"effective_scenario": "MultiStream"})
    elif how == "no performance":
        vendor.detail("Offline", "performance").unlink()
    elif how == "no log":
        test.unlink()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("a plain run", "TEST04 was not run with its settings: effective_performance_issue_same is False, expected 1"),
        ("a copy", "the test's log is a copy of the performance run's: both started at"),
        ("another round", "its log shows the seeds of round v5.1, and the submission is for v6.1"),
        ("another test", "effective_accuracy_log_rng_seed is 720381539243781796, expected 0"),
        ("another scenario", "the test ran scenario MultiStream, not Offline"),
        ("no performance", "TEST04 is compared with the performance run, and that is refused"),
        ("no log", "has no file mlperf_log_detail.txt"),
    ],
)
def test_what_is_no_evidence_of_the_test_is_refused_in_one_sentence(vendor: Vendor, how: str, sentence: str) -> None:
    vendor.runs("Offline", *ALL)
    spoil(vendor, how)
    told = brought(vendor)
    assert told["TEST04"].state == "refused"
    assert sentence in told["TEST04"].reason
    assert told["TEST04"].reason.startswith(f"{vendor.path}:")
    assert f"{FOLDERS}.TEST04: " in told["TEST04"].reason
    assert not (vendor.run / "hosts/box/resnet50/Offline/TEST04").exists()
    if how != "no performance":
        assert {one.state for mode, one in told.items() if mode != "TEST04"} == {"imported"}
        assert standing(packed(vendor))["TEST04"].state == "not planned"


def test_a_test_without_anything_to_compare_with_is_refused(vendor: Vendor) -> None:
    vendor.runs("Offline", "TEST04")
    assert "there is none: give its folder as performance, beside the test's" in brought(vendor)["TEST04"].reason


def test_a_shortened_accuracy_log_is_refused_as_it_proves_nothing(vendor: Vendor) -> None:
    vendor.runs("Offline", *ALL)
    folder = vendor.base / "Offline/TEST01"
    (folder / "mlperf_log_accuracy.json").write_text('[\n{ "seq_id" : 0\n\n...\n\n]\n')
    (folder / "accuracy.txt").write_text(f"accuracy=76.000%, good=1, total=1\nhash={'0' * 64}\n")
    assert "mlperf_log_accuracy.json is shortened, and TEST01 is verified by all" in brought(vendor)["TEST01"].reason


def test_the_score_of_another_log_is_refused(vendor: Vendor) -> None:
    vendor.runs("Offline", *ALL)
    text = vendor.base / "Offline/TEST01/accuracy.txt"
    text.write_text(f"accuracy=76.000%, good=1, total=1\nhash={'0' * 64}\n")
    assert "states hash=0000" in brought(vendor)["TEST01"].reason


def test_a_test_that_the_model_does_not_need_is_a_mistake_of_the_map(vendor: Vendor) -> None:
    vendor.runs("Offline", *ALL)["folders"]["TEST06"] = "Offline/TEST01"
    message = vendor.sentence()
    assert f"{FOLDERS}.TEST06: round v6.1 asks resnet for TEST01, TEST04, not for TEST06" in message


def test_answers_that_differ_are_judged_by_the_scores_of_their_maker(vendor: Vendor) -> None:
    vendor.runs("Offline", *ALL, answer_type="int64")
    folder = vendor.base / "Offline/TEST01"
    log = folder / "mlperf_log_accuracy.json"
    lines = log.read_text().splitlines(keepends=True)
    index = next(at for at, line in enumerate(lines) if '"data"' in line)
    before, _, after = lines[index].partition('"data" : "')
    lines[index] = f'{before}"data" : "7F{after[2:]}'
    log.write_text("".join(lines))
    told = brought(vendor)["TEST01"]
    assert told.verdict == "failed test"
    assert "nothing here can score the answers of both runs" in told.reason
    for name in ("baseline_accuracy.txt", "compliance_accuracy.txt"):
        (folder / name).write_text("accuracy=76.000%, good=76, total=100\n")
    told = brought(vendor)["TEST01"]
    assert (told.state, told.verdict, told.reason) == ("imported", "valid", "")
    assert [one.passed for one in packed(vendor).tests] == [True, True]
