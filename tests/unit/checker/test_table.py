"""The result table and the report that is made of it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from mlperf_ops.checker import check_tree
from mlperf_ops.checker.summary import merged, report_rows, write_summary
from mlperf_ops.checker.table import COLUMNS, csv_text, table_rows, total_accelerators
from mlperf_ops.files import JsonObject
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, EDGE, SYSTEM, TreeUnderTest, edit_log, good_tree, round_v61

NASTY = 'said "fast", 2 CPUs\nand\ta; semicolon, "" =1+1'
SPL = "".join(f"Time,07-25-2025 10:0{minute}:00.000,Watts,{100 + minute},Volts,230\n" for minute in range(10))


def rows_of(tree: TreeUnderTest) -> list[dict[str, str]]:
    text = csv_text(table_rows(check_tree(tree.root, round_v61()), round_v61()))
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path / "tree", real_logs)


def with_power(tree: TreeUnderTest) -> TreeUnderTest:
    """EDIT a power measurement into the Offline and the SingleStream result."""
    for scenario in ("Offline", "SingleStream"):
        log = tree.performance(scenario)
        edit_log(log, {"power_begin": "07-25-2025 10:00:30.000", "power_end": "07-25-2025 10:05:30.000"})
        (log.parent / "spl.txt").write_text(SPL)
        (log.parents[1] / "power").mkdir()
        (log.parents[1] / "power/client.json").write_text("{}")
    return tree


def test_every_accepted_result_has_a_row_with_the_official_columns(tree: TreeUnderTest) -> None:
    rows = rows_of(tree)
    assert len(COLUMNS) == 31
    assert {row["Scenario"] for row in rows} == set(ALL)
    row = next(row for row in rows if row["Scenario"] == "Offline")
    assert tuple(row) == COLUMNS
    assert (row["Platform"], row["Model"], row["MlperfModel"]) == (SYSTEM, "efficientnet-lite0", "resnet")
    assert (row["Units"], row["inferred"], row["has_power"], row["version"]) == ("Samples/s", "0", "False", "v6.1")
    assert row["Accuracy"].startswith("acc: ")
    assert float(row["Result"]) > 0
    assert row["Location"].endswith("efficientnet-lite0/Offline/performance/run_1")


def test_a_result_that_is_not_accepted_has_no_row(tree: TreeUnderTest) -> None:
    edit_log(tree.performance("Server"), {"effective_min_duration_ms": 1})
    assert {row["Scenario"] for row in rows_of(tree)} == set(ALL) - {"Server"}


def test_any_csv_reader_gives_the_notes_back(tree: TreeUnderTest) -> None:
    tree.edit_json(tree.system_json, {"hw_notes": NASTY, "sw_notes": "second, 'note'"})
    assert {row["notes"] for row in rows_of(tree)} == {f"{NASTY}. second, 'note'"}


def test_a_power_result_has_a_second_row(tree: TreeUnderTest) -> None:
    report = check_tree(with_power(tree).root, round_v61())
    # The tree lacks the other files of a power measurement; here its numbers are of interest.
    passing = tuple(dataclasses.replace(result, verdict="pass") for result in report.results)
    rows = list(table_rows(dataclasses.replace(report, results=passing), round_v61()))
    offline = [row for row in rows if row["Scenario"] == "Offline"]
    assert [row["Units"] for row in offline] == ["Samples/s", "Watts"]
    assert offline[1]["Result"] == 103.0
    assert {row["has_power"] for row in offline} == {True}
    assert [row["Units"] for row in rows if row["Scenario"] == "SingleStream"] == ["Latency (ms)", "millijoules"]
    assert len(rows) == len(ALL) + 2


def test_nameplate_power_is_the_sum_of_the_supplies_that_are_needed(tree: TreeUnderTest) -> None:
    with_power(tree)
    supplies = "[{Name: a, PowerCapacityWatts: 1000}, {Name: b, PowerCapacityWatts: 3000}, {PowerCapacityWatts: 2000}]"
    (tree.submitter / f"systems/{SYSTEM}_power.yaml").write_text(
        f"node:\n  Min PSUs Needed: 2\n  PSUs: {supplies}\nswitch:\n  PSUs: [{{PowerCapacityWatts: 50}}]\n"
        "  Min PSUs Needed: 1\n"
    )
    report = check_tree(tree.root, round_v61())
    passing = tuple(dataclasses.replace(result, verdict="pass") for result in report.results)
    rows = list(table_rows(dataclasses.replace(report, results=passing), round_v61()))
    assert {row["design_power_watts"] for row in rows if row["has_power"]} == {5050.0}
    assert {row["design_power_watts"] for row in rows if not row["has_power"]} == {""}


def test_aliases_of_aliases_in_a_nameplate_do_not_stop_the_check(tree: TreeUnderTest) -> None:
    with_power(tree)
    part = "a0: &a0 {Min PSUs Needed: 1, PSUs: [{PowerCapacityWatts: 1}]}\n"
    more = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 16))
    (tree.submitter / f"systems/{SYSTEM}_power.yaml").write_text(part + more)
    report = check_tree(tree.root, round_v61(), processes=1)
    assert "nameplate-power" not in {finding.rule for finding in report.findings}
    passing = tuple(dataclasses.replace(result, verdict="pass") for result in report.results)
    rows = list(table_rows(dataclasses.replace(report, results=passing), round_v61()))
    assert {row["design_power_watts"] for row in rows if row["has_power"]} == {sum(9**n for n in range(16))}


def test_an_inferred_result_says_so(tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path / "tree", real_logs, scenarios=EDGE)
    log = tree.performance("MultiStream")
    for name in (log.name, "mlperf_log_summary.txt"):
        log.with_name(name).write_text(tree.performance("SingleStream").with_name(name).read_text())
    edit_log(log, {"early_stopping_latency_ms": 2_000_000})
    row = next(row for row in rows_of(tree) if row["Scenario"] == "MultiStream")
    assert (row["inferred"], float(row["Result"])) == ("1", 16.0)


@pytest.mark.parametrize(
    ("nodes", "accelerators", "total"), [("2", "8", 16), (1, 4, 4), ("two", "8", ""), ("1", None, "")]
)
def test_accelerators_of_all_nodes(nodes: str | int, accelerators: str | int | None, total: int | str) -> None:
    assert total_accelerators({"number_of_nodes": nodes, "accelerators_per_node": accelerators}) == total


def test_the_report_has_one_entry_per_result_with_power_beside_performance(tree: TreeUnderTest, tmp_path: Path) -> None:
    report = check_tree(with_power(tree).root, round_v61())
    passing = tuple(dataclasses.replace(result, verdict="pass") for result in report.results)
    folder = tmp_path / "summary"
    assert write_summary(dataclasses.replace(report, results=passing), round_v61(), folder) == [
        f"open/TEST-ONLY/results/{SYSTEM}/efficientnet-lite0/Server/performance/run_1"
    ]
    entries = json.loads((folder / "summary_results.json").read_text())
    assert [entry["Scenario"] for entry in entries] == sorted(ALL)
    offline = next(entry for entry in entries if entry["Scenario"] == "Offline")
    assert (offline["Power_Result"], offline["Power_Units"]) == (103.0, "Watts")
    assert offline["Performance_Units"] == "Samples/s"
    assert "Result" not in offline
    assert (offline["ID"], offline["p#"], offline["Nodes"]) == ("6.1-0001", 1, 1)
    book = load_workbook(folder / "summary.xlsx")
    assert book.sheetnames == ["edge - open", "edge - open - power"]
    page = book["edge - open"]
    assert page.cell(2, page.max_column).value == "resnet"
    assert page.max_row == 6


def test_systems_keep_their_numbers(tree: TreeUnderTest, tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text('{"edge/open/TEST-ONLY/other/resnet50": 7}')
    report = check_tree(tree.root, round_v61())
    write_summary(report, round_v61(), tmp_path)
    assert {entry["ID"] for entry in json.loads((tmp_path / "summary_results.json").read_text())} == {"6.1-0008"}
    # The system that this report leaves out keeps its number, too.
    assert json.loads((tmp_path / "ids.json").read_text()) == {
        "edge/open/TEST-ONLY/other/resnet50": 7,
        f"edge/open/TEST-ONLY/{SYSTEM}/efficientnet-lite0": 8,
    }
    (tmp_path / "ids.json").write_text(json.dumps({f"edge/open/TEST-ONLY/{SYSTEM}/efficientnet-lite0": 3}))
    write_summary(report, round_v61(), tmp_path)
    assert {entry["ID"] for entry in json.loads((tmp_path / "summary_results.json").read_text())} == {"6.1-0003"}


def test_no_text_of_a_submission_becomes_a_formula(tree: TreeUnderTest, tmp_path: Path) -> None:
    tree.edit_json(tree.system_json, {"system_name": "=1+1", "hw_notes": "\x07=HYPERLINK(x)"})
    write_summary(check_tree(tree.root, round_v61()), round_v61(), tmp_path)
    page = load_workbook(tmp_path / "summary.xlsx").worksheets[0]
    formulas = [cell.value for row in page.iter_rows() for cell in row if cell.data_type == "f"]
    assert formulas
    assert all(str(formula).startswith('=HYPERLINK("https://github.com/') for formula in formulas)


def test_columns_are_typed_as_a_whole_and_texts_for_nothing_are_empty() -> None:
    common: JsonObject = dict.fromkeys(COLUMNS, "x")
    common |= {"Division": "closed", "host_processors_per_node": "2", "Units": "Samples/s", "Scenario": "Offline"}
    one: JsonObject = {"accelerators_per_node": "8", "host_processor_core_count": "2 (big); 4 (LITTLE)"}
    two: JsonObject = {"accelerators_per_node": "0", "host_processor_core_count": "64", "accelerator_model_name": "N/A"}
    rows = report_rows([common | one | {"Platform": "a"}, common | two | {"Platform": "b"}], round_v61(), {})
    assert [(row["a#"], row["p#"], row["host_processor_core_count"]) for row in rows] == [(8, 2, 2), ("", 2, "64")]
    assert [row["Accelerator"] for row in rows] == ["x", ""]
    assert len(merged(rows)) == 2
