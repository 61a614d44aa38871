"""Measured cells on real hosts: a director, two SUTs that share its analyzer, real LoadGen, chrony and systemd.

PTDaemon is a stand-in, so nothing of it can be submitted. Client and server are a double, as the test's name says, and
once more the official ones where MLPERF_POWER_DEV_CHECKOUT names a checkout of mlcommons/power-dev at the pinned
commit; that is slow, as their pauses take forty seconds. MLPERF_INFERENCE_CHECKOUT lets the official power checker
judge the result. `make lab-faults` runs all of it, `make test-lab` what is not slow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.power_check import FILES, check_measurement, read_measurement
from mlperf_ops.power_check.official import power_checker, run_power_checker
from mlperf_ops.simulated import build
from tests.lab import Host, Lab
from tests.power_sim import repository as double
from tests.power_sim import sntp
from tests.power_sim.flow import DAEMON
from tests.support.controllers import Controller
from tests.support.playbooks import Played

pytestmark = [pytest.mark.lab, pytest.mark.network]

_HOME = "root/mlperf"
_UNIT = "mlperf-power@wt310.service"
_CONF = "/etc/mlperf-power/wt310.conf"
SNTP = Path(sntp.__file__)
_OFFICIAL, _DOUBLE = "official power-dev", "a double of power-dev"
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")


class Site:
    """A director, two SUTs that share its analyzer, and a controller."""

    def __init__(self, lab: Lab, folder: Path, hosts: tuple[Host, Host, Host], software: str, **changes: Json) -> None:
        self.director, self.one, self.other = hosts
        self.lab, self.software = lab, software
        self.controller = Controller(lab, folder, hosts, "power", ansible_user="root")
        written = (self.controller.inventory / "hosts.yml").read_text()
        self.variables: JsonObject = yaml.safe_load(written)["all"]["vars"]
        ptd = folder / "ptd-stand-in"
        # A steady load, as the machine of the tests does other things beside it.
        steady = DAEMON.read_text().replace("watts: float = 0.0", "watts: float = 100.0")
        ptd.write_text(steady.replace("NOT-A-METER;0;F0.0", "WT310;SIM-1;F1.04"))
        meter: JsonObject = {
            "director": self.director.name,
            "device_type": 49,
            "device_port": "/dev/usbtmc0",
            "model": "WT310",
            "serial_number": "SIM-1",
            "calibration_date": "2026-03-01",
            "wiring": "1P2W",
        }
        benchmark: JsonObject = {"benchmark": "efficientnet-lite0", "scenarios": ["SingleStream"]}
        supplies: JsonObject = {"needed": 1, "supplies": [{"name": "PSU1", "watts": 500}]}
        self.variables |= {
            "ansible_user": "root",
            "mlperf_home": "/root/mlperf",
            "mlperf_submitter": "TEST-ONLY",
            "mlperf_test_query_count": 150,
            "mlperf_benchmarks": [benchmark],
            "mlperf_power_analyzers": {"wt310": meter},
            "mlperf_power_supplies": supplies,
            "host_packages_extra": ["netbase"],
            "power_director_ptdaemon": str(ptd),
            "power_director_ptdaemon_sha256": hashlib.sha256(ptd.read_bytes()).hexdigest(),
            "power_director_listen_address": self.director.address,
            "power_director_cache": str(folder / "cache"),
            "power_sut_cache": str(folder / "cache"),
            "time_sync_servers": [self.director.address],
            **changes,
        }
        self.write()

    def write(self, **changes: Json) -> None:
        """Write the inventory."""
        reached = {host.name: {"ansible_host": host.address} for host in (self.director, self.one, self.other)}
        serves: JsonObject = {
            "time_sync_servers": [],
            "time_sync_allow": ["10.77.0.0/16"],
            "time_sync_local_stratum": 8,
            "power_director_ntp_server": self.director.address,
        }
        asks: JsonObject = {"time_sync_local_stratum": 0, "mlperf_power_analyzer": "wt310"}
        suts = {host.name: {**reached[host.name], **asks} for host in (self.one, self.other)}
        children = {
            "sut": {"hosts": suts},
            "power_directors": {"hosts": {self.director.name: {**reached[self.director.name], **serves}}},
        }
        tree = {"all": {"vars": {**self.variables, **changes}, "children": children}}
        (self.controller.inventory / "hosts.yml").write_text(yaml.safe_dump(tree))

    def attempts(self, host: Host) -> list[Path]:
        """Return the attempts of a host's measured cell that ended."""
        cells = (host.root / _HOME / "runs").glob("*/*/*/*/performance/*/attempt_*/result.json")
        return sorted(path.parent for path in cells)

    def ops(self, *words: str) -> str:
        """Run a verb on the controller."""
        argv = [sys.executable, "-m", "mlperf_ops", *words]
        return str(self.lab.run(argv, cwd=self.controller.folder).stdout)

    def left_behind(self) -> str:
        """Return what still runs of a measurement, on any host."""
        look = "ps -eo args | grep -e ptd_client_server -e /ptd/ -e power_phase | grep -v grep; :"
        return "".join(host.exec(look).stdout for host in (self.director, self.one, self.other))


