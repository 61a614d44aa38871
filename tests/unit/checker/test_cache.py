"""The cache of a check: what changed is judged again, what did not is not, and nothing stale or broken is believed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import CheckReport, check, check_tree, settled
from mlperf_ops.checker import cache as cache_module
from mlperf_ops.checker.cache import Cache
from mlperf_ops.checker.parallel import judge
from mlperf_ops.checker.rules import Family
from mlperf_ops.checker.subjects import Submission
from mlperf_ops.checker.units import Outcome, Unit
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, TreeUnderTest, edit_log, good_tree, round_v61

LONG_AGO = time.time() - 3600


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs, monkeypatch: pytest.MonkeyPatch) -> TreeUnderTest:
    # The times of a test are seconds apart at most; one test says what happens then.
    monkeypatch.setattr(settled, "TOO_YOUNG_NS", 0)
    return good_tree(tmp_path / "tree", real_logs)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is judged, in place of being taken from the cache."""
    seen: list[str] = []

    def recorded(
        submission: Submission, families: tuple[Family, ...], units: Sequence[Unit], processes: int | None = None
    ) -> Iterator[Outcome]:
        seen.extend(f"{unit.kind} {unit.location.rpartition('/')[2]}" for unit in units)
        return judge(submission, families, units, processes)

    monkeypatch.setattr(check, "judge", recorded)
    return seen


def again(tree: TreeUnderTest, judged: list[str], round_: Round | None = None) -> tuple[CheckReport, set[str]]:
    """Check with the cache; return the report and what was judged, besides what looks at the whole tree."""
    judged.clear()
    report = check_tree(tree.root, round_ or round_v61(), cache=tree.root.parent / "cache")
    return report, {one for one in judged if not one.startswith("tree ")}


def kept(tree: TreeUnderTest) -> Cache:
    return Cache.read(tree.root.parent / "cache", tree.root, round_v61())


def test_what_did_not_change_is_not_judged_again(tree: TreeUnderTest, judged: list[str]) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    first, everything = again(tree, judged)
    assert everything == {"submitter TEST-ONLY", "system node1", *(f"result {scenario}" for scenario in ALL)}
    second, nothing = again(tree, judged)
    assert judged == []
    assert nothing == set()
    assert first == second == check_tree(tree.root, round_v61())


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: edit_log(tree.performance("Server"), {"effective_min_duration_ms": 1000}),
        lambda tree: tree.accuracy("Server").unlink(),
        lambda tree: (tree.result("Server") / "user.conf").write_text(""),
        lambda tree: (tree.result("Server") / "accuracy/extra.txt").write_text("x"),
        lambda tree: (tree.result("Server") / "performance/power").mkdir(),
    ],
)
def test_a_changed_result_is_judged_again_and_no_other(change: object, tree: TreeUnderTest, judged: list[str]) -> None:
    again(tree, judged)
    assert callable(change)
    change(tree)
    report, units = again(tree, judged)
    assert "result Server" in units
    assert not units & {"result Offline", "result SingleStream", "result MultiStream"}
    assert report == check_tree(tree.root, round_v61())
    assert report.findings


def test_a_change_of_the_description_concerns_all_results_of_the_system(tree: TreeUnderTest, judged: list[str]) -> None:
    again(tree, judged)
    tree.edit_json(tree.system_json, {"system_type": "datacenter"})
    report, units = again(tree, judged)
    assert "system node1" in units
    assert report == check_tree(tree.root, round_v61())


def test_an_edit_that_keeps_size_and_time_is_seen(tree: TreeUnderTest, judged: list[str]) -> None:
    log = tree.performance("Offline")
    again(tree, judged)
    before = log.stat()
    text = log.read_text()
    edited = text.replace(
        '"effective_min_duration_ms", "value": 600000', '"effective_min_duration_ms", "value": 599999'
    )
    assert edited != text
    log.write_text(edited)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    report, units = again(tree, judged)
    assert units == {"result Offline"}
    assert [finding.rule for finding in report.findings] == ["min-duration"]


def test_the_same_contents_at_another_time_are_not_judged_again(tree: TreeUnderTest, judged: list[str]) -> None:
    first, _ = again(tree, judged)
    for path in tree.root.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    report, units = again(tree, judged)
    assert units == set()
    assert report == first


def test_files_that_have_just_changed_are_compared_by_content(
    tree: TreeUnderTest, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "TOO_YOUNG_NS", 3600 * 10**9)
    again(tree, judged)
    folders = kept(tree).folders
    runs = [place for place in folders if "/results/node1/" in place and place.endswith("/run_1")]
    assert runs
    assert all(folders[place].young for place in runs)
    _, units = again(tree, judged)
    assert units == set()


