"""The roles power_director and power_sut on real hosts, with real chrony and systemd.

With MLPERF_POWER_DEV_CHECKOUT, a checkout of mlcommons/power-dev at the pinned commit, the real server and client are
put there and started; without, the double takes their place, from a git repository. PTDaemon is a stand-in.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlperf_ops.files import Json, JsonObject
from tests.lab import Host, Lab
from tests.power_sim import repository as double
from tests.power_sim.flow import DAEMON
from tests.support.controllers import Controller
from tests.support.playbooks import CHECKOUT, Played

pytestmark = pytest.mark.lab

_RECORD = "/var/lib/mlperf-ops/power_director.json"
_UNIT = "mlperf-power@{}.service"


class Site:
    """A director, two SUTs that share its analyzer, and a controller."""

    def __init__(self, lab: Lab, folder: Path, hosts: tuple[Host, Host, Host], **changes: Json) -> None:
        self.director, self.sut, self.other = hosts
        self.controller = Controller(lab, folder, hosts, "power", ansible_user="root")
        self.reached = yaml.safe_load((self.controller.inventory / "hosts.yml").read_text())["all"]["vars"]
        self.ptd = folder / "ptd-stand-in"
        self.ptd.write_bytes(DAEMON.read_bytes())
        self.meter: JsonObject = {
            "director": self.director.name,
            "device_type": 49,
            "device_port": "/dev/usbtmc0",
            "calibration_date": "2026-03-01",
        }
        self.variables: JsonObject = {
            "ansible_user": "root",
            "mlperf_home": "/root/mlperf",
            "mlperf_power_analyzers": {"wt310": self.meter},
            "power_director_ptdaemon": str(self.ptd),
            "power_director_ptdaemon_sha256": hashlib.sha256(self.ptd.read_bytes()).hexdigest(),
            "power_director_listen_address": self.director.address,
            "power_director_cache": str(folder / "cache"),
            "power_sut_cache": str(folder / "cache"),
            "time_sync_servers": [self.director.address],
            **changes,
        }
        self.write()

    def write(self, **changes: Json) -> None:
        """Write the inventory."""
        path = self.controller.inventory / "hosts.yml"
        reached = {host.name: {"ansible_host": host.address} for host in (self.director, self.sut, self.other)}
        serves = {"time_sync_servers": [], "time_sync_allow": ["10.77.0.0/16"], "time_sync_local_stratum": 8}
        asks = {"time_sync_local_stratum": 0, "mlperf_power_analyzer": "wt310"}
        members = {name: {**host, **asks} for name, host in reached.items() if name != self.director.name}
        director = {**reached[self.director.name], **serves, "power_director_ntp_server": self.director.address}
        children = {"sut": {"hosts": members}, "power_directors": {"hosts": {self.director.name: director}}}
        variables = {**self.reached, **self.variables, **changes}
        path.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))

    def play(self, *playbooks: str, arguments: tuple[str, ...] = ()) -> Played:
        whole = self.controller.folder / "plays.yml"
        imports = [
            {"name": one, "ansible.builtin.import_playbook": str(CHECKOUT / "playbooks" / one)} for one in playbooks
        ]
        whole.write_text(yaml.safe_dump(imports))
        return self.controller.play(str(whole), *arguments)

    def set_knobs(self, **knobs: Json) -> None:
        """Have the stand-in on the director behave from its next start on."""
        (ptd,) = re.findall(r"^ptd: (\S+)$", self.director.read("/etc/mlperf-power/wt310.conf"), re.MULTILINE)
        place = self.director.root / f"{ptd[1:]}.json"
        place.write_text(json.dumps(knobs))

    def apply(self, *arguments: str) -> Played:
        return self.play("validate.yml", "power.yml", arguments=arguments)


def words(played: Played) -> str:
    return re.sub(r"\s+", " ", played.output)


def everything_of(host: Host) -> str:
    """All that the roles may touch."""
    return host.exec(
        "cat /etc/group; find /opt /etc/mlperf-power /etc/udev/rules.d /etc/systemd /var/lib/mlperf-ops "
        "/root/mlperf/state /root/mlperf/store ! -name time_sync.json -printf '%p %M %u %g\\n' 2>&1 | sort; "
        "find /etc/systemd /etc/udev -type f -exec sha256sum {} + 2>&1 | sort"
    ).stdout


def doctor(site: Site) -> dict[str, set[str]]:
    """Return the severity and the beginning of all that the doctor says of power, host by host."""
    argv = [sys.executable, "-m", "mlperf_ops", "doctor", "-i", str(site.controller.inventory), "--json"]
    done = site.controller.lab.run(argv, check=False, cwd=CHECKOUT)
    assert done.stdout, done.stderr
    return {
        host["name"]: {
            f"{one['severity']}: {' '.join(one['message'].split()[:6])}"
            for one in host["findings"]
            if one["check"] == "power"
        }
        for host in json.loads(done.stdout)["hosts"]
    }


@pytest.fixture(scope="module", params=["official power-dev", "a double of power-dev"])
def site(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("power")
    patch = pytest.MonkeyPatch()
    changes: JsonObject = {}
    if request.param == "official power-dev":
        checkout = os.environ.get("MLPERF_POWER_DEV_CHECKOUT", "")
        if not checkout:
            pytest.skip("set MLPERF_POWER_DEV_CHECKOUT to a checkout of mlcommons/power-dev")
        changes = {"mlperf_power_checkout": checkout}
    else:
        _, catalogue = double.make(folder)
        patch.setenv("MLPERF_OPS_CATALOGUE", str(catalogue))
        changes = {"mlperf_round": double.ROUND}
    director, sut, other = lab.add([(None, None), (None, None), (None, None)])
    yield Site(lab, folder, (director, sut, other), **changes)
    patch.undo()
    for host in (director, sut, other):
        lab.remove(host)


def test_a_virgin_host_is_checked_without_a_change_and_what_it_lacks_is_said(site: Site, tmp_path: Path) -> None:
    both = (site.director, site.sut)
    play = tmp_path / "time.yml"
    clock = {"role": "mlperf_ops.lab.time_sync"}
    play.write_text(yaml.safe_dump([{"name": "T", "hosts": "all", "gather_facts": False, "roles": [clock]}]))

    virgin = {host.name: everything_of(host) for host in both}
    checked = site.apply("--check", "--diff")
    assert checked.exit_code == 0, checked.output
    assert checked.total("changed") == 3 + 1  # the hosts, and the plan
    assert "+deviceType: 49" in checked.output
    assert "+KillSignal=SIGINT" in checked.output
    assert {host.name: everything_of(host) for host in both} == virgin

    found = doctor(site)
    lacks = {f"warns: time server {site.director.address}: Connection refused", "warns: it does not know the service"}
    assert found[site.sut.name] == lacks
    assert found[site.director.name] == {*lacks, "warns: wt310: there is no /dev/usbtmc0"}

    refused = site.apply()  # no clock is kept yet
    assert refused.exit_code != 0
    assert "the clock is not synchronised: no time daemon runs on this host" in words(refused)
    assert "MLPerf's power measurement starts no phase above 400 ms" in words(refused)
    site.play("revert.yml")

    kept = site.controller.play(str(play))
    assert kept.exit_code == 0, kept.output
    unnamed = site.apply()  # the hosts are minimal
    assert unnamed.exit_code != 0
    assert "does not know the service 'ntp', by whose name power-dev asks (install netbase)" in words(unnamed)
    site.play("revert.yml", arguments=("--tags", "power_director,power_sut"))
    for host in (*both, site.other):
        host.exec("apt-get -q update && apt-get -qy install --no-install-recommends netbase", timeout=180)


def test_the_doctor_says_what_a_director_lacks(site: Site) -> None:
    found = doctor(site)
    assert found[site.sut.name] == set()
    assert found[site.director.name] == {"warns: wt310: there is no /dev/usbtmc0"}
    site.write(power_director_ptdaemon_sha256="0" * 64, power_director_python="/usr/bin/python9")
    site.director.exec(["touch", "/dev/usbtmc0"])
    found = doctor(site)
    site.director.exec(["rm", "/dev/usbtmc0"])
    site.write()
    assert "blocks: power-dev needs Python 3.7 to 3.12;" in found[site.director.name]
    assert f"blocks: power_director_ptdaemon: {site.ptd} has sha256" in " ".join(found[site.director.name])
    assert "warns: wt310: there is no /dev/usbtmc0" not in found[site.director.name]


def test_a_director_is_made_that_can_measure_and_taken_back(site: Site) -> None:
    both = (site.director, site.sut)
    before = {host.name: everything_of(host) for host in both}
    applied = site.apply()
    assert applied.exit_code == 0, applied.output
    assert applied.total("changed") == 3
    again = site.apply()
    assert (again.exit_code, again.total("changed")) == (0, 0), again.output
    verified = site.play("power_verify.yml", arguments=("-e", "power_director_self_test=true"))
    assert (verified.exit_code, verified.total("changed")) == (0, 0), verified.output
    assert "server wt310 was ready: its analyzer has answered" in verified.output

    director = site.director
    conf = director.read("/etc/mlperf-power/wt310.conf")
    assert f"listen: {director.address} 4950\n" in conf
    ptd = re.findall(r"^ptd: (\S+)$", conf, re.MULTILINE)[0]
    assert director.exec(["stat", "-c", "%U %G %a", ptd]).stdout.split() == ["root", "mlperf-meter", "750"]
    assert director.exec(["systemctl", "is-enabled", _UNIT.format("wt310")], check=False).stdout.strip() == "static"
    state = json.loads(site.sut.read("/root/mlperf/state/power.json"))
    assert state["measured"]["uses"] == [{"analyzer": "wt310", "channel": ""}]
    assert state["measured"]["director"] == director.name
    argv = [state["python"]["path"], "-B", f"{state['software']['path']}/ptd_client_server/client.py", "--help"]
    assert "usage" in site.sut.exec(argv).stdout

    director.exec("echo >> /etc/mlperf-power/wt310.conf")
    changed = site.play("power_verify.yml")
    assert changed.exit_code != 0
    assert "not as the inventory says: /etc/mlperf-power/wt310.conf" in words(changed)

    reverted = site.play("revert.yml", arguments=("--check", "--tags", "power_director,power_sut"))
    assert (reverted.exit_code, reverted.total("changed")) == (0, 3), reverted.output
    reverted = site.play("revert.yml", arguments=("--tags", "power_director,power_sut"))
    assert (reverted.exit_code, reverted.total("changed")) == (0, 3), reverted.output
    assert {host.name: everything_of(host) for host in both} == before
    reverted = site.play("revert.yml", arguments=("--tags", "power_director,power_sut"))
    assert (reverted.exit_code, reverted.total("changed")) == (0, 0), reverted.output


def start_slow_server(site: Site) -> str:
    """Have a server wait for a PTDaemon that is never ready; return the unit."""
    applied = site.apply()
    assert applied.exit_code == 0, applied.output
    site.set_knobs(start_seconds=600)
    unit = _UNIT.format("wt310")
    site.director.exec(["systemctl", "start", unit])
    until(lambda: "/ptd -l " in processes(site.director))
    return unit


def processes(host: Host) -> str:
    return host.exec("ps -eo pid,args | grep -e '/ptd/' -e ptd_client_server | grep -v grep; :").stdout


def until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_a_server_that_dies_leaves_no_ptdaemon(site: Site, signal: str) -> None:
    unit = start_slow_server(site)
    site.director.exec(["systemctl", "kill", "--kill-who=main", f"--signal={signal}", unit])
    until(lambda: not processes(site.director))
    active = site.director.exec(["systemctl", "is-active", unit], check=False).stdout.strip()
    assert active in {"failed", "inactive"}


def test_a_server_that_is_stopped_ends_its_ptdaemon_and_nothing_is_reverted_under_it(site: Site) -> None:
    unit = start_slow_server(site)
    refused = site.play("revert.yml", arguments=("--tags", "power_director"))
    assert refused.exit_code != 0
    assert f"{unit} runs, so a measurement may be going on" in words(refused)
    site.director.exec(["systemctl", "stop", unit], timeout=70)
    assert processes(site.director) == ""
    site.set_knobs()


def test_a_meter_that_does_not_answer_is_a_sentence_of_the_self_test(site: Site) -> None:
    applied = site.apply()
    assert applied.exit_code == 0, applied.output
    site.set_knobs(refuses="no meter at /dev/usbtmc0")
    tried = site.play("power_verify.yml", arguments=("-e", "power_director_self_test=true"))
    assert tried.exit_code != 0, tried.output
    assert "server wt310 was tried: mlperf-power@wt310.service ended:" in words(tried)
    assert "PTDaemon unexpectedly terminated" in words(tried)
    site.set_knobs()


def test_a_configuration_that_is_not_wanted_any_more_goes(site: Site) -> None:
    site.write(mlperf_power_analyzers={"wt310": site.meter, "wt333": {
        "director": site.director.name, "device_type": 52, "interface_flag": "-y", "device_port": "10.77.9.9",
        "network_port": 8889, "listen_port": 4951, "channel": 2}})  # fmt: skip
    applied = site.apply()
    assert applied.exit_code == 0, applied.output
    assert "channel: 2\n" in site.director.read("/etc/mlperf-power/wt333.conf")
    site.write()
    assert site.apply().exit_code == 0
    assert site.director.exec("ls /etc/mlperf-power").stdout.split() == ["wt310.conf"]


def test_what_the_user_has_to_give_is_said(site: Site) -> None:
    cases: list[tuple[JsonObject, str]] = [
        ({"power_director_ptdaemon": ""}, "power_director_ptdaemon is not set (PTDaemon is SPEC's"),
        ({"power_director_ptdaemon_sha256": ""}, "power_director_ptdaemon_sha256 is not set; "),
        ({"power_director_ptdaemon_sha256": "0" * 64}, "power_director_ptdaemon_sha256 pins 0000"),
        ({"power_director_python": "/usr/bin/python9"}, "found: '/usr/bin/python9' does not work"),
        ({"power_director_listen_address": "director"}, "expected an IPv4 address such as 0.0.0.0, found 'director'"),
    ]
    for changes, sentence in cases:
        site.write(**changes)
        refused = site.apply("--limit", f"localhost,{site.director.name}")
        assert refused.exit_code != 0
        assert sentence in words(refused), refused.output
    site.write()
    site.play("revert.yml")
