"""Options of `mlperf-ops check` beyond the report itself."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from mlperf_ops.checker.registry import all_rules
from mlperf_ops.checker.summary import write_summary
from mlperf_ops.checker.table import csv_text, table_rows
from mlperf_ops.files import JsonObject, write_atomic
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, TreeUnderTest, edit_log, good_tree, round_v61
from tests.unit.checker.test_check_command import check


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path / "tree", real_logs)


@pytest.mark.parametrize("rule", sorted(all_rules()))
def test_every_rule_is_explained(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--explain", rule) == 0
    shown = capsys.readouterr().out
    known = all_rules()[rule]
    for text in (rule, known.title, known.meaning, known.fix, known.source, f"severity  {known.severity}"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--explain", "sedes"], "--explain: unknown rule 'sedes'"),
        (["TREE", "--round", "v6.1", "--only", "min-durations"], "did you mean 'min-duration'?"),
        (
            ["TREE", "--round", "v6.1", "--submitter", "TEST_ONLY"],
            "has no submitter 'TEST_ONLY'; it has TEST-ONLY (did you mean 'TEST-ONLY'?)",
        ),
        (["EMPTY", "--round", "v6.1", "--submitter", "ACME"], "has no submitter 'ACME', nor any other"),
        (["EMPTY", "--round", "v6.1"], "holds no result"),
        (["TREE", "--round", "v6.1", "--cache", "/dev/null/x"], "the cache /dev/null/x cannot be made"),
        ([], "no tree was given"),
    ],
)
def test_wrong_names_are_a_sentence_and_code_2(
    arguments: list[str], sentence: str, tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"TREE": str(tree.root), "EMPTY": str(tmp_path / "empty")}
    assert check(*(places.get(argument, argument) for argument in arguments)) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_baseline_shows_what_is_new_and_what_is_gone(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_log(tree.performance("Server"), {"effective_performance_sample_count": 1})
    tree.edit_json(tree.system_json, {"cooling": ""})
    before = tmp_path / "checks.json"
    assert check(tree.root, "--round", "v6.1", "--output", before) == 1
    tree.edit_json(tree.system_json, {"cooling": "air"})
    (tree.result("Offline") / "README.md").write_text("")
    capsys.readouterr()
    assert check(tree.root, "--round", "v6.1", "--baseline", before) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "since the baseline: 1 new, 1 gone, 1 as before" in shown
    assert "gone system-field-empty" in shown
    assert "README.md is empty" in shown
    assert "performance-sample-count" not in shown
    assert check(tree.root, "--round", "v6.1", "--baseline", before, "--json") == 1
    printed = capsys.readouterr().out
    found = json.loads(printed)["baseline"]
    assert [finding["rule"] for finding in found["new"]] == ["empty-file"]
    assert (len(found["gone"]), found["known"]) == (1, 1)
    before.write_text(printed)  # what was printed is a baseline, too
    assert check(tree.root, "--round", "v6.1", "--baseline", before) == 1
    assert "since the baseline: 0 new, 0 gone, 2 as before" in " ".join(capsys.readouterr().out.split())


def test_a_baseline_with_nothing_new_does_not_change_the_verdict(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_log(tree.performance("Server"), {"effective_performance_sample_count": 1})
    before = tmp_path / "checks.json"
    assert check(tree.root, "--round", "v6.1", "--output", before) == 1
    assert check(tree.root, "--round", "v6.1", "--baseline", before) == 1
    shown = capsys.readouterr().out
    assert "since the baseline: 0 new, 0 gone, 1 as before" in shown
    assert "REJECTED" in shown


def test_table_report_and_cache_are_written_where_they_are_asked_for(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: list[str | Path] = [
        "--csv",
        tmp_path / "out/table.csv",
        "--summary",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
    ]
    assert check(tree.root, "--round", "v6.1", *options) == 0
    with (tmp_path / "out/table.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(ALL)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ids.json",
        "summary.xlsx",
        "summary_results.json",
        "table.csv",
    ]
    assert "keeps 1 result of scenarios that the round does not list" in capsys.readouterr().err
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_only_one_rule_decides(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    edit_log(tree.performance("Server"), {"effective_min_duration_ms": 1})
    assert check(tree.root, "--round", "v6.1", "--only", "seeds") == 0
    assert check(tree.root, "--round", "v6.1", "--only", "seeds", "--only", "min-duration") == 1
    assert "min-duration" in capsys.readouterr().out


def test_folders_of_other_submitters_are_not_called_empty(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree.root / "closed/OTHER/src").mkdir(parents=True)
    (tree.root / "closed/OTHER/src/README.md").write_text("Theirs.\n")
    assert check(tree.root, "--round", "v6.1", "--submitter", "TEST-ONLY") == 0
    assert "empty-folder" not in capsys.readouterr().out


def test_a_cache_tells_an_empty_division_from_one_of_others(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree.root / "closed/OTHER").mkdir(parents=True)
    options = ("--round", "v6.1", "--submitter", "TEST-ONLY", "--cache", tmp_path / "cache")
    assert check(tree.root, *options) == 0
    (tree.root / "closed/OTHER").rmdir()
    capsys.readouterr()
    assert check(tree.root, *options) == 1
    assert "the folder is empty [closed]" in capsys.readouterr().out


def test_without_openpyxl_the_verdict_is_shown_and_the_remedy_said_before_the_check(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)  # as Python marks what cannot be imported
    assert check(tree.root, "--round", "v6.1", "--summary", tmp_path / "out") == 5
    shown = capsys.readouterr()
    assert "SUBMITTABLE for round v6.1" in shown.out
    sentence = "summary.xlsx needs openpyxl, which is not installed (pip install 'mlperf-ops[xlsx]')"
    assert shown.err.splitlines() == [
        f"mlperf-ops: {sentence}; the check goes on without it",
        f"mlperf-ops: error: {sentence}",
    ]
    assert (tmp_path / "out/summary_results.json").is_file()


def test_a_file_that_cannot_be_written_leaves_the_verdict_and_the_other_files(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    table = tmp_path / "table.csv"
    options: tuple[str | Path, ...] = ("--round", "v6.1", "--output", tmp_path / "file/checks.json", "--csv", table)
    assert check(tree.root, *options) == 5
    shown = capsys.readouterr()
    assert "SUBMITTABLE" in shown.out
    assert shown.err.startswith("mlperf-ops: error: cannot write ")
    assert table.is_file()
    assert check(tree.root, *options, "--json") == 5
    assert json.loads(capsys.readouterr().out)["verdict"] == "submittable"


def test_a_file_name_for_the_folder_of_the_summary_is_refused(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tree.root, "--round", "v6.1", "--summary", tmp_path / "out/report.xlsx") == 2
    shown = capsys.readouterr()
    assert f"did you mean '--summary {tmp_path / 'out'}'?" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"a":' * 50_000, b"[]", b""])
def test_a_baseline_that_is_no_report_is_a_sentence_and_an_output_is_replaced(
    content: bytes, tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checks.json"
    path.write_bytes(content)
    assert check(tree.root, "--round", "v6.1", "--baseline", path) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert check(tree.root, "--round", "v6.1", "--output", path) == 0
    assert json.loads(path.read_text())["verdict"] == "submittable"


def test_nothing_in_a_description_stops_table_and_report(tree: TreeUnderTest, tmp_path: Path) -> None:
    odd: JsonObject = {
        "hw_notes": "half \ud800",
        "number_of_nodes": "9" * 4000,
        "accelerators_per_node": "9" * 4000,
        "host_processors_per_node": "9" * 400,
        "framework": "\x00\x0b",
    }
    tree.edit_json(tree.system_json, odd)
    files = ("--csv", tmp_path / "o.csv", "--summary", tmp_path / "report", "--output", tmp_path / "checks.json")
    assert check(tree.root, "--round", "v6.1", *files) == 1
    report = check_tree(tree.root, round_v61(), only=["seeds"], processes=1)
    write_atomic(tmp_path / "o.csv", csv_text(table_rows(report, round_v61())))
    write_summary(report, round_v61(), tmp_path / "report")
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.reader(table))
    assert {len(row) for row in rows} == {31}
    assert len(rows) == 1 + len(ALL)
    assert rows[1][rows[0].index("notes")].startswith("half \\ud800")


def test_a_part_of_the_rules_gives_no_table_and_no_verdict_without_a_word(
    tree: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_log(tree.performance("Server"), {"effective_min_duration_ms": 1})
    assert check(tree.root, "--round", "v6.1", "--only", "seeds", "--csv", tmp_path / "o.csv") == 2
    assert "--csv needs all rules" in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()
    assert check(tree.root, "--round", "v6.1", "--only", "seeds") == 0
    assert "judged by seeds alone, not by all rules" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rnnt", "round v6.1 has no benchmark 'rnnt': it was in v0.7 to v4.0, and whisper took its place"),
        ("ssd-large", "it was in v0.5 to v2.0, and retinanet (v2.1 to v6.0), then yolo-99 took its place"),
        ("retinanet", "it was in v2.1 to v6.0, and yolo-99 took its place"),
        ("rgatt", "'rgatt' is no benchmark of v6.1; did you mean 'rgat'?"),
    ],
)
def test_a_benchmark_that_the_round_no_longer_has_is_told(
    name: str, sentence: str, tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.result("Offline").parent.rename(tree.result("Offline").parent.with_name(name))
    assert check(tree.root, "--round", "v6.1", "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert sentence in next(one["message"] for one in found if one["rule"] == "unknown-benchmark")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("TEST05", "TEST05 is a compliance test of v0.5 to v4.1, and none of round v6.1"),
        ("TEST03", "TEST03 is a compliance test of v0.5, and none of round v6.1"),
        ("TEST04-A", "TEST04-A is a compliance test of v0.5 to v2.0, and none of round v6.1; TEST04 took its place"),
        ("TEST05x", "a result has no folder TEST05x/; did you mean 'TEST0"),
    ],
)
def test_a_compliance_test_of_another_round_is_told_apart_from_a_mistyped_folder(
    name: str, sentence: str, tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tree.result("Offline") / name / "performance/run_1/mlperf_log_summary.txt"
    log.parent.mkdir(parents=True)
    log.write_text("words\n")
    assert check(tree.root, "--round", "v6.1", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["rule"], found["severity"], found["value"]) == ("unknown-folder", "advice", name)
    assert found["message"].startswith(sentence)


def test_a_division_in_another_spelling_is_told(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    (tree.root / "open").rename(tree.root / "Open")
    assert check(tree.root, "--round", "v6.1") == 2
    assert "'Open' is no division; did you mean 'open'?; a result is the folder" in capsys.readouterr().err


def test_results_behind_a_link_to_a_folder_are_told_not_to_be_judged(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.result("Server").rename(tree.submitter / "src/Server")
    tree.result("Server").symlink_to("../../../../src/Server")
    assert check(tree.root, "--round", "v6.1", "--json") == 1
    found = {(one["rule"], one["severity"]) for one in json.loads(capsys.readouterr().out)["findings"]}
    assert ("symlink", "rules") in found