def test_a_log_that_becomes_a_copy_is_seen_beside_what_is_known_of_the_others(
    tree: TreeUnderTest, judged: list[str]
) -> None:
    other = tree.submitter / "results/node2"
    shutil.copytree(tree.submitter / "results/node1", other)
    shutil.copy(tree.system_json, tree.system_json.with_name("node2.json"))
    for log in other.rglob("mlperf_log_detail.txt"):
        text = log.read_text()
        log.write_text(text.replace('"test_datetime", "value": "2', '"test_datetime", "value": "3'))
    first, _ = again(tree, judged)
    assert "shared-log" not in {finding.rule for finding in first.findings}
    copied = other / tree.performance("Offline").relative_to(tree.submitter / "results/node1")
    shutil.copy(tree.performance("Offline"), copied)
    report, units = again(tree, judged)
    assert units == {"result Offline"}
    assert report == check_tree(tree.root, round_v61())
    assert "shared-log" in {finding.rule for finding in report.findings}


def test_a_folder_replaced_by_another_one_is_seen(tree: TreeUnderTest, judged: list[str]) -> None:
    first, _ = again(tree, judged)
    folder, other = tree.performance("Offline").parent, tree.root.parent / "other"
    shutil.copytree(folder, other)  # with the times of the first, as rsync and cp -p keep them
    log = other / "mlperf_log_detail.txt"
    before = log.stat()
    log.write_text(log.read_text().replace('min_duration_ms", "value": 600000', 'min_duration_ms", "value": 599999'))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(folder)
    other.rename(folder)
    report, units = again(tree, judged)
    assert "result Offline" in units
    assert report.findings != first.findings
    assert report == check_tree(tree.root, round_v61())


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_seen_too(kind: str, tree: TreeUnderTest, judged: list[str]) -> None:
    again(tree, judged)
    path = tree.root / "open/odd"
    path.symlink_to("nowhere") if kind == "link" else os.mkfifo(path)
    report, _ = again(tree, judged)
    assert report == check_tree(tree.root, round_v61())
    if kind == "link":
        path.unlink()
        path.symlink_to("/nowhere")
        assert again(tree, judged)[0] == check_tree(tree.root, round_v61())
    path.unlink()
    assert again(tree, judged)[0] == check_tree(tree.root, round_v61())


def test_options_of_an_earlier_check_do_not_count(tree: TreeUnderTest, judged: list[str]) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    cache = tree.root.parent / "cache"
    check_tree(tree.root, round_v61(), only=("seeds",), cache=cache)
    assert again(tree, judged)[0] == check_tree(tree.root, round_v61())
    check_tree(tree.root, round_v61(), submitter="TEST-ONLY", cache=cache)
    assert again(tree, judged)[0] == check_tree(tree.root, round_v61())


def test_a_check_of_one_submitter_leaves_what_is_kept_of_the_whole_tree(tree: TreeUnderTest, judged: list[str]) -> None:
    whole, _ = again(tree, judged)
    [submitter] = {row.location.split("/")[1] for row in whole.results}
    check_tree(tree.root, round_v61(), submitter=submitter, cache=tree.root.parent / "cache")
    assert again(tree, judged) == (whole, set())


def test_the_digest_of_the_code_is_of_all_code_that_judges() -> None:
    code = "import sys, mlperf_ops.checker.check; print(*(m for m in sys.modules if m.startswith('mlperf_ops.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folders = {name.split(".")[1] for name in done.stdout.split() if name.count(".") > 1}
    assert folders <= set(cache_module.CODE)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"\xff\xfe", b'{"version": "x"}\n{}\n', b"[" * 100_000, b'{"version": 1, "sections": 2}\n']
)
def test_a_damaged_cache_is_not_used(damage: bytes, tree: TreeUnderTest, judged: list[str]) -> None:
    first, everything = again(tree, judged)
    (path,) = (tree.root.parent / "cache").iterdir()
    path.write_bytes(damage)
    assert again(tree, judged) == (first, everything)


def test_a_cache_with_a_changed_entry_is_not_used(tree: TreeUnderTest, judged: list[str]) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})
    first, everything = again(tree, judged)
    (path,) = (tree.root.parent / "cache").iterdir()
    path.write_bytes(path.read_bytes().replace(b"min-duration", b"max-duration"))
    assert again(tree, judged) == (first, everything)


def test_where_it_cannot_be_read_what_outcomes_rest_on_all_is_judged_again_after_a_change(
    tree: TreeUnderTest, judged: list[str]
) -> None:
    first, everything = again(tree, judged)
    (path,) = (tree.root.parent / "cache").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the last section
    assert again(tree, judged) == (first, set())
    (tree.root / "stray.txt").write_text("x")
    report, units = again(tree, judged)
    assert units == everything
    assert report == check_tree(tree.root, round_v61())


def test_another_state_of_the_rules_is_another_cache(
    tree: TreeUnderTest, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, everything = again(tree, judged)
    stricter = round_v61().model_copy(update={"statuses": ("never",)})
    report, units = again(tree, judged, stricter)
    assert units == everything
    assert report.findings != first.findings
    monkeypatch.setattr(cache_module, "_code_digest", lambda: "other code")
    _, units = again(tree, judged)
    assert units == everything


def test_results_that_are_gone_leave_the_cache(tree: TreeUnderTest, judged: list[str]) -> None:
    again(tree, judged)
    for path in sorted(tree.result("Server").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    tree.result("Server").rmdir()
    report, _ = again(tree, judged)
    assert len(report.results) == len(ALL) - 1
    assert kept(tree).outcomes
    assert "/Server" not in "".join((*kept(tree).outcomes, *kept(tree).uses()))
