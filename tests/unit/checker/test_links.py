"""Links in a tree: each is told once, none to a folder is followed, and nothing behind one passes as judged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlperf_ops.checker import CheckReport, check_tree
from tests.support.attempts import RealLogs
from tests.support.submission_trees import TreeUnderTest, good_tree, round_v61
from tests.unit.checker.test_check_command import check

OURS = "open/TEST-ONLY"
RESULTS = f"{OURS}/results/node1/efficientnet-lite0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path_factory.mktemp("good") / "tree", real_logs)


@pytest.fixture
def root(made: TreeUnderTest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.root, tmp_path / "tree"))


def moved_behind_a_link(root: Path, location: str) -> CheckReport:
    elsewhere = root / "assets/elsewhere"
    elsewhere.parent.mkdir()
    (root / location).rename(elsewhere)
    (root / location).symlink_to(os.path.relpath(elsewhere, (root / location).parent))
    return check_tree(root, round_v61(), processes=1)


@pytest.mark.parametrize(
    ("location", "judged", "passing"),
    [
        ("open", 0, 0),
        (OURS, 0, 0),
        (f"{OURS}/results", 0, 0),
        (f"{OURS}/systems", 4, 0),
        (f"{OURS}/src", 4, 0),
        (f"{OURS}/results/node1", 0, 0),
        (RESULTS, 0, 0),
        (f"{RESULTS}/Server", 3, 3),
        (f"{RESULTS}/Server/performance", 4, 3),
        (f"{RESULTS}/Server/performance/run_1", 4, 3),
        (f"{RESULTS}/Server/accuracy", 4, 3),
    ],
)
def test_what_is_behind_a_link_to_a_folder_is_not_judged_and_the_link_alone_is_told(
    location: str, judged: int, passing: int, root: Path
) -> None:
    report = moved_behind_a_link(root, location)
    assert report.verdict == "rejected"
    (told,) = [one for one in report.findings if one.rule != "no-results"]
    assert (told.rule, told.severity, told.location) == ("symlink", "rules", location)
    assert told.message.endswith("cannot be submitted: nothing behind a link to a folder is judged here")
    assert told.fix == "Replace the link by the file or folder that it leads to."
    assert (len(report.results), sum(one.verdict == "pass" for one in report.results)) == (judged, passing)


def test_a_second_name_for_a_submitter_does_not_pass_unseen(root: Path) -> None:
    (root / "open/OTHER").symlink_to("TEST-ONLY")
    report = check_tree(root, round_v61(), processes=1)
    (told,) = report.findings
    assert (report.verdict, told.rule, told.location) == ("rejected", "symlink", "open/OTHER")
    assert {one.verdict for one in report.results} == {"pass"}  # those of the folder itself


@pytest.mark.parametrize(
    ("place", "target", "severity"),
    [
        (f"{RESULTS}/Offline/loop", ".", "rules"),
        (f"{OURS}/results/loop", "../../..", "rules"),
        (f"{RESULTS}/Offline/itself", "itself", "rules"),
        (f"{OURS}/src/loop", "..", "advice"),
    ],
)
def test_a_loop_is_told_and_has_an_end(place: str, target: str, severity: str, root: Path) -> None:
    (root / place).symlink_to(target)
    (told,) = check_tree(root, round_v61(), processes=1).findings
    assert (told.rule, told.severity, told.location) == ("symlink", severity, place)


def test_a_tree_that_is_all_behind_a_link_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved_behind_a_link(root, OURS)
    assert check(root, "--round", "v6.1") == 2
    assert f"{OURS}: the symbolic link to ../assets/elsewhere cannot be submitted" in capsys.readouterr().err
    assert check(root, "--round", "v6.1", "--submitter", "TEST-ONLY") == 2
    assert "has no submitter 'TEST-ONLY', nor any other" in capsys.readouterr().err
