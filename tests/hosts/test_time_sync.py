"""The role time_sync on real hosts with real chrony; chronyd runs with -x, as hosts of one machine share its clock."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from mlperf_ops.files import Json, JsonObject
from tests.lab import Host, Lab

pytestmark = pytest.mark.lab

_RECORD = "/var/lib/mlperf-ops/time_sync.json"
_OPTIONS: JsonObject = {"time_sync_manage": True, "time_sync_chronyd_options": "-x", "mlperf_home": "/root/mlperf"}


class Plays:
    """Plays of this role alone."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        role = {"name": "mlperf_ops.lab.time_sync", "tasks_from": "{{ step | default('main') }}"}
        task = {"name": "Call the role", "ansible.builtin.include_role": role}
        self._path = folder / "play.yml"
        self._path.write_text(yaml.safe_dump([{"name": "P", "hosts": "all", "gather_facts": False, "tasks": [task]}]))

    def __call__(self, host: Host, *arguments: str, **variables: Json) -> tuple[int, int, str]:
        """Return exit code, number of changed tasks, and what was said without line breaks."""
        done = self._lab.playbook(
            str(self._path),
            "--limit",
            host.name,
            *arguments,
            check=False,
            extra_vars={**_OPTIONS, **variables},
        )
        said = done.stdout + done.stderr
        changed = sum(int(count) for count in re.findall(r"changed=(\d+)", said))
        return done.returncode, changed, re.sub(r"\s+", " ", said)


@pytest.fixture
def plays(lab: Lab, tmp_path: Path) -> Plays:
    return Plays(lab, tmp_path)


def everything(host: Host) -> str:
    """All that the role may touch."""
    return host.exec(
        "dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\\n'; cat /etc/passwd /etc/group;"
        "find /etc/chrony /etc/default /etc/systemd /var/lib/mlperf-ops -printf '%p %M %u %g\\n' 2>&1 | sort;"
        "find /etc/chrony /etc/default /etc/systemd -type f -exec sha256sum {} + 2>&1 | sort;"
        "systemctl is-enabled chrony 2>&1; systemctl is-active chrony 2>&1; true"
    ).stdout


def state(host: Host) -> JsonObject:
    found: JsonObject = json.loads(host.read("/root/mlperf/state/time_sync.json"))
    return found


def test_from_a_virgin_host_to_a_clock_that_is_followed_and_back(plays: Plays, pair: tuple[Host, Host]) -> None:
    server, follower = pair
    before = {host.name: everything(host) for host in pair}
    serves: JsonObject = {
        "time_sync_local_stratum": 10,
        "time_sync_allow": ["10.77.0.0/16"],
        "time_sync_required": True,
    }
    follows: JsonObject = {"time_sync_servers": [server.address], "time_sync_required": True}

    code, changed, said = plays(follower, "--check", "--diff", **follows)
    assert (code, changed) == (0, 1), said
    assert f"+server {server.address} iburst" in said
    assert everything(follower) == before[follower.name]

    for host, variables in ((server, serves), (follower, follows)):
        code, changed, said = plays(host, **variables)
        assert (code, changed) == (0, 1), said
        code, changed, said = plays(host, **variables)
        assert (code, changed) == (0, 0), said
        code, changed, said = plays(host, "-e", "step=verify", **variables)
        assert (code, changed) == (0, 0), said

    assert state(server)["stratum"] == 10
    measured = state(follower)
    assert (measured["daemon"], measured["synchronised"], measured["source"]) == ("chronyd", True, server.address)
    assert measured["stratum"] == 11
    assert abs(float(str(measured["offset_ms"]))) < 400
    assert follower.exec("systemctl is-enabled chrony").stdout.strip() == "enabled"

    follower.exec("systemctl stop chrony")
    code, changed, said = plays(follower, "-e", "step=verify", **follows)
    assert code == 2
    assert "not as the inventory says: chrony.service (run the provision playbook)" in said

    for host, variables in ((server, serves), (follower, follows)):
        code, changed, said = plays(host, "--check", "-e", "step=revert", **variables)
        assert (code, changed) == (0, 1), said
        code, changed, said = plays(host, "-e", "step=revert", **variables)
        assert (code, changed) == (0, 1), said
        assert everything(host) == before[host.name]
        code, changed, said = plays(host, "-e", "step=revert", **variables)
        assert (code, changed) == (0, 0), said


