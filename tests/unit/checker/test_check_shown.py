"""What `mlperf-ops check` makes of many findings, of trees of others and of trees of another round."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import CheckReport, Disagreement, OfficialReport, OfficialResult, check_tree
from mlperf_ops.checker.other_round import hint_of_other_round
from mlperf_ops.checker.registry import all_rules
from mlperf_ops.checker.show import show
from mlperf_ops.files import write_json
from mlperf_ops.layout import MADE_HERE
from mlperf_ops.plan_model import Plan
from mlperf_ops.typed import dump
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, TreeUnderTest, edit_log, good_tree
from tests.unit.checker.test_check_command import check

_OURS = re.compile(r"\bcells?\b|[Aa]ggregat|mlperf-ops|inventory|make run|style valid|mlperf_\w+ in")


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path / "tree", real_logs)


def strays(tree: TreeUnderTest, count: int) -> None:
    """Put files into the tree of which each is a finding."""
    for number in range(count):
        (tree.result("Offline") / f"stray_{number}.txt").write_text("x")


def test_many_findings_are_shown_by_rule_with_their_number(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    strays(tree, 40)
    for scenario in ALL:
        edit_log(tree.performance(scenario), {"effective_min_duration_ms": 1000})
        conf = tree.result(scenario) / "user.conf"
        conf.write_text(conf.read_text().replace("600000", "1000"))
    assert check(tree.root, "--round", "v6.1") == 1
    shown = capsys.readouterr().out
    assert " official min-duration: 4 findings, 4 results\n" in shown
    assert "at least 600 s are required (4 times, the first is below)\n" in shown
    assert " advice   stray-file: 40 findings, 1 result\n" in shown
    assert "and 37 more like these" in shown
    assert shown.count("stray_") == 2 * 3  # name and place of three
    assert shown.index("min-duration:") < shown.index("stray-file:")  # the worst first
    assert "-v lists all 44 by result" in shown
    last = shown.splitlines()[-1]
    assert last.endswith("4 of 4 results rejected; 44 findings (4 official, 40 advice)")
    assert max(map(len, shown.splitlines())) <= 200
    assert len(shown.splitlines()) < 40


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_all_findings_are_listed_on_request(
    option: str, tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    strays(tree, 40)
    assert check(tree.root, "--round", "v6.1", option) == 0
    shown = capsys.readouterr().out
    for number in range(40):
        assert f"[stray_{number}.txt]" in shown
    assert "4 results, none" not in shown
    assert "nobody objects; 0 of 4 results rejected; 40 findings (40 advice)" in shown


def test_a_place_can_be_copied_whole_from_the_groups(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    strays(tree, 40)
    deep = tree.result("Offline") / ("long_" * 45 + ".txt")
    deep.write_text("x")
    assert check(tree.root, "--round", "v6.1", "--only", "stray-file") == 0
    assert str(deep.relative_to(tree.root)) in capsys.readouterr().out.replace("stray_0", "")


def test_remedies_for_everybody_name_nothing_of_ours() -> None:
    named = {rule.id: rule.fix for rule in all_rules().values() if _OURS.search(rule.fix)}
    assert named == {}


def test_remedies_of_ours_differ_from_those_for_everybody() -> None:
    assert all(rule.own != rule.fix for rule in all_rules().values())
    assert sum(1 for rule in all_rules().values() if rule.own) > 40


def _short(tree: TreeUnderTest) -> None:
    edit_log(tree.performance("Offline"), {"effective_min_duration_ms": 1000})


def test_a_tree_of_others_is_told_what_its_owner_can_do(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    _short(tree)
    assert check(tree.root, "--round", "v6.1") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Measure again for as long as the round demands" in shown
    assert "STYLE=valid" not in shown


def test_a_tree_that_mlperf_ops_made_is_told_to_run_the_cell_again(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _short(tree)
    (tree.submitter / "src/resnet").mkdir()
    (tree.submitter / "src/resnet/README.md").write_text(f"# Code\n\n{MADE_HERE} 1.0\n")
    cache = ("--cache", tmp_path / "cache")
    assert check(tree.root, "--round", "v6.1", *cache) == 1
    assert "STYLE=valid" in capsys.readouterr().out
    assert check(tree.root, "--round", "v6.1", *cache) == 1  # what is kept serves both
    assert "STYLE=valid" in capsys.readouterr().out
    (tree.submitter / "src/resnet/README.md").write_text("# Code\n\nSomebody else's.\n")
    assert check(tree.root, "--round", "v6.1", *cache) == 1
    assert "STYLE=valid" not in capsys.readouterr().out


def test_a_tree_with_its_plan_is_ours(tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _short(tree)
    write_json(tmp_path / "plan.json", dump(Plan("v6.1", "open", "TEST-ONLY", "x", "valid", "inventory/x", *((),) * 4)))
    assert check(tree.root, "--plan", tmp_path / "plan.json") == 1
    assert "STYLE=valid" in capsys.readouterr().out


def test_a_tree_of_another_round_gets_a_hint_before_everything_else(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tree.root, "--round", "v5.1") == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "hint: this tree looks of round v6.1: the seeds of 4 of 4 results are that round's, and its folders are. "
        f"Check it with: mlperf-ops check {tree.root} --round v6.1"
    )
    assert check(tree.root, "--round", "v5.1", "--json") == 1
    assert json.loads(capsys.readouterr().out)["hint"] == first.removeprefix("hint: ")


def test_only_the_seeds_may_also_mean_another_loadgen(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tree.root, "--round", "v6.0") == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert "this tree looks of round v6.1: the seeds of 4 of 4 results" in first
    assert "or, if it is meant for v6.0, its runs were made with another round's LoadGen" in first


def test_seeds_of_no_known_round_are_said_to_be_so(tree: TreeUnderTest) -> None:
    rounds = load_catalogue().rounds
    for scenario in ALL:
        edit_log(tree.performance(scenario), {"effective_qsl_rng_seed": 1})
    found = hint_of_other_round(check_tree(tree.root, rounds["v6.1"]), rounds)
    assert found == (
        "this tree looks of another round than v6.1: the seeds of 4 of 4 results are of no round that can be checked "
        "(v5.1, v6.0, v6.1)"
    )


def test_one_result_with_other_seeds_is_no_tree_of_another_round(tree: TreeUnderTest) -> None:
    rounds = load_catalogue().rounds
    edit_log(tree.performance("Offline"), {"effective_qsl_rng_seed": rounds["v5.1"].seeds.qsl_rng_seed})
    report = check_tree(tree.root, rounds["v6.1"])
    assert {finding.rule for finding in report.findings} >= {"seeds"}
    assert hint_of_other_round(report, rounds) is None


def test_a_layout_alone_tells_too(tree: TreeUnderTest) -> None:
    rounds = load_catalogue().rounds
    (tree.submitter / "measurements").mkdir()
    (tree.submitter / "measurements/README.md").write_text("x")
    found = str(hint_of_other_round(check_tree(tree.root, rounds["v6.1"]), rounds))
    assert "looks of round v5.1: its folders measurements/ are not of the layout of v6.1" in found


def official_of(report: CheckReport) -> OfficialReport:
    """An official report that accepts all."""
    results = tuple(
        OfficialResult(one.location, passed=True, metric=one.metric, errors=(), row={}) for one in report.results
    )
    return OfficialReport(None, "c", "v6.1", None, (), (), results, accepted=True)


def test_disagreements_of_one_kind_are_one_line_in_a_large_tree(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    strays(tree, 40)
    report = check_tree(tree.root, load_catalogue().rounds["v6.1"])
    same = tuple(Disagreement(one.location, "rejects", "accepts", "we expect it to object") for one in report.results)
    report = dataclasses.replace(report, official=official_of(report), disagreements=same)
    show(report)
    shown = capsys.readouterr().out
    assert shown.count("disagreement on ") == 1
    assert "and 3 more: ours rejects, official accepts" in " ".join(shown.split())
    show(report, every=True)
    assert capsys.readouterr().out.count("disagreement on ") == 4