def words(played: Played) -> str:
    return re.sub(r"\s+", " ", played.output)


def until(condition: Any, seconds: float = 60) -> None:  # noqa: ANN401  # a call
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module", params=[pytest.param(_OFFICIAL, marks=pytest.mark.slow), _DOUBLE])
def site(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("power")
    patch = pytest.MonkeyPatch()
    if request.param == _OFFICIAL:
        checkout = os.environ.get("MLPERF_POWER_DEV_CHECKOUT", "")
        if not checkout:
            pytest.skip("set MLPERF_POWER_DEV_CHECKOUT to a checkout of mlcommons/power-dev")
        changes: JsonObject = {"mlperf_power_checkout": checkout}
        if CHECKOUT:
            changes["mlperf_inference_checkout"] = CHECKOUT
    else:
        _, catalogue = double.make(folder)
        patch.setenv("MLPERF_OPS_CATALOGUE", str(catalogue))
        changes = {"mlperf_round": double.ROUND}
    director, one, other = lab.add([(None, None), (None, None), (None, None)])
    yield Site(lab, folder, (director, one, other), str(request.param), **changes)
    patch.undo()
    for host in (director, one, other):
        lab.remove(host)


@pytest.fixture(scope="module")
def first_run(site: Site) -> Played:
    played = site.controller.play()
    assert [played.recap[host.name]["failed"] for host in (site.director, site.one, site.other)] == [0, 0, 0], (
        played.output
    )
    return played


def sessions(site: Site) -> list[tuple[float, float]]:
    """Return begin and end of every measurement by its own client, in the order of their begin."""
    found = []
    for host in (site.one, site.other):
        for attempt in site.attempts(host):
            phases: Any = read_json(attempt / "power" / "client.json")["phases"]
            stamps = [float(stamp[0]) for phase in ("ranging", "testing") for stamp in phases[phase]]
            found.append((min(stamps), max(stamps)))
    return sorted(found)


def test_two_suts_that_share_an_analyzer_are_measured_one_after_the_other(site: Site, first_run: Played) -> None:
    (first_begin, first_end), (second_begin, second_end) = sessions(site)
    assert first_begin < first_end < second_begin < second_end
    assert "waits for wt310 behind " in words(first_run)
    assert site.left_behind() == ""
    assert "power: 100" in words(first_run) or "power: 99.9" in words(first_run), first_run.output
    rejected = re.findall(r"power, rejected: (\w+ \w+)", words(first_run))
    assert rejected.count("the readings") == 2, "the stand-in is named"
    assert set(rejected) <= {"the readings", "ranging took"}, "in seconds other work shows, and nothing else"


def test_the_measurements_come_to_the_controller_whole(site: Site, first_run: Played) -> None:
    assert first_run.recap
    round_ = load_catalogue().round("v6.1")
    for host in (site.one, site.other):
        (attempt,) = (site.controller.run / "hosts" / host.name).glob("*/*/performance/*/attempt_1")
        assert all((attempt / name).is_file() for name in FILES)
        assert not (attempt / "run_1" / "ptd_out.txt").exists()
        found = {one.subject for one in check_measurement(read_measurement(attempt), round_)}
        own = {"sources"} if site.software == _DOUBLE else set()  # the true round's
        assert found == {"simulated", "duration"} | own, found
        if CHECKOUT and site.software == _OFFICIAL:
            told = run_power_checker(power_checker(Path(CHECKOUT)), attempt)
            assert told.accepted, told
            assert len(told.checks) == 11
            assert "official power_checker.py: 11 of 11 checks pass" in words(first_run)


def test_the_tree_has_the_measurement_as_the_round_wants_it_and_no_real_one_is_packed(
    site: Site, first_run: Played
) -> None:
    assert "its power was measured by a stand-in for the meter" in words(first_run)
    root, _, _ = build(site.controller.run, load_catalogue())
    results = list(root.glob("*/*/results/*/*/SingleStream"))
    assert len(results) == 2
    assert len(list(root.glob("*/*/systems/*_power.yaml"))) == 2
    for result in results:
        performance = result / "performance"
        assert all((performance / name).is_file() for name in FILES)
        assert not list(performance.rglob("ptd_out.txt"))
        table = (result / "analyzer_table.md").read_text()
        assert "| Model | WT310 |" in table
        assert "SIMULATED;WT310;SIM-1" in table
        assert "# Power settings" in (result / "power_settings.md").read_text()


@pytest.mark.slow
def test_a_second_run_measures_nothing_again(site: Site, first_run: Played) -> None:
    assert first_run.recap["localhost"]["failed"] == 1, "nothing of a stand-in is packed"
    again = site.controller.play("run-inference.yml", "--tags", "validate,provision,run,collect")
    assert again.exit_code == 0, again.output
    assert [len(site.attempts(host)) for host in (site.one, site.other)] == [1, 1]
    assert json.loads(site.ops("lease", "list", "-i", str(site.controller.inventory), "--json"))["leases"]


def measure_again(site: Site, queries: int) -> tuple[str, ...]:
    """Make one SUT's measured cell another one; return the arguments of plays that run it alone."""
    benchmark: JsonObject = {
        "benchmark": "efficientnet-lite0",
        "scenarios": ["SingleStream"],
        "modes": ["performance"],
    }
    site.write(mlperf_test_query_count=queries, mlperf_benchmarks=[benchmark])
    return "--tags", "validate,run,collect", "--limit", f"localhost,{site.one.name}"


def verdicts(site: Site) -> list[str]:
    """Return the verdicts of the newest cell of the SUT that is measured alone, attempt by attempt."""
    attempts = site.attempts(site.one)
    newest = max(attempts, key=lambda path: path.stat().st_mtime).parent
    results: list[Any] = [read_json(path / "result.json") for path in sorted(newest.glob("attempt_*"))]
    return [str(result["failure"]["kind"] if result["failure"] else result["verdict"]) for result in results]


def assert_nothing_is_left(site: Site) -> None:
    until(lambda: site.left_behind() == "")
    (lease,) = json.loads(site.ops("lease", "list", "-i", str(site.controller.inventory), "--json"))["leases"]
    assert lease["holder"] is None
    said = site.ops("power", "analyzers", "-i", str(site.controller.inventory))
    assert "free" in said
    assert "SIM-1" in said


@pytest.mark.slow
def test_a_director_that_dies_in_ranging_fails_the_cell_and_the_next_run_recovers(
    site: Site, first_run: Played
) -> None:
    assert first_run.recap
    arguments = measure_again(site, 151)
    running = site.controller.start("run-inference.yml", *arguments)
    running.until("   ranging  ")
    site.director.kill()
    site.director.reboot()
    done = running.end()
    assert verdicts(site) == ["power_server"], done.output
    assert "power-dev's client ended: The server is disconnected" in words(done)
    assert_nothing_is_left(site)
    again = site.controller.play("run-inference.yml", *arguments)
    assert again.exit_code == 0, again.output
    assert verdicts(site) == ["power_server", "valid"]
    assert_nothing_is_left(site)


def test_a_sut_that_dies_in_ranging_leaves_no_server_and_is_measured_again(site: Site, first_run: Played) -> None:
    assert first_run.recap
    arguments = measure_again(site, 152)
    running = site.controller.start("run-inference.yml", *arguments)
    running.until("   ranging  ")
    site.one.kill()
    site.one.reboot()
    done = running.end()
    assert done.exit_code == 0, done.output
    assert verdicts(site) == ["host_rebooted", "valid"], done.output
    assert_nothing_is_left(site)


@pytest.mark.slow
def test_a_measurement_goes_on_without_its_controller_and_the_next_play_takes_it(site: Site, first_run: Played) -> None:
    assert first_run.recap
    arguments = measure_again(site, 153)
    running = site.controller.start("run-inference.yml", *arguments)
    running.until("   ranging  ")
    os.killpg(running.process.pid, signal.SIGKILL)
    running.process.wait(timeout=30)
    held = json.loads(site.ops("power", "analyzers", "-i", str(site.controller.inventory), "--json"))["analyzers"]
    assert [one["state"] for one in held] == ["held"]
    again = site.controller.play("run-inference.yml", *arguments)
    assert again.exit_code == 0, again.output
    assert "re-attached to attempt_1" in again.output
    assert verdicts(site) == ["valid"]
    assert_nothing_is_left(site)


@pytest.mark.slow
def test_a_server_that_was_left_behind_is_ended_by_the_next_measurement(site: Site, first_run: Played) -> None:
    assert first_run.recap
    site.director.exec(["systemctl", "start", _UNIT])
    until(
        lambda: "4950" in site.director.exec("ss -Hltn 2>/dev/null || cat /proc/net/tcp").stdout or site.left_behind()
    )
    done = site.controller.play("run-inference.yml", *measure_again(site, 154))
    assert done.exit_code == 0, done.output
    assert verdicts(site) == ["valid"]
    assert_nothing_is_left(site)


@pytest.mark.slow
def test_a_time_server_that_does_not_answer_is_told_before_anything_is_measured(site: Site, first_run: Played) -> None:
    assert first_run.recap
    site.director.exec(["systemctl", "stop", "chrony"])
    done = site.controller.play("run-inference.yml", *measure_again(site, 155))
    site.director.exec(["systemctl", "start", "chrony"])
    assert f"its power cannot be measured: director {site.director.name}: time server" in words(done), done.output
    assert_nothing_is_left(site)


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["SUT", "director"])
def test_a_time_server_double_that_is_ahead_by_0_9_s_is_one_finding_before_anything_is_measured(
    site: Site, first_run: Played, whose: str
) -> None:
    # No host's clock can be shifted: they share the machine's. One of them asks a server that is off.
    assert first_run.recap
    server = site.other
    server.exec(["systemd-run", "--quiet", "--unit=off", "python3", "-c", SNTP.read_text(), server.address, "0.9"])
    asks, path = {"SUT": (site.one, "/root/mlperf/state/power.json"), "director": (site.director, _CONF)}[whose]
    before, right = asks.read(path), site.director.address
    name = {"SUT": f'"ntp_server": "{right}"', "director": f"ntpServer: {right}"}[whose]
    assert name in before
    try:
        (asks.root / path[1:]).write_text(before.replace(name, name.replace(right, server.address)))
        arguments = measure_again(site, 156 if whose == "SUT" else 157)
        measured = len(site.attempts(site.one))
        done = site.controller.play("run-inference.yml", *arguments)
    finally:
        (asks.root / path[1:]).write_text(before)
        server.exec(["systemctl", "stop", "off"])
    said = re.findall(r"the clock is (\d+) ms behind time server (\S+), more than 100 ms", words(done))
    assert {one[1] for one in said} == {server.address}, done.output
    assert all(890 < int(one[0]) < 1500 for one in said)  # the answer of a busy machine takes its time
    assert "   ranging  " not in done.output
    if whose == "director":
        assert f"its power cannot be measured: director {asks.name}: the clock is" in words(done)
        assert len(site.attempts(site.one)) == measured
    else:
        assert verdicts(site) == ["power_clock"]
    assert_nothing_is_left(site)
