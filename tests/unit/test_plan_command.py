"""`mlperf-ops plan`, `run` and `targets` as processes: what they print, write and exit with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.campaign.durations import shown_seconds
from mlperf_ops.files import read_json
from mlperf_ops.plan_model import Seconds
from mlperf_ops.runlock import acquire, current_owner
from tests.support.earlier import cell, leave_attempt, leave_host, plan

CHECKOUT = Path(__file__).parents[2]
GROUP_VARS = """---
mlperf_round: v6.1
mlperf_division: open
mlperf_submitter: Example
mlperf_home: /srv/mlperf
mlperf_system_type: edge
mlperf_test_query_count: 700
mlperf_benchmarks:
  - {benchmark: efficientnet-lite0, modes: [performance]}
"""
VARIABLES: dict[str, Any] = {
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "Example",
    "mlperf_home": "/srv/mlperf",
    "mlperf_system_type": "edge",
    "mlperf_test_query_count": 700,
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "modes": ["performance"]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory/lab/group_vars").mkdir(parents=True)
    (tmp_path / "inventory/lab/group_vars/all.yml").write_text(GROUP_VARS)
    (tmp_path / "inventory/lab/hosts.yml").write_text("all:\n  children:\n    sut:\n      hosts:\n        a:\n")
    return tmp_path


def mlperf_ops(
    folder: Path, *words: str, stdin: object = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlperf_ops", *words],
        cwd=folder,
        input=json.dumps(stdin) if stdin is not None else "",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "200", **(env or {})},
    )


def asked(folder: Path, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    return {
        "inventory": "inventory/lab",
        "inventory_dir": str(folder / "inventory/lab"),
        "hosts": {"a": VARIABLES | changes},
    }


def test_the_plan_is_written_once_and_a_second_time_nothing_changes(folder: Path) -> None:
    first = mlperf_ops(folder, "plan", "--vars", "-", "--json", stdin=asked(folder))
    assert first.returncode == 0, first.stderr
    path = folder / "results/lab/plan.json"
    answer = json.loads(first.stdout)
    assert answer["changed"] is True
    assert answer["path"] == str(path)
    assert answer["diff"] == {"before": "", "after": path.read_text()}
    assert answer["plan"] == read_json(path)
    written = path.stat().st_mtime_ns
    second = json.loads(mlperf_ops(folder, "plan", "--vars", "-", "--json", stdin=asked(folder)).stdout)
    assert second["changed"] is False
    assert path.stat().st_mtime_ns == written
    changed = mlperf_ops(folder, "plan", "--vars", "-", "--json", stdin=asked(folder, mlperf_test_query_count=64))
    diff = json.loads(changed.stdout)["diff"]
    assert "max_query_count = 700" in diff["before"]
    assert "max_query_count = 64" in diff["after"]


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = mlperf_ops(folder, "plan", "--vars", "-", "--dry-run", "--json", stdin=asked(folder))
    assert json.loads(done.stdout)["changed"] is True
    assert sorted(folder.rglob("*")) == before


def test_the_table_shows_what_is_there_and_what_is_missing(folder: Path) -> None:
    mlperf_ops(folder, "plan", "--vars", "-", "--results", "run", stdin=asked(folder))
    leave_host(folder / "run", "a", leave_attempt(folder / "run", cell(plan(), "Offline")))
    done = mlperf_ops(folder, "plan", "--vars", "-", "--results", "run", stdin=asked(folder))
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line.startswith("a/")}
    assert rows["a/efficientnet-lite0/Offline/performance"] == "have"
    assert rows["a/efficientnet-lite0/Server/performance"] == "missing"
    assert "round v6.1, open division, run style test: 1 have, 3 missing" in done.stdout
    assert "plan.json is up to date" in done.stderr
    outlook = json.loads(
        mlperf_ops(folder, "plan", "--vars", "-", "--results", "run", "--json", stdin=asked(folder)).stdout
    )["outlook"]
    assert [one["status"] for one in outlook] == ["missing", "missing", "missing", "have"]


def test_a_mistake_is_one_line_on_stderr_with_exit_code_2(folder: Path) -> None:
    done = mlperf_ops(folder, "plan", "--vars", "-", stdin=asked(folder, mlperf_benchmarks=[{"benchmark": "resnet5"}]))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "mlperf-ops: error: host a: mlperf_benchmarks[0].benchmark: unknown benchmark 'resnet5'"
    )
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        ([], "standard input holds a list; expected a JSON object"),
        ({"hosts": {}}, "expected the keys inventory (text), inventory_dir (text) and hosts (object) in --vars"),
        ({"inventory": "x", "inventory_dir": "x", "hosts": {"a": 1}}, "expected an object of variables for each host"),
    ],
)
def test_other_input_than_variables_is_refused(folder: Path, stdin: object, sentence: str) -> None:
    done = mlperf_ops(folder, "plan", "--vars", "-", stdin=stdin)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_results_of_another_round_are_kept(folder: Path) -> None:
    path = folder / "results/lab/plan.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"round": "v6.0"}\n')
    done = mlperf_ops(folder, "plan", "--vars", "-", stdin=asked(folder))
    assert done.returncode == 2
    assert "results/lab/plan.json belongs to round v6.0, and the inventory now says v6.1" in done.stderr
    assert path.read_text() == '{"round": "v6.0"}\n'


def test_two_plans_at_once_in_one_results_folder_are_refused(folder: Path) -> None:
    run = folder / "results/lab"
    with subprocess.Popen(["sleep", "30"]) as other:
        owner = current_owner(other.pid)
        while "sleep" not in owner.command:
            time.sleep(0.01)
            owner = current_owner(other.pid)
        acquire(run, me=owner)
        done = mlperf_ops(folder, "plan", "--vars", "-", stdin=asked(folder))
        other.kill()
    assert done.returncode == 6
    assert f"results/lab is in use by process {other.pid} (sleep 30)" in done.stderr
    assert not (run / "plan.json").exists()


def test_one_of_inventory_and_variables_is_needed(folder: Path) -> None:
    done = mlperf_ops(folder, "plan")
    assert done.returncode == 2
    assert "give one of --inventory and --vars" in done.stderr


def test_an_inventory_that_is_not_there_is_one_sentence(folder: Path) -> None:
    for verb in ("plan", "run", "targets"):
        done = mlperf_ops(folder, verb, "-i", "inventory/labb")
        assert done.returncode == 2, verb
        assert "there is no inventory at inventory/labb" in done.stderr


def test_run_shows_the_command_and_runs_it(folder: Path) -> None:
    done = mlperf_ops(folder, "run", "-i", "inventory/lab", "--style", "valid", "-e", "a=b", "--", "--version")
    assert done.returncode == 0, done.stderr
    shown = next(line for line in done.stderr.splitlines() if line.startswith("mlperf-ops: "))
    program, playbook, *rest = shown.removeprefix("mlperf-ops: ").split()
    assert program.endswith("ansible-playbook")
    assert playbook.endswith("run-inference.yml")
    assert rest == ["-i", "inventory/lab", "-e", "mlperf_run_style=valid", "-e", "a=b", "--version"]
    assert done.stdout.startswith("ansible-playbook [core ")


def test_run_in_check_mode_asks_for_a_diff_and_reports_as_json(folder: Path) -> None:
    done = mlperf_ops(folder, "run", "-i", "inventory/lab", "--check", "--json", "--", "--version")
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == 0
    assert answer["argv"][-3:] == ["--check", "--diff", "--version"]


def test_a_duration_that_is_not_known_is_counted_and_not_summed_as_nothing(folder: Path) -> None:
    targets = {"efficientnet-lite0": {"Offline": {"target_qps": 10}, "SingleStream": {"target_latency_ms": 5}}}
    done = mlperf_ops(folder, "plan", "--vars=-", stdin=asked(folder, mlperf_run_style="valid", mlperf_targets=targets))
    assert "expected: at least 56 min 55 s on a (1 cell of unknown duration)" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("a/efficientnet-lite0/Server/performance")]
    assert line.split()[1:] == ["missing", "unknown"]
    offline = {**asked(folder)["hosts"]["a"]["mlperf_benchmarks"][0], "scenarios": ["Server"]}
    alone = asked(folder, mlperf_run_style="valid", mlperf_benchmarks=[offline])
    assert "expected: 1 cell of unknown duration" in mlperf_ops(folder, "plan", "--vars=-", stdin=alone).stdout


def test_what_the_plan_as_a_whole_lacks_is_a_note(folder: Path) -> None:
    entry = {"benchmark": "efficientnet-lite0", "implementation": "dummy"}
    done = mlperf_ops(folder, "plan", "--vars=-", stdin=asked(folder, mlperf_benchmarks=[entry]))
    assert "note: 8 of 8 cells are simulated: implementation 'dummy' answers without a model" in done.stdout
    variables = folder / "inventory/lab/group_vars/all.yml"
    variables.write_text(GROUP_VARS.partition("mlperf_benchmarks:")[0] + "mlperf_benchmarks: []\n")
    empty = mlperf_ops(folder, "plan", "--vars=-", stdin=asked(folder, mlperf_benchmarks=[]))
    assert empty.returncode == 0
    assert "group_vars/all.yml:8: mlperf_benchmarks: the list is empty, so that host a has no cells" in empty.stdout
    assert "no cells" in empty.stdout.splitlines()[-1]
    remarks = json.loads(mlperf_ops(folder, "plan", "--vars=-", "--json", stdin=asked(folder)).stdout)["remarks"]
    assert remarks == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""),
        (Seconds(20.0, 22.0, ""), "20-22 s"),
        (Seconds(0.1, 0.1, ""), "0.1 s"),
        (Seconds(600.0, 660.0, ""), "10-11 min"),
        (Seconds(26.5, 203.0, ""), "26 s-3.4 min"),
        (Seconds(7200.0, 9000.0, ""), "2-2.5 h"),
    ],
)
def test_durations_are_shown_in_a_unit_for_people(seconds: Seconds | None, shown: str) -> None:
    assert shown_seconds(seconds) == shown
