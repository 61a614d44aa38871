"""Our check of a published round against what was published, and against the official checkers, row by row.

MLPERF_RESULTS_V5_1 names a copy of mlcommons/inference_results_v5.1, which may lack large files.
MLPERF_INFERENCE_CHECKOUT names mlcommons/inference at the round's commit (modular checker, report generator),
MLPERF_INFERENCE_RELEASE_V5_1 its tag v5.1.1 (release checker), MLPERF_REPORT_PYTHON a Python with pandas and xlsxwriter
for the report generator. docs/reference/published-results.md holds the numbers.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker import CheckedResult, CheckReport, OfficialReport, check_tree, run_official, with_official
from mlperf_ops.checker.model import FindingsByPlace
from mlperf_ops.checker.summary import write_summary
from mlperf_ops.checker.table import csv_text, table_rows
from mlperf_ops.files import write_atomic
from tests.support.published_trees import has_logs, link_results_with_logs

TREE = Path(os.environ.get("MLPERF_RESULTS_V5_1", "/nonexistent"))
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
RELEASE = os.environ.get("MLPERF_INFERENCE_RELEASE_V5_1", "")
REPORT_PYTHON = os.environ.get("MLPERF_REPORT_PYTHON", "")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not TREE.is_dir(), reason="MLPERF_RESULTS_V5_1 names no copy of inference_results_v5.1"),
]

# Accepted by the official checkers and never published.
NOT_PUBLISHED = (
    "open/GATEOverflow/results/GATEOverflow_Intel_SPR_i9-reference-gpu-pytorch_v2.2.2-cu126/pointpainting/offline"
)
# Our rules that reject published results, and why that is right.
EXPLAINED = {
    "missing-file": "the copy lacks files of 4 MiB and more",
    "missing-compliance": "the copy lacks files of 4 MiB and more",
    "accuracy-artifacts": "published repositories never hold the images",
    "dataset-size": "4,761 of 5,000 samples; the release checker only logged it",
    "log-mode": "the accuracy log is the log of a performance run, at which no official checker looks",
    "placeholder": "TBD or TODO stands where the rules want a meaningful value",
    "compliance-copy": "the log of a TEST01 is that of the performance run, at which no official checker looks",
    "compliance-speed": "a TEST01 at 63 % of the speed; the text was made with an earlier performance run",
    "summary-mismatch": "the summary beside the copied log is of another run",
    "leftover-audit-config": "a performance run with the settings of TEST01, at which no official checker looks",
    "power-meter-errors": "errors of the meter in the run; the official checker stops at one that it tolerates",
    "power-uncertainty": "nine of ten readings are uncertain; the official checker leaves out 800 s at each end",
    "system-field-type": "a JSON object stands where a text is expected",
}
# The unit was published as Queries/s although the number counts tokens; later official checkers say Tokens/s.
OTHER_UNIT = ("llama3.1-8b", "Interactive")
FLAGS = ("--skip-extra-accuracy-files-check",)


@pytest.fixture(scope="module")
def v51() -> Round:
    return load_catalogue().round("v5.1")


@pytest.fixture(scope="module")
def report(v51: Round) -> CheckReport:
    return check_tree(TREE, v51)


@pytest.fixture(scope="module")
def ours(report: CheckReport) -> dict[str, CheckedResult]:
    return {result.location: result for result in report.results}


@pytest.fixture(scope="module")
def published() -> dict[str, dict[str, Any]]:
    rows = json.loads((TREE / "summary_results.json").read_text())
    return {row["Location"].removeprefix("./"): row for row in rows}


def accuracy(result: CheckedResult) -> str:
    return "  ".join(f"{metric}: {text}" for metric, text in result.accuracy.items())


def test_every_published_result_is_found_and_one_more(
    ours: dict[str, CheckedResult], published: dict[str, dict[str, Any]]
) -> None:
    assert len(published) == 1448
    assert set(ours) - set(published) == {NOT_PUBLISHED}
    assert set(published) <= set(ours)


def test_published_numbers_are_ours(ours: dict[str, CheckedResult], published: dict[str, dict[str, Any]]) -> None:
    compared = Counter[str]()
    for location, row in published.items():
        result = ours[location]
        assert (result.model, result.scenario, result.division) == (row["Model"], row["Scenario"], row["Category"])
        assert (result.inferred, result.has_power) == (bool(row["inferred"]), bool(row["has_power"]))
        if not has_logs(TREE / location):
            assert result.metric is None
            compared["without logs"] += 1
            continue
        assert result.metric == pytest.approx(row["Performance_Result"], rel=1e-6), location
        assert accuracy(result) == row["Accuracy"], location
        expected = "Tokens/s" if (result.model, result.scenario) == OTHER_UNIT else row["Performance_Units"]
        assert result.unit == expected, location
        compared["numbers"] += 1
        if "Power_Result" in row:
            assert result.power == pytest.approx(row["Power_Result"], rel=1e-9), location
            assert result.power_unit == row["Power_Units"]
            compared["power"] += 1
    assert compared["numbers"] + compared["without logs"] == len(published)
    with_logs = [row for location, row in published.items() if has_logs(TREE / location)]
    assert compared["power"] == sum(1 for row in with_logs if "Power_Result" in row) > 0


def test_what_we_reject_of_the_published_results_is_explained_by_its_rules(
    report: CheckReport, published: dict[str, dict[str, Any]]
) -> None:
    by_place = FindingsByPlace(report.findings)
    broken = {
        location: {finding.rule for finding in by_place.of(location) if finding.rejects} for location in published
    }
    assert {rule for rules in broken.values() for rule in rules} <= set(EXPLAINED)
    failed = {result.location for result in report.results if result.verdict == "fail"} - {NOT_PUBLISHED}
    assert failed == {location for location, rules in broken.items() if rules}


def official_agrees(report: CheckReport, official: OfficialReport) -> None:
    """Compare verdicts and numbers, result by result."""
    ours = {result.location: result for result in report.results}
    for theirs in official.results:
        result = ours[theirs.location]
        if not theirs.passed:
            continue
        assert result.metric == pytest.approx(theirs.metric, rel=1e-9), theirs.location
        assert theirs.row["MlperfModel"] == result.model
        assert theirs.row["Accuracy"] == accuracy(result)
        assert theirs.row["has_power"] == str(result.has_power)
        other = official.kind == "release" and (result.model, result.scenario) == OTHER_UNIT
        assert theirs.row["Units"] == ("Queries/s" if other else result.unit)
        # The modular checker takes every Interactive and every lower-case folder for inferred.
        odd = official.kind == "modular" and (
            result.scenario == "Interactive" or not theirs.row["Scenario"][0].isupper()
        )
        assert theirs.row["inferred"] == ("1" if odd else str(int(result.inferred))), theirs.location
    unexplained = [one for one in with_official(report, official).disagreements if one.known is None]
    assert unexplained == []


@pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference")
def test_the_modular_checker_agrees_result_by_result(report: CheckReport, v51: Round, tmp_path: Path) -> None:
    kept = link_results_with_logs(TREE, tmp_path / "tree")
    official = run_official(Path(CHECKOUT), tmp_path / "tree", v51, flags=FLAGS)
    assert len(official.results) == kept
    official_agrees(report, official)


@pytest.mark.skipif(not RELEASE, reason="MLPERF_INFERENCE_RELEASE_V5_1 names no checkout of tag v5.1.1")
def test_the_release_checker_agrees_result_by_result(report: CheckReport, v51: Round) -> None:
    official = run_official(Path(RELEASE), TREE, v51, flags=FLAGS)
    assert len(official.results) == len(report.results)
    official_agrees(report, official)


def test_the_table_has_a_row_per_accepted_result_and_measurement(report: CheckReport, v51: Round) -> None:
    rows = list(csv.DictReader(csv_text(table_rows(report, v51)).splitlines()))
    accepted = [result for result in report.results if result.verdict == "pass"]
    assert len(rows) == len(accepted) + sum(1 for result in accepted if result.has_power)


def cells(path: Path) -> dict[str, dict[tuple[Any, ...], float]]:
    """Return the results of a workbook: sheet -> (values of the index without links, benchmark, scenario, unit)."""
    found: dict[str, dict[tuple[Any, ...], float]] = {}
    for page in load_workbook(path).worksheets:
        for area in list(page.merged_cells.ranges):
            value = page.cell(area.min_row, area.min_col).value
            page.unmerge_cells(str(area))
            for row in range(area.min_row, area.max_row + 1):
                for column in range(area.min_col, area.max_col + 1):
                    page.cell(row, column).value = value
        lines = [[cell.value for cell in row] for row in page.iter_rows()]
        names = next(number for number, line in enumerate(lines) if line[0] == "ID")
        width = sum(1 for name in lines[names] if name)
        found[page.title] = {
            (
                *(value or "" for value in line[:width] if "HYPERLINK" not in str(value)),
                *(lines[names - level][column] for level in (3, 2, 1)),
            ): line[column]
            for line in lines[names + 1 :]
            for column in range(width, len(line))
            if line[column] not in (None, "")
        }
    return found


@pytest.mark.skipif(not (CHECKOUT and REPORT_PYTHON), reason="MLPERF_REPORT_PYTHON names no Python with pandas")
def test_the_final_report_is_the_official_one_and_more(report: CheckReport, v51: Round, tmp_path: Path) -> None:
    script = Path(CHECKOUT) / "tools/submission/generate_final_report.py"
    write_atomic(tmp_path / "summary.csv", csv_text(table_rows(report, v51)))
    options = ["--input", "summary.csv", "--version", "5.1", "--repository", "inference_results_v5.1"]
    subprocess.run([REPORT_PYTHON, str(script), *options], cwd=tmp_path, check=True, capture_output=True)
    shutil.move(tmp_path / "ids.json", tmp_path / "official_ids.json")
    write_summary(report, v51, tmp_path / "ours")
    entries = {
        name: {row["Location"]: row for row in json.loads(path.read_text())}
        for name, path in (
            ("official", tmp_path / "summary_results.json"),
            ("ours", tmp_path / "ours/summary_results.json"),
        )
    }
    # Ours keeps what the official one drops: a scenario that the round does not list.
    assert {
        location.removesuffix("/performance/run_1") for location in set(entries["ours"]) - set(entries["official"])
    } == {NOT_PUBLISHED}
    for location, row in entries["official"].items():
        mine = entries["ours"][location]
        assert list(mine) == list(row)
        for key, value in row.items():
            if key == "Code":  # it writes src/, the folder of later rounds
                assert mine[key] == value.removesuffix("src") + "code"
            else:
                assert mine[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
    theirs, mine_cells = cells(tmp_path / "summary.xlsx"), cells(tmp_path / "ours/summary.xlsx")
    assert set(theirs) == set(mine_cells)
    dropped: set[str] = set()
    for sheet, values in theirs.items():
        assert {key: mine_cells[sheet].get(key) for key in values} == pytest.approx(values, rel=1e-9)
        dropped |= {key[-3] for key in set(mine_cells[sheet]) - set(values)}
    # Benchmarks that its list of columns lacks, and the scenario from above.
    assert dropped == {"retinanet", "dlrm-v2-99", "dlrm-v2-99.9", "pointpainting"}
