"""Measured cells as functions: what the plan makes of an analyzer, the director's script, the pages, who holds what."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from mlperf_ops.checker.power import _problems
from mlperf_ops.checker.table import _supplies_watts
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import JsonObject, write_json
from mlperf_ops.harness import power_cell
from mlperf_ops.harness.clock import clock_problem
from mlperf_ops.harness.failures import CellError
from mlperf_ops.plan_model import Plan, PlannedCell
from mlperf_ops.power import director_side
from mlperf_ops.power.documents import analyzer_table, nameplate, power_settings
from mlperf_ops.power.holders import calibration_of, status_of
from mlperf_ops.power.inventory import Analyzer, Use, from_plan
from mlperf_ops.power.session import Session, read_answer, script, session_of
from tests.unit.test_power_inventory import LAB, METERS, USE, planned

TODAY = date(2026, 11, 28)


def performance(plan: Plan) -> PlannedCell:
    return next(one for one in plan.cells if one.cell.mode == "performance")


# --- the plan --------------------------------------------------------------------------------------------------------


def test_without_an_analyzer_a_cell_is_what_it_was(tmp_path: Path) -> None:
    with_one = performance(planned(tmp_path)[0])
    without = performance(planned(tmp_path, LAB)[0])
    unused = performance(planned(tmp_path, LAB + METERS)[0])
    assert without.request is not None
    assert with_one.request is not None
    assert "power" not in without.request
    assert without.request == unused.request
    assert {key: value for key, value in with_one.request.items() if key != "power"} == without.request
    assert with_one.request_sha256 != without.request_sha256


def test_only_performance_is_measured_and_another_channel_is_another_cell(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path)
    assert {one.cell.mode for one in plan.cells if one.request and "power" in one.request} == {"performance"}
    hosts: JsonObject = {"sut1": {"mlperf_power_analyzer": {"name": "wt333", "channel": 2}}}
    other = performance(planned(tmp_path, hosts=hosts)[0])
    assert other.request is not None
    assert cast("Any", other.request["power"])["instance"] == "wt333:2"
    assert other.request_sha256 != performance(plan).request_sha256


def test_ranging_of_a_valid_run_is_short_and_testing_is_not(tmp_path: Path) -> None:
    text = LAB.replace("[Offline]", "[SingleStream]") + "mlperf_run_style: valid\n" + METERS + USE
    targets = "mlperf_targets: {efficientnet-lite0: {SingleStream: {target_latency: 10}}}\n"
    cell = performance(planned(tmp_path, text + targets)[0])
    request: Any = cell.request
    assert ".min_duration = 300000\n" in request["power"]["ranging_conf"]
    assert request["power"]["ranging_expect"]["effective_min_duration_ms"] == 300_000
    assert "min_duration" not in request["loadgen"]["user_conf"]
    assert request["loadgen"]["expect"]["effective_min_duration_ms"] == 600_000
    assert cell.expected is not None
    assert cell.expected.low > 600 + 300
    assert cell.expected.why.endswith(", after ranging")


# --- the director's server -------------------------------------------------------------------------------------------


def test_the_session_names_every_server_that_would_use_the_analyzer(tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401
    hosts: JsonObject = {
        "sut1": {"mlperf_power_analyzer": "wt333"},
        "sut2": {"mlperf_system": "other", "mlperf_power_analyzer": {"name": "wt333", "channel": 2}},
    }
    lab = from_plan(planned(tmp_path, hosts=hosts)[0].power)
    session = session_of(lab, "sut2", Access("local", ""), 100)
    asked: list[Any] = []

    def ask(_: Session, *words: Any) -> str:  # noqa: ANN401  # of Session._ask
        asked.append(words)
        return ""

    monkeypatch.setattr(Session, "_ask", ask)
    assert session.start() == ""
    assert session.stop() == ""
    (start, told, _), (stop, stopped, _) = asked
    assert (start, stop) == ("start", "stop")
    assert told["instance"] == stopped["instance"] == "wt333:2"
    assert told["others"] == ["wt333", "wt333:2"]
    assert told["ports"] == [4950, 8888]


def test_the_script_of_a_director_runs_and_answers(tmp_path: Path) -> None:
    told: JsonObject = {"instance": f"none{tmp_path.name}", "ports": [1], "others": [], "clock_limit_ms": 100}
    text = script(Access("local", "", python=sys.executable), "start", told).replace("sudo -n", "env")
    done = subprocess.run(["/bin/sh", "-s"], input=text, capture_output=True, text=True, check=False)
    assert "run the provisioning (playbooks/power.yml)" in read_answer(done.stdout), done
    assert read_answer("motd\nsudo: a password is required\n").startswith("its server needs root, and sudo without")
    assert read_answer("") == "its server cannot be started: it said nothing"


def test_listening_reads_the_kernels_table(tmp_path: Path) -> None:
    net = tmp_path / "net"
    net.mkdir()
    head = "  sl  local_address rem_address   st\n"
    (net / "tcp").write_text(f"{head}   0: 0100007F:22B8 00000000:0000 0A x\n   1: 0100007F:1356 0100007F:0001 01 x\n")
    assert director_side.listening(str(tmp_path)) == {0x22B8}


# --- the host --------------------------------------------------------------------------------------------------------


def test_a_time_server_without_a_name_is_a_sentence() -> None:
    assert clock_problem("nobody.invalid", 100).startswith("time server nobody.invalid: ")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("client 2026 [CRITICAL] Could not connect to the server 10.0.0.1:4950 [Errno 111]", "power_server"),
        ("x [WARNING] a\nx [ERROR] Could not synchronize with the server\nx [CRITICAL] other", "power_clock"),
        ("x [CRITICAL] The server is disconnected", "power_server"),
        ("x [ERROR] something new", "power_client"),
        ("", "power_client"),
    ],
)
def test_the_clients_last_words_are_a_kind_of_failure(tmp_path: Path, said: str, kind: str) -> None:
    (tmp_path / "console.log").write_text(said)
    with pytest.raises(CellError) as caught:
        power_cell.end(tmp_path, 1)
    assert caught.value.kind == kind
    if kind == "power_client" and said:
        assert "something new" in caught.value.message


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("returned non-zero exit status 70.", 70),
        ("died with <Signals.SIGKILL: 9>.", -9),
        ("returned non-zero exit status 137.", -9),
    ],
)
def test_the_workloads_own_end_is_told_through_the_client(tmp_path: Path, said: str, code: int) -> None:
    (tmp_path / "console.log").write_text(f"subprocess.CalledProcessError: Command 'x' {said}\n")
    assert power_cell.end(tmp_path, 1) == code


def test_state_of_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    write_json(tmp_path / "state" / "power.json", {"schema": 1, "python": {"path": "p"}})
    with pytest.raises(CellError, match="is of another version"):
        power_cell.client_of(tmp_path)


# --- what people read ------------------------------------------------------------------------------------------------


def meter(tmp_path: Path) -> Analyzer:
    return from_plan(planned(tmp_path)[0].power).analyzer("wt333")


def test_the_analyzer_table_says_what_the_inventory_says(tmp_path: Path) -> None:
    text = analyzer_table([(replace(meter(tmp_path), notes="a | b"), Use("wt333", "2"))], "YokogawaWT330E,1000")
    assert "| Model | WT333E |" in text
    assert "| Channels used | 2 |" in text
    assert "| Number of channels used | 1 |" in text
    assert "| Notes | a \\| b |" in text
    assert "    YokogawaWT330E,1000\n" in text
    several = analyzer_table([(meter(tmp_path), Use("wt333", "1,3"))], "")
    assert "| Number of channels used | 3 |" in several


def test_power_settings_are_what_the_host_showed() -> None:
    before = {
        "policies": {"policy0": {"governor": "performance", "max_khz": 3000000, "current_khz": 1}},
        "switches": {"sys/devices/system/cpu/smt/control": "on"},
        "knobs": {"governor/policy0": "performance", "sysctl vm.swappiness": None},
    }
    text = power_settings(before, {"governor": "performance"})
    assert "| governor | performance |" in text
    assert "| governor/policy0 | performance |" in text
    assert "| sysctl vm.swappiness | cannot be read |" in text
    assert "current_khz" not in text
    assert "Nothing: the system ran" in power_settings({}, {})


def test_who_holds_an_analyzer_and_who_waits(tmp_path: Path) -> None:
    hosts: JsonObject = {"sut1": {}, "sut2": {"mlperf_system": "other"}}
    lab = from_plan(planned(tmp_path, hosts=hosts)[0].power)
    claim = {"host": "sut1", "cell": "sut1/b/Offline/performance", "controller": "me@here", "held_seconds": 34.2}
    waits = {"host": "sut2", "cell": "other/b/Offline/performance", "controller": "me@here"}
    found = {one.name: one for one in status_of(lab, {"wt333": {"holder": claim, "queue": [waits]}}, {}, TODAY)}
    held = found["wt333"]
    assert (held.state, held.measures) == ("held", ("sut1 (channel 1)", "sut2 (channel 1)"))
    assert held.holder == "sut1 (sut1/b/Offline/performance, of me@here) since 34 s"
    assert held.blocked == ("other/b/Offline/performance on sut2: blocked (on wt333, held by sut1, since 34 s)",)
    assert (held.calibration, held.calibrated) == ("2026-03-01, good for 93 more days", True)
    assert (found["wt310"].state, found["wt310"].measures, found["wt310"].calibrated) == ("free", (), None)
    lost = status_of(lab, {}, {"wt333": "director1 does not answer"}, TODAY)
    assert [one.state for one in lost if one.name == "wt333"] == ["unknown"]


def test_an_overdue_calibration_is_said(tmp_path: Path) -> None:
    assert calibration_of(replace(meter(tmp_path), calibration_date="2025-11-27"), TODAY) == (
        "2025-11-27, overdue by 1 day",
        False,
    )


def test_power_supplies_become_the_nameplate(tmp_path: Path) -> None:
    text = "mlperf_power_supplies: {needed: 1, supplies: [{name: PSU1, watts: 1600}, {name: PSU2, watts: 2000}]}\n"
    (host,) = planned(tmp_path, LAB + METERS + USE + text)[0].hosts
    assert host.power_supplies is not None
    written: Any = yaml.safe_load(nameplate("sut1", host.power_supplies))
    assert written == {
        "sut1": {
            "PSUs": [{"Name": "PSU1", "PowerCapacityWatts": 1600.0}, {"Name": "PSU2", "PowerCapacityWatts": 2000.0}],
            "Min PSUs Needed": 1,
        }
    }
    assert list(_problems(written)) == []
    assert _supplies_watts(written) == 2000.0
    assert planned(tmp_path)[0].hosts[0].power_supplies is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{needed: 3, supplies: [{name: a, watts: 1}]}", "needed is 3, and there are 1 supplies"),
        ("{needed: 1, supplies: [{name: a, wats: 1}]}", "unknown key 'wats'"),
        ("{needed: 1, supplies: []}", "expected a list that is not empty"),
    ],
)
def test_power_supplies_that_cannot_be_are_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        planned(tmp_path, f"{LAB}{METERS}{USE}mlperf_power_supplies: {text}\n")
