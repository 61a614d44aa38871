from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mlperf_ops import cli
from mlperf_ops.collected import read_collection
from mlperf_ops.errors import ConfigError
from mlperf_ops.plan_model import CollectedCell
from mlperf_ops.targets import HEADER, measured, merged, write
from tests.support.earlier import cell, leave_attempt, leave_host, plan, taint

OFFLINE = {"result_samples_per_second": 212.34567}
STREAM = {"result_mean_latency_ns": 5_432_100}
MULTI = {"result_mean_latency_ns": 1, "result_mean_query_latency_ns": 39_000_000}


def leave_results(run: Path) -> None:
    made = plan()
    leave_host(
        run,
        "a",
        leave_attempt(run, cell(made, "Offline"), fields=OFFLINE),
        leave_attempt(run, cell(made, "SingleStream"), fields=STREAM),
        leave_attempt(run, cell(made, "MultiStream"), fields=MULTI),
        leave_attempt(run, cell(made, "Server"), fields={"result_completed_samples_per_sec": 35.0}),
    )


def test_targets_are_read_off_the_results_and_server_is_a_share_of_offline(tmp_path: Path) -> None:
    leave_results(tmp_path)
    assert measured(read_collection(tmp_path).earlier) == {
        "a": {
            "efficientnet-lite0": {
                "Offline": {"target_qps": 212.35},
                "Server": {"target_qps": 31.852},
                "SingleStream": {"target_latency_ms": 5.4321},
                "MultiStream": {"target_latency_ms": 39.0},
            }
        }
    }


def test_the_raw_log_answers_where_the_result_does_not(tmp_path: Path) -> None:
    held = leave_attempt(tmp_path, cell(plan(), "Offline"))
    leave_host(tmp_path, "a", held)
    line = (
        ':::MLLOG {"key": "result_samples_per_second", "value": 77.5, "time_ms": 0.1, "namespace": "mlperf::logging", '
    )
    line += '"event_type": "POINT_IN_TIME", "metadata": {"is_error": false, "is_warning": false}}\n'
    (tmp_path / "hosts/a" / held.path / "mlperf_log_detail.txt").write_text(line)
    found = measured(read_collection(tmp_path).earlier)
    assert found["a"]["efficientnet-lite0"]["Offline"] == {"target_qps": 77.5}


def attempts(run: Path) -> list[CollectedCell]:
    multistream = cell(plan(), "MultiStream")
    return [
        leave_attempt(run, cell(plan(), "Offline"), verdict="invalid", fields={"result_samples_per_second": 1.0}),
        leave_attempt(run, cell(plan(), "SingleStream"), simulated=True, fields={"result_mean_latency_ns": 1.0}),
        taint(run, "a", leave_attempt(run, multistream, fields={"result_mean_query_latency_ns": 1.0}), "hot"),
    ]


def test_invalid_simulated_and_tainted_results_teach_nothing(tmp_path: Path) -> None:
    leave_host(tmp_path, "a", *attempts(tmp_path))
    assert measured(read_collection(tmp_path).earlier) == {}


def test_a_full_run_counts_more_than_a_later_short_one(tmp_path: Path) -> None:
    full = leave_attempt(
        tmp_path, cell(plan(run_style="valid"), "Offline"), fields={"result_samples_per_second": 200.0}
    )
    later = leave_attempt(
        tmp_path,
        cell(plan(), "Offline"),
        fields={"result_samples_per_second": 300.0},
        started_at="2026-11-23T00:00:00Z",
    )
    leave_host(tmp_path, "a", full, later)
    found = measured(read_collection(tmp_path).earlier)
    assert found["a"]["efficientnet-lite0"]["Offline"] == {"target_qps": 200.0}


def test_the_written_file_is_what_the_plan_reads(tmp_path: Path) -> None:
    leave_results(tmp_path / "run")
    made = merged(tmp_path / "lab", measured(read_collection(tmp_path / "run").earlier), renew=False)
    (path,) = write(made)
    assert path == tmp_path / "lab/host_vars/a/measured_targets.yml"
    assert path.read_text().startswith(HEADER)
    learned = yaml.safe_load(path.read_text())["mlperf_measured_targets"]
    planned = plan(run_style="valid", measured_targets=learned)
    request = cell(planned, "Offline").request
    assert request is not None
    assert "target_qps = 214.4735\n" in str(request["loadgen"]["user_conf"])  # type: ignore[index,call-overload]
    assert all(one.expected is not None for one in planned.cells)
    assert all(one.notes == () for one in planned.cells)


def test_learning_again_keeps_what_is_known_unless_asked(tmp_path: Path) -> None:
    leave_results(tmp_path / "run")
    found = measured(read_collection(tmp_path / "run").earlier)
    write(merged(tmp_path, found, renew=False))
    assert not merged(tmp_path, found, renew=True)[0].changed
    faster = {
        "a": {"efficientnet-lite0": {"Offline": {"target_qps": 500.0}}, "resnet50": {"Offline": {"target_qps": 9.0}}}
    }
    kept = merged(tmp_path, faster, renew=False)[0]
    assert kept.changed
    assert kept.targets["efficientnet-lite0"]["Offline"] == {"target_qps": 212.35}
    assert kept.targets["resnet50"]["Offline"] == {"target_qps": 9.0}
    assert merged(tmp_path, faster, renew=True)[0].targets["efficientnet-lite0"]["Offline"] == {"target_qps": 500.0}


def test_a_file_of_the_users_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "host_vars/a/measured_targets.yml"
    path.parent.mkdir(parents=True)
    path.write_text("mlperf_measured_targets: {}\n")
    with pytest.raises(ConfigError, match="was not written by mlperf-ops targets and is left alone"):
        merged(tmp_path, {"a": {"resnet50": {"Offline": {"target_qps": 1.0}}}}, renew=True)
    assert path.read_text() == "mlperf_measured_targets: {}\n"


@pytest.mark.parametrize("name", ["a", "a.yml", "a.yaml", "a.json"])
def test_a_file_that_ansible_would_no_longer_read_keeps_the_targets_from_being_written(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "host_vars").mkdir()
    path = tmp_path / "host_vars" / name
    path.write_text("mlperf_system: fast\n")
    made = merged(tmp_path, {"a": {"resnet50": {"Offline": {"target_qps": 1.0}}}}, renew=False)
    with pytest.raises(ConfigError, match="Ansible would no longer read it beside the folder"):
        write(made)
    assert [one.name for one in (tmp_path / "host_vars").iterdir()] == [name]
    path.rename(tmp_path / "main.yml")
    (tmp_path / "host_vars/a").mkdir()
    (tmp_path / "main.yml").rename(tmp_path / "host_vars/a/main.yml")
    assert write(made) == (tmp_path / "host_vars/a/measured_targets.yml",)


def test_the_command_finds_the_results_of_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = tmp_path / "inventory/lab"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "group_vars/all.yml").write_text("mlperf_run_id: autumn\n")
    leave_results(tmp_path / "results/autumn")
    for changed in (True, False):
        with pytest.raises(SystemExit) as ended:
            cli.main(["targets", "-i", "inventory/lab", "--write", "--json"])
        assert ended.value.code in (0, None)
        assert json.loads(capsys.readouterr().out)["changed"] is changed
    assert (inventory / "host_vars/a/measured_targets.yml").is_file()


def test_without_results_the_command_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "mlperf_ops", "targets", "-i", "lab"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.strip() == (
        "mlperf-ops: error: results/lab holds no valid SingleStream, MultiStream or Offline performance result "
        "(mlperf-ops run -i lab --style test measures them)"
    )
