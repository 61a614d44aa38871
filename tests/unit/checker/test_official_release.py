"""The single-file checker of an earlier tag as second opinion; STAND-INS print what the real one prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree, run_official, with_official
from mlperf_ops.checker.defects import DEFECTS, known_defect
from mlperf_ops.checker.official_log import OfficialLog, read_csv
from mlperf_ops.checker.registry import all_rules
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, SYSTEM, TreeUnderTest, edit_log, good_tree, round_v61

_SCRIPT = """
import argparse, logging, os
logging.basicConfig(level=logging.INFO, format="[%(asctime)s %(filename)s:%(lineno)d %(levelname)s] %(message)s")
log = logging.getLogger("main")
parser = argparse.ArgumentParser()
for name in ("--input", "--version", "--csv"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
os.chdir(args.input)
results = sorted(os.path.relpath(folder) for folder, names, _ in os.walk(".", followlinks=True) if "accuracy" in names)
systems = sorted(os.listdir("/".join(results[0].split("/")[:2]) + "/systems"))
"""
ACCEPTS = """
for path in results:
    log.info("Results %s %s with power_metric = 10.5 and power_efficiency (samples/J) = 2.0", path, 1.5)
log.info("SUMMARY: submission looks OK")
"""


def release(folder: Path, program: str) -> Path:
    script = folder / "tools/submission/submission_checker.py"
    script.parent.mkdir(parents=True)
    script.write_text(_SCRIPT + program)
    return folder


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path / "tree", real_logs)


def both(tree: TreeUnderTest, folder: Path, program: str) -> CheckReport:
    official = run_official(release(folder, program), tree.root, round_v61())
    return with_official(check_tree(tree.root, round_v61()), official)


def test_it_is_run_as_a_script_and_said_to_be_what_it_is(tree: TreeUnderTest, tmp_path: Path) -> None:
    report = both(tree, tmp_path / "inference", ACCEPTS)
    assert report.official is not None
    assert report.official.kind == "release"
    assert "earlier tag" in (report.official.note or "")
    assert {result.metric for result in report.official.results} == {1.5}
    assert len(report.official.results) == len(ALL)
    assert report.disagreements == ()
    assert report.verdict == "submittable"


def test_each_run_sees_the_files_of_its_system_only(tree: TreeUnderTest, tmp_path: Path) -> None:
    tree.system_json.with_name("other.json").write_text("{}")
    program = 'log.error("%s sees %s", results[0], systems)\nlog.error("NoResults %s", results[0])\n'
    official = run_official(release(tmp_path / "inference", program), tree.root, round_v61())
    assert official.results[0].errors[0].endswith(f"sees ['{SYSTEM}.json']")
    assert [result.passed for result in official.results] == [False] * len(ALL)


def test_what_it_only_logs_is_a_known_disagreement(tree: TreeUnderTest, tmp_path: Path) -> None:
    edit_log(tree.accuracy("Offline"), {"effective_accuracy_sample_count": 49999})
    report = both(tree, tmp_path / "inference", ACCEPTS)
    (one,) = report.disagreements
    assert (one.ours, one.official) == ("rejects", "accepts")
    assert one.known == "the release checker only logs an accuracy run that does not cover the data set"


def test_what_only_the_rules_reject_it_may_reject_too(tree: TreeUnderTest, tmp_path: Path) -> None:
    edit_log(tree.performance("Offline"), {"result_validity": "INVALID"})
    program = """
for path in results:
    (log.error("NoResults %s", path) if path.endswith("Offline") else log.info("Results %s 1.5", path))
"""
    assert both(tree, tmp_path / "inference", program).disagreements == ()


def test_a_disagreement_that_nothing_explains_rejects_the_tree(tree: TreeUnderTest, tmp_path: Path) -> None:
    program = 'for path in results:\n    log.error("%s is odd", path)\n    log.error("NoResults %s", path)\n'
    report = both(tree, tmp_path / "inference", program)
    assert len(report.disagreements) == len(ALL)
    assert {one.known for one in report.disagreements} == {None}
    assert report.verdict == "rejected"


def test_every_known_defect_names_rules_that_exist() -> None:
    assert {rule for defect in DEFECTS for rule in defect.rules} <= set(all_rules())
    assert all(defect.rules or defect.reason for defect in DEFECTS)


def test_a_defect_explains_only_its_own_checker_and_verdict() -> None:
    assert known_defect("release", "accepts", ["dataset-size"], "")
    assert known_defect("modular", "accepts", ["dataset-size"], "") is None
    assert known_defect("release", "rejects", ["dataset-size"], "") is None
    assert known_defect("release", "accepts", ["dataset-size", "seeds"], "") is None
    assert known_defect("modular", "rejects", [], "no idea") is None


def test_relative_paths_and_power_are_read_from_its_log() -> None:
    log = OfficialLog(None)
    place = "closed/X/results/s/resnet/Offline"
    log.line(f"[2026-01-01 00:00:00,000 submission_checker.py:1 ERROR] {place}/accuracy has a problem")
    log.line(
        f"[2026-01-01 00:00:00,000 submission_checker.py:1 INFO] Results {place} 12.5 with power_metric = 3.0 and x"
    )
    log.line("[2026-01-01 00:00:00,000 submission_checker.py:1 ERROR] NoResults closed/X/results")
    assert log.metrics == {place: 12.5}
    assert log.errors == {place: [f"{place}/accuracy has a problem"]}
    assert log.failed == set()


def test_its_csv_quotes_some_values_only(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        "Organization,SystemName,Location\n"
        'X,"a, b",closed/X/results/s/resnet/Offline\n'
        'X,"a "quoted" name, again",closed/X/results/s/resnet/Server\n'
    )
    rows = read_csv(tmp_path / "x.csv", str(tmp_path))
    assert rows["closed/X/results/s/resnet/Offline"]["SystemName"] == "a, b"
