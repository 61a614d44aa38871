"""What the doctor finds on power directors and measured hosts: one sentence and one remedy each."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.doctor.examine import script
from mlperf_ops.doctor.power import judge_power
from mlperf_ops.doctor.power_question import MINORS, PowerQuestion, power_question
from mlperf_ops.doctor.question import make_question
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.lab_vars import PowerAnalyzer
from tests.support.plugins import plugin

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 6, 1)
METER: JsonObject = {
    "director": "d1", "device_type": "WT310E", "device_port": "/dev/usbtmc0", "calibration_date": "2026-03-01",
}  # fmt: skip
WELL: dict[str, Any] = {
    "python": {"path": "/usr/bin/python3", "version": "3.11.2"},
    "knows_ntp": True,
    "clock": "",
    "measures": False,
    "ports": [],
    "devices": {"wt310": "there"},
    "ptdaemon": "",
}


def director(folder: Path, *, meter: JsonObject | None = None, **variables: Json) -> PowerQuestion:
    ptd = folder / "ptd"
    ptd.write_text("binary")
    given: JsonObject = {
        "mlperf_power_analyzers": {"wt310": {**METER, **(meter or {})}},
        "power_director_ptdaemon": str(ptd),
        "power_director_ptdaemon_sha256": hashlib.sha256(b"binary").hexdigest(),
        "time_sync_servers": ["10.0.0.9 iburst"],
    }
    asked = power_question("d1", {**given, **variables})
    assert asked is not None
    return asked


def said(asked: PowerQuestion, **facts: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401  # as JSON has it
    return list(judge_power(asked, {**WELL, **facts}, TODAY))


def test_a_director_that_is_well_has_no_finding(tmp_path: Path) -> None:
    asked = director(tmp_path)
    assert said(asked) == []
    assert (asked.ntp_server, asked.clock_limit_ms) == ("10.0.0.9", 100.0)
    assert asked.wanted()["ports"] == [4950, 8888]
    assert asked.wanted()["devices"] == [{"name": "wt310", "place": "/dev/usbtmc0", "is_address": False}]


def test_power_concerns_directors_and_measured_hosts_only() -> None:
    analyzers: JsonObject = {"mlperf_power_analyzers": {"wt310": METER}}
    assert power_question("other", analyzers) is None
    sut = power_question("sut1", {**analyzers, "mlperf_power_analyzer": "wt310", "power_sut_python": "python3.11"})
    assert sut is not None
    assert (sut.part, sut.python, sut.meters, sut.brought) == ("power_sut", "python3.11", (), ("", ""))
    assert power_question("sut1", {"mlperf_power_analyzers": "slip", "mlperf_power_analyzer": "wt310"}) is None


@pytest.mark.parametrize(
    ("facts", "severity", "sentence"),
    [
        ({"python": {"path": "", "seen": ["/usr/bin/python3 3.13.5"]}}, "blocks", "needs Python 3.7 to 3.12; found: /"),
        ({"knows_ntp": False}, "warns", "it does not know the service 'ntp'"),
        ({"clock": "the clock is 900 ms behind time server x"}, "warns", "the clock is 900 ms behind"),
        ({"ports": [8888]}, "blocks", "another program listens on port 8888"),
        ({"ports": [4950, 8888], "measures": True}, "note", "a measurement is going on"),
        ({"devices": {"wt310": "missing"}}, "warns", "wt310: there is no /dev/usbtmc0"),
    ],
)
def test_each_slip_of_a_director_is_one_finding_with_a_remedy(
    tmp_path: Path, facts: dict[str, Any], severity: str, sentence: str
) -> None:
    ((found, message, remedy),) = said(director(tmp_path), **facts)
    assert found == severity
    assert sentence in message
    assert bool(remedy) == (severity != "note")


def test_ptdaemon_on_the_controller_is_compared_with_its_pin(tmp_path: Path) -> None:
    ((severity, message, _),) = said(director(tmp_path, power_director_ptdaemon_sha256="0" * 64))
    assert severity == "blocks"
    assert "has sha256 9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd" in message
    assert [one[1] for one in said(director(tmp_path, power_director_ptdaemon_sha256=""))] == [
        "power_director_ptdaemon_sha256 is not set"
    ]
    assert "there is no file /nowhere" in said(director(tmp_path, power_director_ptdaemon="/nowhere"))[0][1]
    assert said(director(tmp_path, power_director_ptdaemon=""))[0][1] == "power_director_ptdaemon is not set"


@pytest.mark.parametrize(
    ("found", "severity", "sentence"),
    [("missing", "blocks", "there is no file /opt/ptd on it"), ("ab" * 32, "blocks", "/opt/ptd has sha256 abab")],
)
def test_ptdaemon_on_the_director_is_compared_too(tmp_path: Path, found: str, severity: str, sentence: str) -> None:
    asked = director(tmp_path, power_director_ptdaemon="/opt/ptd", power_director_ptdaemon_on="director")
    assert asked.wanted()["ptdaemon"] == "/opt/ptd"
    ((worst, message, _),) = said(asked, ptdaemon=found)
    assert worst == severity
    assert sentence in message
    assert said(asked, ptdaemon=asked.sha256) == []


def test_a_calibration_of_more_than_a_year_ago_is_told(tmp_path: Path) -> None:
    ((severity, message, _),) = said(director(tmp_path, meter={"calibration_date": "2025-03-01"}))
    assert severity == "warns"
    assert message.startswith("wt310 was calibrated on 2025-03-01, 457 days ago")


@pytest.mark.parametrize(
    ("meter", "place", "is_address"),
    [
        ({"interface_flag": "-y", "device_port": "10.0.0.7"}, "10.0.0.7", True),
        ({"interface_flag": "-y", "device_port": "C3UE12345E"}, "", False),
        ({"interface_flag": "-g", "device_port": "4"}, "", False),
    ],
)
def test_only_what_can_be_seen_is_looked_at(tmp_path: Path, meter: JsonObject, place: str, *, is_address: bool) -> None:
    (one,) = director(tmp_path, meter=meter).meters
    assert (one.place, one.is_address) == (place, is_address)
    if is_address:
        ((_, message, _),) = said(director(tmp_path, meter=meter), devices={"wt310": "silent"})
        assert message == "wt310: 10.0.0.7 does not answer"


def test_the_variables_of_a_run_lead_to_what_is_sent_and_this_machine_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ptd = tmp_path / "ptd"
        ptd.write_text("binary")
        meters: JsonObject = {
            "here": {**METER, "device_port": str(ptd), "network_port": port, "listen_port": 1},
            "gone": {**METER, "device_port": str(tmp_path / "usbtmc0"), "network_port": 2, "listen_port": 3},
            "net": {**METER, "interface_flag": "-y", "device_port": "127.0.0.1", "network_port": 4, "listen_port": 5},
        }
        variables: JsonObject = {
            "mlperf_power_analyzers": meters,
            "power_director_ptdaemon": str(ptd),
            "power_director_ptdaemon_on": "director",
            "power_director_python": sys.executable,
        }
        asked = make_question("d1", {"connection": "local", "address": ""}, variables, None)
        done = subprocess.run([sys.executable, "-"], input=script(asked), capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout.splitlines()[-1])["power"]
    assert facts["ports"] == [port]
    assert facts["devices"] == {"here": "there", "gone": "missing", "net": "there"}
    assert facts["ptdaemon"] == hashlib.sha256(b"binary").hexdigest()
    ours = sys.version_info[1]
    assert bool(facts["python"]["path"]) == (ours <= 12)
    assert facts["clock"] == ""


def test_a_host_without_power_is_sent_nothing_of_it() -> None:
    assert "def knows_ntp" not in script(make_question("h", {"connection": "local", "address": ""}, {}, None))


def test_doctor_and_role_agree_which_python_power_dev_starts_with() -> None:
    software: Any = plugin("module_utils.power_software")
    assert tuple((3, minor) for minor in MINORS) == (software.OLDEST, software.NEWEST)


def test_doctor_takes_the_defaults_of_the_inventory_and_of_the_roles(tmp_path: Path) -> None:
    fields = PowerAnalyzer.model_fields
    asked = director(tmp_path)
    assert asked.meters[0].ports == (fields["listen_port"].default, fields["network_port"].default)
    for role in ("power_director", "power_sut"):
        defaults = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
        assert defaults[f"{role}_clock_limit_ms"] == asked.clock_limit_ms
