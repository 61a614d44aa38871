"""What people wrote into a submission tree outlives the next aggregation, and what is ours is still kept up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.aggregate import AggregateReport, aggregate
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.cli import main
from mlperf_ops.errors import ConfigError, SubmissionError
from mlperf_ops.files import read_json, write_json
from tests.support.attempts import Lab, RealLogs, snapshot
from tests.support.submission_trees import edit_log

CATALOGUE = load_catalogue()
HOME = "open/TEST-ONLY"
RESULT = f"{HOME}/results/node1/efficientnet-lite0/Offline"
README, SYSTEM, LOG = f"{RESULT}/README.md", f"{HOME}/systems/node1.json", f"{RESULT}/accuracy/mlperf_log_detail.txt"


@pytest.fixture
def lab(tmp_path: Path, real_logs: RealLogs) -> Lab:
    lab = Lab(tmp_path / "results" / "demo", real_logs)
    lab.scenario("Offline")
    lab.write()
    packed(lab)
    return lab


def packed(lab: Lab, *take_ours: str, dry_run: bool = False) -> AggregateReport:
    return aggregate(lab.run, CATALOGUE.round("v6.1"), CATALOGUE, take_ours=take_ours, dry_run=dry_run)


def tree(lab: Lab) -> Path:
    return lab.run / "submission"


def change_description(lab: Lab) -> None:
    """Change what the results say of the system, as a corrected inventory does."""
    lab.description["cooling"] = "water"
    lab.write()


def told(report: AggregateReport) -> dict[str, tuple[str, str]]:
    return {one.path: (one.state, one.reason) for one in report.edits}


def test_an_edited_document_stays_and_a_second_call_changes_nothing(lab: Lab) -> None:
    (tree(lab) / README).write_text("mine\n")
    report = packed(lab)
    assert told(report) == {README: ("yours", "you edited it after it was aggregated; yours stays")}
    assert (tree(lab) / README).read_text() == "mine\n"
    before = snapshot(lab.run)
    assert not packed(lab).changed
    assert snapshot(lab.run) == before


def test_what_was_not_touched_is_updated_and_what_was_is_said_to_differ(lab: Lab) -> None:
    fields: Any = read_json(tree(lab) / SYSTEM)
    write_json(tree(lab) / SYSTEM, {**fields, "cooling": "oil"})
    other = tree(lab) / README
    before = other.read_text()
    change_description(lab)
    (state, reason), *others = told(packed(lab)).values()
    assert (state, others) == ("yours", [])
    assert reason.endswith("yours stays, although the results' file has changed meanwhile")
    assert read_json(tree(lab) / SYSTEM)["cooling"] == "oil"
    lab.submitter = "TEST-ONLY"
    lab.scenario("SingleStream")
    lab.write()
    report = packed(lab)
    assert len(report.written) == 2
    assert other.read_text() == before
    assert "although" in told(report)[SYSTEM][1]


def test_ours_is_taken_when_asked_for_and_yours_is_kept_aside(lab: Lab) -> None:
    change_description(lab)
    (tree(lab) / SYSTEM).write_text('{"mine": 1}\n')
    (tree(lab) / README).write_text("mine\n")
    report = packed(lab, f"{tree(lab)}/{HOME}/systems")
    edit = next(one for one in report.edits if one.path == SYSTEM)
    assert (edit.state, edit.reason) == ("ours", "the results' file is here, as you asked")
    assert (lab.run / edit.aside).read_text() == '{"mine": 1}\n'
    assert read_json(tree(lab) / SYSTEM)["cooling"] == "water"
    assert (tree(lab) / README).read_text() == "mine\n"
    assert not any(one.path == SYSTEM for one in packed(lab).edits)


def test_a_name_that_was_not_edited_is_an_error_with_the_nearest(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="no file of the tree was edited"):
        packed(lab, README)
    (tree(lab) / README).write_text("mine\n")
    with pytest.raises(ConfigError) as caught:
        packed(lab, README.replace("README", "READ_ME"))
    assert f"did you mean '{README}'?" in str(caught.value)


def test_an_added_file_stays_and_a_removed_one_comes_back(lab: Lab) -> None:
    (tree(lab) / HOME / "notes.md").write_text("mine\n")
    (tree(lab) / README).unlink()
    assert told(packed(lab)) == {f"{HOME}/notes.md": ("added", "it was added by hand; it stays")}
    assert (tree(lab) / HOME / "notes.md").read_text() == "mine\n"
    assert (tree(lab) / README).is_file()


def test_evidence_is_the_raw_results_whatever_was_written_into_it(lab: Lab) -> None:
    before = (tree(lab) / LOG).read_bytes()
    edit_log(tree(lab) / LOG, {"effective_test_mode": "PerformanceOnly"})
    edited = (tree(lab) / LOG).read_bytes()
    dry = packed(lab, dry_run=True)
    assert (tree(lab) / LOG).read_bytes() == edited
    report = packed(lab)
    assert report == dry
    (edit,) = report.edits
    assert (edit.path, edit.state) == (LOG, "ours")
    assert "it is evidence of a run" in edit.reason
    assert (tree(lab) / LOG).read_bytes() == before
    assert (lab.run / edit.aside).read_bytes() == edited
    assert not packed(lab).changed


def test_an_edited_page_of_a_result_that_is_gone_is_kept_aside(lab: Lab) -> None:
    lab.scenario("SingleStream")
    lab.write()
    packed(lab)
    page = tree(lab) / README.replace("Offline", "SingleStream")
    page.write_text("mine\n")
    lab.planned = lab.planned[:2]
    lab.write()
    (edit,) = packed(lab).edits
    assert (edit.state, edit.reason) == ("ours", "you edited it, and its result is no longer part of the tree")
    assert (lab.run / edit.aside).read_text() == "mine\n"
    assert not page.parent.exists()


def test_a_tree_without_a_record_loses_nothing(lab: Lab) -> None:
    (lab.run / "report/tree.json").unlink()
    (tree(lab) / README).write_text("mine\n")
    (edit,) = packed(lab).edits
    assert "nothing tells whether you edited it" in edit.reason
    assert (lab.run / edit.aside).read_text() == "mine\n"
    assert (lab.run / "report/tree.json").is_file()


def test_an_interruption_before_the_tree_is_swapped_makes_no_edit_of_ours(lab: Lab) -> None:
    old = lab.run / "old"
    shutil.copytree(tree(lab), old)
    change_description(lab)
    packed(lab)
    shutil.rmtree(tree(lab))
    old.rename(tree(lab))
    assert packed(lab).edits == ()
    assert read_json(tree(lab) / SYSTEM)["cooling"] == "water"


def test_a_record_of_another_form_is_one_sentence(lab: Lab) -> None:
    write_json(lab.run / "report/tree.json", {"files": 1})
    with pytest.raises(SubmissionError, match=r"tree\.json: expected the keys 'files' and 'earlier'"):
        packed(lab)


def test_a_changed_tree_is_an_unchecked_one(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    checks = lab.run / "report/checks.json"
    words = ["check", str(tree(lab)), "--plan", str(lab.run / "plan.json"), "--output", str(checks)]
    with pytest.raises(SystemExit):
        main(words)
    packed(lab)
    assert checks.is_file()
    change_description(lab)
    packed(lab)
    assert not checks.exists()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["report", str(lab.run)])
    assert capsys.readouterr().out.startswith("NOT CHECKED: the submission tree was changed after it was checked")


def test_the_command_says_it_in_a_sentence_with_the_way_back(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    (tree(lab) / README).write_text("mine\n")
    with pytest.raises(SystemExit):
        main(["aggregate", str(lab.run)])
    lines = capsys.readouterr().out.splitlines()
    command = f"mlperf-ops aggregate {lab.run} --take-ours {README}"
    assert f"1 file stays as you left it; to take ours instead: {command}" in lines
    with pytest.raises(SystemExit):
        main([*command.split()[1:], "--json"])
    (edit,) = json.loads(capsys.readouterr().out)["edits"]
    assert edit["state"] == "ours"
    with pytest.raises(SystemExit):
        main(["aggregate", str(lab.run)])
    assert "as you left it" not in capsys.readouterr().out
