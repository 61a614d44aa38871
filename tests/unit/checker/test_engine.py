"""The engine: many processes say what one says, no end of a process ends a check, layouts of earlier rounds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.errors import ConfigError
from mlperf_ops.typed import load
from tests.support.attempts import RealLogs
from tests.support.checked_apart import FORKS
from tests.support.submission_trees import (
    ALL,
    SUBMITTER,
    SYSTEM,
    TreeUnderTest,
    edit_log,
    edit_summary,
    good_tree,
    round_v61,
)

CHECKOUT = Path(__file__).parents[3]


def with_systems(tree: TreeUnderTest, count: int) -> TreeUnderTest:
    """Repeat the system of a tree under further names, as if each had had runs of its own."""
    for number in range(2, count + 1):
        name = f"node{number}"
        shutil.copytree(tree.submitter / "results" / SYSTEM, tree.submitter / "results" / name)
        for log in (tree.submitter / "results" / name).rglob("mlperf_log_detail.txt"):
            edit_log(log, {"test_datetime": f"2026-01-0{number}T03:04:05Z"})
        shutil.copy(tree.system_json, tree.system_json.with_name(f"{name}.json"))
    return tree


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return with_systems(good_tree(tmp_path / "tree", real_logs), 3)


def check_apart(tree: TreeUnderTest, deadly: str = "") -> CheckReport:
    """Check in two processes; skips where there is one core only."""
    command = [sys.executable, "-m", "tests.support.checked_apart", str(tree.root), deadly]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    if not answer.pop(FORKS):
        pytest.skip("this machine has one core only, so that nothing is judged in another process")
    return load(CheckReport, answer, "stdout")


def test_two_processes_say_what_one_says(tree: TreeUnderTest) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    (tree.result("Server") / "README.md").unlink()
    alone = check_tree(tree.root, round_v61(), processes=1)
    assert {finding.rule for finding in alone.findings} >= {"min-duration", "missing-file"}
    assert check_apart(tree) == alone


def test_a_result_that_ends_its_process_leaves_all_others_judged(tree: TreeUnderTest) -> None:
    report = check_apart(tree, f"node2/{tree.benchmark}/Server")
    assert len(report.results) == 3 * len(ALL)
    (finding,) = [one for one in report.findings if one.rule == "check-failed"]
    assert finding.location.endswith(f"node2/{tree.benchmark}/Server")
    assert "process that judged it was ended" in finding.message
    assert [one.location for one in report.results if one.verdict == "fail"] == [finding.location]


def test_every_folder_of_a_tree_is_read(tmp_path: Path) -> None:
    for submitter in range(9):
        for part in ("results/a/b/Offline", "systems", "code/x"):
            folder = tmp_path / f"open/s{submitter}/{part}"
            folder.mkdir(parents=True)
            (folder / "file").write_text("x" * submitter)
        (tmp_path / f"open/s{submitter}/link").symlink_to("systems/file")
    read = read_tree(tmp_path, stamps=True)
    walked = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_dir()}
    assert set(read.folders) == walked | {""}
    assert read.size("open/s7/systems/file") == 7
    assert [link.location for link in read.links] == [f"open/s{number}/link" for number in range(9)]
    assert all(len(folder.states) == 4 * len(folder.files) for folder in read.folders.values() if not folder.odd)


def test_only_one_submitter_is_looked_at(tree: TreeUnderTest) -> None:
    other = tree.submitter.with_name("OTHER")
    (other / "results").mkdir(parents=True)
    assert check_tree(tree.root, round_v61(), submitter=SUBMITTER).verdict == "submittable"
    assert check_tree(tree.root, round_v61()).verdict == "rejected"
    with pytest.raises(ConfigError, match=r"has no submitter 'TEST-OLNY'; it has OTHER.*did you mean 'TEST-ONLY'"):
        check_tree(tree.root, round_v61(), submitter="TEST-OLNY")


def test_only_the_named_rules_judge(tree: TreeUnderTest) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    assert check_tree(tree.root, round_v61(), only=["seeds"]).verdict == "submittable"
    report = check_tree(tree.root, round_v61(), only=["min-duration", "seeds"])
    assert [finding.rule for finding in report.findings] == ["min-duration"]


def test_what_lies_beside_the_results_refuses_the_submission_and_no_result(tree: TreeUnderTest) -> None:
    (tree.root / "run.sh").write_text("x")
    (tree.submitter / "src/empty").mkdir()
    (tree.submitter / "src/.hidden").write_text("x")
    report = check_tree(tree.root, round_v61())
    assert {finding.rule for finding in report.findings} == {"stray-file", "empty-folder", "hidden-name"}
    assert report.verdict == "rejected"
    assert {result.verdict for result in report.results} == {"pass"}


@pytest.fixture(scope="session")
def v51() -> Round:
    return load_catalogue().round("v5.1")


@pytest.fixture
def old_tree(tmp_path: Path, real_logs: RealLogs, v51: Round) -> TreeUnderTest:
    """A good tree, rearranged as of round v5.1, with the seeds of that round EDITED in."""
    tree = good_tree(tmp_path / "tree", real_logs)
    (tree.submitter / "src").rename(tree.submitter / "code")
    for log in tree.root.rglob("mlperf_log_detail.txt"):
        seeds = v51.seeds.model_dump()
        edit_log(log, {f"effective_{name}": value for name, value in seeds.items()})
        edit_summary(log, {name: str(value) for name, value in seeds.items()})
    for scenario in ALL:
        folder = tree.submitter / "measurements" / SYSTEM / tree.benchmark / scenario
        folder.mkdir(parents=True)
        for name in ("user.conf", "README.md"):
            (tree.result(scenario) / name).rename(folder / name)
        (tree.result(scenario) / "measurements.json").rename(folder / f"{SYSTEM}_{scenario}.json")
        (folder / "mlperf.conf").write_text("# kept by submitters of that time\n")
    return tree


def test_a_tree_of_v51_is_read_in_its_own_layout(old_tree: TreeUnderTest, v51: Round) -> None:
    report = check_tree(old_tree.root, v51)
    assert report.findings == ()
    assert {result.verdict for result in report.results} == {"pass"}


@pytest.mark.parametrize("name", [f"{SYSTEM}.json", f"{SYSTEM}-variant_Offline.json", f"{SYSTEM}_x.json"])
def test_measurements_of_v51_are_found_by_the_names_that_the_official_checker_takes(
    name: str, old_tree: TreeUnderTest, v51: Round
) -> None:
    folder = old_tree.submitter / "measurements" / SYSTEM / old_tree.benchmark / "Offline"
    (folder / f"{SYSTEM}_Offline.json").rename(folder / name)
    assert check_tree(old_tree.root, v51).findings == ()
    (folder / name).write_text("{}")
    assert {finding.location.rpartition("/")[2] for finding in check_tree(old_tree.root, v51).findings} == {name}


def test_missing_measurements_of_v51_are_named(old_tree: TreeUnderTest, v51: Round) -> None:
    folder = old_tree.submitter / "measurements" / SYSTEM / old_tree.benchmark / "Offline"
    (folder / f"{SYSTEM}_Offline.json").rename(folder / "other.json")
    (finding,) = check_tree(old_tree.root, v51).findings
    assert (finding.rule, finding.severity) == ("missing-file", "official")
    assert finding.location.endswith(f"measurements/{SYSTEM}/{old_tree.benchmark}/Offline/{SYSTEM}_Offline.json")


def test_folders_of_the_other_layout_are_named_with_the_right_one(old_tree: TreeUnderTest, v51: Round) -> None:
    (old_tree.submitter / "src").mkdir()
    (old_tree.submitter / "src/x").write_text("x")
    (finding,) = check_tree(old_tree.root, v51).findings
    assert (finding.rule, finding.value, finding.limit) == ("old-layout", "src", "code/")


def test_json_that_is_nested_without_end_is_a_finding(tree: TreeUnderTest) -> None:
    (tree.result("Offline") / "measurements.json").write_text("[" * 200_000)
    (finding,) = check_tree(tree.root, round_v61()).findings
    assert finding.rule == "measurements-unreadable"
    assert "nested too deeply" in finding.message
