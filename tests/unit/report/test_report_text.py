"""The verdict in words: the first sentence, the table and the findings, on the terminal and in verdict.md."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import Disagreement, Finding, OfficialReport, OfficialResult
from mlperf_ops.cli import main
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Result
from mlperf_ops.plan_model import CollectedHost
from mlperf_ops.report import verdict_text
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.markdown import escape, verdict_markdown
from mlperf_ops.report.text import table
from mlperf_ops.typed import dump, load
from tests.support.attempts import RealLogs
from tests.support.sample_run import (
    FEW_IMAGES,
    NO_IMAGENET,
    change_checks,
    change_plan,
    pack_and_check,
    read_checks,
    read_plan,
    sample_run,
)

COMMIT = "b66003e10e2db4b8c36a448b0545ec90fcc6e9e9"


def finding(rule: str = "required-file", message: str = "a file is missing", *, severity: str = "official") -> Finding:
    where = "open/TEST-ONLY/results/node1/efficientnet-lite0/Offline"
    return Finding(rule, severity, f"{where}/x", where, message, None, None, "it is needed", "add it")  # type: ignore[arg-type]


def first_line(run: Path) -> str:
    return verdict_text(run).splitlines()[0]


def official(run: Path, *, passed: bool, commit: str = COMMIT) -> OfficialReport:
    results = tuple(OfficialResult(one.location, passed, None, (), {}) for one in read_checks(run).results)
    return OfficialReport(commit, COMMIT, "v6.1", None, (), (), results, accepted=passed)


def test_a_demonstration_says_why_and_that_everything_else_holds(demonstration: Path) -> None:
    assert first_line(demonstration) == (
        "DEMONSTRATION, not submittable: 20 of 50,000 images; runs shorter than 600 s. Everything else holds."
    )


def test_a_limit_that_is_no_matter_of_length_keeps_its_own_words(run: Path) -> None:
    checks = read_checks(run)
    short = ("min-duration", "min-queries", "early-stopping", "loadgen-validity")
    change_checks(run, findings=tuple(found for found in checks.findings if found.rule not in short[:1]))
    assert "run style test is too short for a statement about the tail latency" in first_line(run)
    assert "600 s" not in first_line(run)


def test_without_the_plans_limits_the_same_tree_is_rejected_with_a_count(run: Path) -> None:
    change_plan(run, limits=())
    count = sum(1 for found in pack_and_check(run).findings if found.rejects)
    assert count > 1
    assert first_line(run) == f"REJECTED: {count} findings"


def test_a_clean_tree_is_submittable_in_one_word(run: Path) -> None:
    change_checks(run, verdict="submittable", findings=())
    assert first_line(run) == "SUBMITTABLE: every rule of v6.1 holds"
    assert "No findings." in verdict_text(run)


def test_a_run_that_was_not_checked_says_so(run: Path) -> None:
    (run / "report" / "checks.json").unlink()
    assert first_line(run) == "NOT CHECKED: the submission tree was not checked yet"


def test_what_was_not_checked_comes_with_the_command_that_checks_it(run: Path) -> None:
    assert "mlperf-ops check" not in verdict_text(run)
    (run / "report" / "checks.json").unlink()
    lines = verdict_text(run).splitlines()
    told = lines[lines.index("Check it:") + 1 :][:2]
    assert told[0].split() == [
        *("mlperf-ops", "check", f"{run}/submission", "--round", "v6.1", "--plan", f"{run}/plan.json"),
        *("--output", f"{run}/report/checks.json"),
    ]
    assert told[1].split() == ["mlperf-ops", "report", str(run)]
    page = verdict_markdown(read_run(run, load_catalogue()))
    assert "mlperf-ops check results/demo/submission --round v6.1 --plan results/demo/plan.json" in page
    assert str(run) not in page
    for words in told:
        with pytest.raises(SystemExit) as ended:
            main(words.split()[1:])
        assert ended.value.code in {0, 1}
    assert first_line(run).startswith("DEMONSTRATION")


def test_without_a_tree_the_first_command_builds_it(run: Path) -> None:
    shutil.rmtree(run / "submission")
    (run / "report" / "checks.json").unlink()
    assert first_line(run) == "NOT CHECKED: there is no submission tree yet"
    lines = verdict_text(run).splitlines()
    assert lines[lines.index("Build the tree and check it:") + 1] == f"  mlperf-ops aggregate {run}"


def test_a_broken_checks_file_is_not_taken_for_a_verdict(run: Path) -> None:
    (run / "report" / "checks.json").write_text('{"verdict": "submittable"}')
    assert first_line(run).startswith("NOT CHECKED: ")
    assert "checks.json: key 'tree' is missing" in first_line(run)


def test_a_cell_without_a_result_takes_the_comfort_away(run: Path) -> None:
    path = run / "hosts/node1/cells.json"
    collected = load(CollectedHost, read_json(path), "cells.json")
    left = tuple(cell for cell in collected.cells if "Server/accuracy" not in cell.key)
    write_json(path, dump(dataclasses.replace(collected, cells=left)))
    assert "Everything else holds" not in first_line(run)
    assert "1 of 8 cells has no result: node1/efficientnet-lite0/Server/accuracy." in first_line(run)


def test_a_result_of_an_earlier_plan_is_called_that(run: Path) -> None:
    plan = read_plan(run)
    changed = dataclasses.replace(plan.cells[0], request={**(plan.cells[0].request or {}), "warmup_seconds": 9.0})
    change_plan(run, cells=(changed, *plan.cells[1:]))
    assert "1 result is of an earlier plan." in first_line(run)


def test_simulated_cells_are_named_in_the_first_line(run: Path) -> None:
    for path in run.glob("hosts/node1/**/Offline/**/result.json"):
        result = load(Result, read_json(path), str(path))
        write_json(path, dump(dataclasses.replace(result, simulated=True)))
    assert "2 cells are simulated and never packed." in first_line(run)


def test_tainted_cells_are_named_in_the_first_line_the_notes_and_the_tree(run: Path) -> None:
    sentence = "governor of policy0 changed from performance to powersave during the cell"
    (path,) = run.glob("hosts/node1/**/Offline/performance/**/result.json")
    result = load(Result, read_json(path), str(path))
    write_json(path, dump(dataclasses.replace(result, tainted=(sentence,))))
    pack_and_check(run)
    assert "1 cell is tainted: the host drifted while it measured." in first_line(run)
    assert f"performance: tainted: {sentence}" in verdict_markdown(read_run(run, load_catalogue()))
    (readme,) = (run / "submission").glob("*/*/results/node1/*/Offline/README.md")
    assert f"- Tainted (performance): {sentence}\n" in readme.read_text()


def test_what_packaging_refused_is_named_with_its_reason(run: Path) -> None:
    detail = next(run.glob("hosts/node1/**/Offline/performance/**/mlperf_log_detail.txt"))
    detail.write_text(detail.read_text() + "\n")
    pack_and_check(run)
    assert "1 cell was kept out of the tree: node1/efficientnet-lite0/Offline/performance, " in first_line(run)
    assert "was changed after the run" in first_line(run)


def test_the_table_shows_result_validity_accuracy_and_our_check(demonstration: Path) -> None:
    lines = verdict_text(demonstration).splitlines()
    heading, single, *_, offline = lines[2:7]
    assert heading.split("  ")[0] == "SYSTEM"
    for line, scenario, unit in ((single, "SingleStream", "ms 90th percentile"), (offline, "Offline", "Samples/s")):
        assert line.startswith("node1   efficientnet-lite0 (resnet)  " + scenario)
        assert unit in line
        assert "90% acc (target >= 75.6954: met)" in line
        assert line.endswith("fails as planned")
    assert single[heading.index("LOADGEN") :].split()[0] in ("VALID", "INVALID")
    assert "OFFICIAL" not in heading


def test_a_missed_target_names_whether_the_division_asks_for_it(run: Path) -> None:
    path = next(run.glob("hosts/node1/**/Offline/accuracy/**/result.json"))
    result = load(Result, read_json(path), str(path))
    assert result.accuracy is not None
    write_json(path, dump(dataclasses.replace(result, accuracy=dataclasses.replace(result.accuracy, met=False))))
    assert "(target >= 75.6954: missed; open asks for none)" in verdict_text(run)


def test_expected_findings_are_grouped_by_the_plans_reason_with_counts(demonstration: Path) -> None:
    text = verdict_text(demonstration)
    assert f"  {FEW_IMAGES}: dataset-size x4" in text
    assert "To be fixed" not in text
    assert f"  node1/resnet50/SingleStream/performance: {NO_IMAGENET}" in text


def test_a_finding_to_be_fixed_has_place_meaning_and_fix(run: Path) -> None:
    checks = read_checks(run)
    change_checks(
        run, verdict="rejected", findings=(*checks.findings, finding(), finding("advice-x", severity="advice"))
    )
    text = verdict_text(run)
    assert first_line(run) == "REJECTED: 1 finding"
    block = text[text.index("To be fixed (1):") :].splitlines()
    assert block[1] == "  [required-file] a file is missing"
    assert block[2] == "      where: open/TEST-ONLY/results/node1/efficientnet-lite0/Offline/x"
    assert block[3:5] == ["      means: it is needed", "      fix:   add it"]
    assert "[advice-x]" in text[text.index("Advice (") :]


def test_hundreds_of_findings_do_not_flood_the_terminal(run: Path) -> None:
    many = tuple(finding(message=f"file {number} is missing") for number in range(300))
    change_checks(run, verdict="rejected", findings=many)
    text = verdict_text(run)
    assert first_line(run) == "REJECTED: 300 findings"
    assert "  and 288 more, all in the report" in text
    assert len(text.splitlines()) < 80


def test_the_official_checkers_absence_is_one_line_with_the_reason(run: Path) -> None:
    change_checks(run, official_note="the repository cannot be reached.")
    assert (
        "Official checker: could not be had (the repository cannot be reached), so our own check stands alone."
        in verdict_text(run)
    )


def test_the_official_checkers_verdict_stands_beside_ours(run: Path) -> None:
    change_checks(run, official=official(run, passed=False))
    lines = verdict_text(run).splitlines()
    assert lines[2].endswith("OUR CHECK         OFFICIAL")
    assert lines[3].endswith("fails as planned  rejects")
    assert (
        "Official checker: ran at commit b66003e1 (the one that the round names), --version v6.1; "
        "it accepts 0 of 4 results; it agrees with our check on every result." in lines
    )


def test_another_commit_is_not_called_the_rounds(run: Path) -> None:
    change_checks(run, official=official(run, passed=True, commit="0" * 40))
    assert "ran at commit 00000000, --version" in verdict_text(run)


def test_a_disagreement_reaches_the_first_line(run: Path) -> None:
    location = read_checks(run).results[0].location
    different = (Disagreement(location, "accepts", "rejects", "accuracy"),)
    change_checks(
        run, verdict="submittable", findings=(), official=official(run, passed=False), disagreements=different
    )
    assert first_line(run) == ("SUBMITTABLE: every rule of v6.1 holds. The official checker disagrees on 1 result.")


def test_terminal_escapes_in_log_text_are_shown_not_obeyed(run: Path) -> None:
    nasty = "\x1b[2J\x1b]0;owned\x07 lost \u202egnp.exe"
    change_checks(run, verdict="rejected", findings=(finding(message=nasty),))
    text = verdict_text(run)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[U+001B][2J" in text


def test_verdict_md_holds_the_same_verdict_and_links_the_page(demonstration: Path) -> None:
    text = verdict_markdown(read_run(demonstration, load_catalogue()))
    assert text.startswith(f"**{first_line(demonstration)}**\n")
    assert "| node1 | efficientnet-lite0 (resnet) | SingleStream |" in text
    assert f"- {FEW_IMAGES}: dataset-size (4 findings)" in text
    assert "[report.html](report.html)" in text


def test_markdown_in_log_text_stays_text() -> None:
    assert escape("a | b") == r"a \| b"
    assert escape("<img src=x onerror=y>") == "&lt;img src=x onerror=y>"
    assert escape("[x](http://e) `c` *b* _i_") == r"\[x\](http://e) \`c\` \*b\* \_i\_"
    assert escape("mlperf_log_detail.txt") == "mlperf_log_detail.txt"
    assert escape("two\nlines") == "two lines"


def test_columns_are_as_wide_as_their_longest_text() -> None:
    assert table([("A", "B"), ("long", "x"), ("c", "")]) == ["A     B", "long  x", "c"]


def test_two_hosts_are_two_groups_of_rows(tmp_path: Path, real_logs: RealLogs) -> None:
    run = sample_run(tmp_path / "lab", real_logs, scenarios=("Offline",), hosts=("node1", "node2"))
    lines = verdict_text(run).splitlines()
    assert [line.split()[0] for line in lines[3:5]] == ["node1", "node2"]
    shutil.rmtree(run)