def test_a_chrony_that_was_there_before_stays_with_its_own_settings(plays: Plays, host: Host) -> None:
    host.exec("apt-get -q update && apt-get -qy install --no-install-recommends chrony", timeout=180)
    host.write("/etc/chrony/conf.d/mlperf-ops.conf", "# somebody's own\n")
    host.exec("systemctl disable --now chrony")
    before = everything(host)
    code, changed, said = plays(host, time_sync_local_stratum=8, time_sync_required=True)
    assert (code, changed) == (0, 1), said
    assert state(host)["stratum"] == 8
    code, changed, said = plays(host, "-e", "step=revert")
    assert (code, changed) == (0, 1), said
    assert everything(host) == before


def test_a_host_without_a_time_daemon_is_measured_and_nothing_is_touched(plays: Plays, host: Host) -> None:
    before = everything(host)
    code, changed, said = plays(host, time_sync_manage=False)
    assert (code, changed) == (0, 0), said
    assert state(host)["problem"] == "the clock is not synchronised: no time daemon runs on this host"
    assert everything(host) == before
    code, _, said = plays(host, time_sync_manage=False, time_sync_required=True, time_sync_wait_seconds=0)
    assert code == 2
    assert "the clock is not synchronised: no time daemon runs on this host" in said


def test_without_root_the_role_says_what_it_leaves(plays: Plays, host: Host) -> None:
    code, changed, said = plays(
        host, "-v", ansible_user="ops", mlperf_become=False, mlperf_home="~/mlperf", time_sync_wait_seconds=0
    )
    assert (code, changed) == (0, 0), said
    assert "left as it is, because this needs root (mlperf_become: true): package chrony" in said
    assert "no time daemon runs" in host.read("/home/ops/mlperf/state/time_sync.json")


def test_folders_made_as_root_belong_to_the_account_that_logs_in(plays: Plays, host: Host) -> None:
    code, _, said = plays(
        host, ansible_user="ops", mlperf_home="~/mlperf", time_sync_local_stratum=8, time_sync_required=True
    )
    assert code == 0, said
    assert host.exec("stat -c %U /home/ops/mlperf /home/ops/mlperf/state").stdout.split() == ["ops", "ops"]


def test_a_server_that_does_not_answer_is_one_sentence_after_a_bounded_wait(plays: Plays, host: Host) -> None:
    code, _, said = plays(host, time_sync_servers=["10.77.9.9"], time_sync_required=True, time_sync_wait_seconds=2)
    assert code == 2
    assert "the clock is not synchronised: chronyd has not chosen a source yet; no answer of" in said
    assert "10.77.9.9" in said
    assert host.read(_RECORD)


_TIMEDATECTL = """\
#!/bin/sh
test "$1" = timesync-status || exit 1
echo "       Server: 10.77.1.250 (ntp.lab)"
echo "      Stratum: 2"
echo "Root distance: 1.5ms (max: 5s)"
test -e /run/not-yet || echo "       Offset: -2.5ms"
"""


def run_simulated_timesyncd(host: Host) -> None:
    """Put a process of its name and a timedatectl on the host: the real one does not run in a container."""
    host.write("/usr/bin/timedatectl", _TIMEDATECTL)
    host.exec(
        "cp /bin/sleep /usr/local/bin/systemd-timesyncd; systemd-run --quiet /usr/local/bin/systemd-timesyncd 3600"
    )


def test_a_daemon_that_keeps_the_clock_is_left_alone_on_simulated_timesyncd(plays: Plays, host: Host) -> None:
    run_simulated_timesyncd(host)
    before = everything(host)
    code, changed, said = plays(host, "-v", time_sync_servers=["10.77.1.14"], time_sync_required=True)
    assert (code, changed) == (0, 0), said
    assert "systemd-timesyncd follows 10.77.1.250, the clock is off by 2.5 ms" in said
    assert "keeps the clock already, so time_sync_servers of the inventory are not used" in said
    code, _, said = plays(host, time_sync_offset_limit_ms=2, time_sync_required=True)
    assert code == 2
    assert "the clock is 2.5 ms ahead, more than 2 ms" in said
    host.write("/run/not-yet", "")
    code, _, said = plays(host)
    assert code == 2
    assert "systemd-timesyncd runs on this host and is not synchronised" in said
    assert everything(host) == before


def test_a_package_is_never_removed_to_make_place_for_chrony(plays: Plays, host: Host) -> None:
    host.exec("apt-get -q update && apt-get -qy install --no-install-recommends systemd-timesyncd", timeout=180)
    before = everything(host)
    code, _, said = plays(host)
    assert code == 2
    assert "installing chrony would remove systemd-timesyncd, which is never done" in said
    code, changed, said = plays(host, "-e", "step=revert")
    assert (code, changed) == (0, 0), said
    assert everything(host) == before
