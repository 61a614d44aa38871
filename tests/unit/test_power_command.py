"""`mlperf-ops power` as users call it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.cli import main
from mlperf_ops.power_check.official import read_output
from tests.support.attempts import RealLogs
from tests.support.power_trees import measure, seal
from tests.support.submission_trees import TreeUnderTest, edit_log, good_tree


def power(*arguments: str | Path) -> int:
    """Return the exit code."""
    try:
        main(["power", *(str(argument) for argument in arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> TreeUnderTest:
    tree = good_tree(tmp_path_factory.mktemp("power") / "tree", real_logs)
    measure(tree)
    measure(tree, "SingleStream")
    return tree


@pytest.fixture
def tree(made: TreeUnderTest, tmp_path: Path) -> TreeUnderTest:
    shutil.copytree(made.root, tmp_path / "tree")
    return TreeUnderTest(tmp_path / "tree", made.division, made.benchmark)


def folder_of(tree: TreeUnderTest) -> Path:
    return tree.performance("Offline").parents[1]


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_a_tree_that_nobody_rejects_ends_with_zero(made: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    assert power("check", made.root, "--round", "v6.1") == 0
    shown = capsys.readouterr().out.splitlines()
    place = folder_of(made).relative_to(made.root).as_posix()
    assert shown[0] == f"{place}: nobody rejects, 99.5 W on average over 610 s"
    assert shown[-1] == "2 measurements by the rules of v6.1: nobody rejects"


@pytest.mark.parametrize("inside", [0, 1, 2])
def test_a_performance_folder_or_any_folder_around_it_may_be_named(
    made: TreeUnderTest, inside: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = [folder_of(made), *folder_of(made).parents][inside]
    assert power("check", folder, "--json") == 0
    said = answer(capsys)
    assert (said["verdict"], said["round"], len(said["measurements"])) == ("accepted", "v6.1", 1 + (inside > 1))


def test_a_finding_is_shown_with_verdict_place_and_remedy(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    spl = folder_of(tree) / "run_1/spl.txt"
    spl.write_text(spl.read_text().replace("Watts,99.", "Watts,98.", 1))
    assert power("check", folder_of(tree)) == 1
    shown = capsys.readouterr().out
    assert "  the official checker rejects: run_1/spl.txt was changed after the measurement, or is of another" in shown
    assert "[power-digests]\n    in run_1/spl.txt: found " in shown
    assert "\n    Put in the files as the measurement left them.\n" in shown
    assert shown.endswith("1 measurement by the rules of v6.1: 1 rejected\n")
    assert power("check", folder_of(tree), "--json") == 1
    (row,) = answer(capsys)["measurements"]
    (finding,) = row["findings"]
    assert (finding["rule"], finding["severity"], finding["file"]) == ("power-digests", "official", "run_1/spl.txt")


def test_advice_rejects_nothing(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    spl = folder_of(tree) / "run_1/spl.txt"
    lines = spl.read_text().splitlines(keepends=True)
    spl.write_text("".join(lines[:99] + lines[102:]))
    seal(folder_of(tree))
    assert power("check", folder_of(tree)) == 0
    assert "advice: no reading for 4.0 s during the run" in capsys.readouterr().out


def test_the_meter_of_the_inventory_must_be_the_one_that_measured(
    tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder_of(tree) / "power/server.json"
    path.write_text(path.read_text().replace("1,1,1,0,0", "1,1,1,0,0,no_cal_date,YOKOGAWA;WT310E;C2;F1.04"))
    given = ("--model", "wt310e", "--firmware", "1.04", "--serial", "C2")
    assert power("check", folder_of(tree), *given) == 0
    assert power("check", folder_of(tree), *given[:2], "--firmware", "1.03") == 1
    assert "the meter that measured is not the one of the inventory: firmware differs" in capsys.readouterr().out
    assert power("check", folder_of(tree), "--model", "WT330", "--serial", "C3") == 1
    shown = capsys.readouterr().out
    assert "the inventory: model, serial differ [power-meter]" in shown
    assert "found model WT310E, serial C2, expected model WT330, serial C3" in shown


def test_metrics_are_the_published_ones(made: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    tree = made.root
    assert power("metrics", tree, "--json") == 0
    rows = {row["scenario"]: row for row in answer(capsys)["measurements"]}
    offline, single = rows["Offline"], rows["SingleStream"]
    assert (offline["value"], offline["unit"]) == (pytest.approx(99.5), "Watts")
    assert offline["efficiency"] == pytest.approx(offline["performance"] / 99.5)
    assert offline["efficiency_unit"] == "Samples/s/W"
    assert offline["energy_joules"] == pytest.approx(99.5 * 610)
    assert single["unit"] == "millijoules"
    assert single["efficiency"] == pytest.approx(1000 / single["value"])
    assert single["efficiency_unit"] == "samples/J"
    assert power("metrics", tree) == 0
    assert "99.5 Watts" in capsys.readouterr().out


def test_a_number_that_is_missing_is_explained(tree: TreeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    edit_log(folder_of(tree) / "run_1/mlperf_log_detail.txt", {"power_end": "soon"})
    assert power("metrics", folder_of(tree)) == 1
    shown = capsys.readouterr()
    assert "unknown" in shown.out
    assert "the log's power times cannot be read" in shown.err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nothing", "is no folder"),
        (".", "holds no power measurement: expected folders power/, ranging/ and run_1/"),
    ],
)
def test_a_wrong_folder_is_one_sentence(
    tmp_path: Path,
    name: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for verb in ("check", "metrics"):
        assert power(verb, tmp_path / name) == 2
        assert expected in capsys.readouterr().err


def test_the_folder_inside_a_measurement_points_to_the_right_one(
    made: TreeUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power("check", folder_of(made) / "power") == 2
    assert f"did you mean '{folder_of(made)}'?" in capsys.readouterr().err


def test_a_checkout_that_is_none_is_said_first(
    made: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power("check", made.root, "--official-checker", tmp_path) == 2
    assert "has no tools/submission/power/power_checker.py; expected a checkout" in capsys.readouterr().err


def checkout(folder: Path, lines: tuple[str, ...], code: int) -> Path:
    """A checkout whose checker prints these lines: for how its words are shown."""
    script = folder / "tools/submission/power/power_checker.py"
    script.parent.mkdir(parents=True)
    script.write_text(f"import sys\nsys.stderr.write({chr(10).join(lines) + chr(10)!r})\nsys.exit({code})\n")
    return folder


def test_the_official_verdict_counts_and_is_shown_check_by_check(
    made: TreeUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ("INFO:main:[x] Check UUID", "ERROR:main:[ ] Check time difference", "ERROR:main:\t900 ms apart", "")
    given = checkout(tmp_path, lines, 1)
    assert power("check", folder_of(made), "--official-checker", given) == 1
    shown = capsys.readouterr().out
    assert "official power_checker.py: 1 of 2 checks pass" in shown
    assert "fails: Check time difference: 900 ms apart" in shown
    assert power("check", folder_of(made), "--official-checker", given, "--json") == 1
    (row,) = answer(capsys)["measurements"]
    assert row["findings"] == []
    assert row["official"]["accepted"] is False


def test_a_traceback_of_the_official_checker_is_no_pass() -> None:
    said = read_output("Traceback (most recent call last):\n  x\nKeyError: 'phases'\n", 1)
    assert (said.accepted, said.problem) == (False, "KeyError: 'phases'")
    inside = read_output(
        "ERROR:main:[ ] Check UUID\nTraceback (most recent call last):\n  x\nKeyError: 'uuid'\nERROR:main:Unhandled\n",
        1,
    )
    assert inside.checks[0].note == "KeyError: 'uuid'"
