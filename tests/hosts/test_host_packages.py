"""The role host_packages on real hosts: what it adds, what it leaves alone, and that revert leaves nothing."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mlperf_ops.files import JsonObject
from tests.lab import Host, Lab

pytestmark = pytest.mark.lab

_RECORD = "/var/lib/mlperf-ops/host_packages.json"
_EVERYTHING: JsonObject = {
    "mlperf_home": "/srv/lab/mlperf",
    "host_packages_extra": ["sl"],
    "host_packages_groups": ["benchmarks"],
    "host_packages_user": {"name": "mlbench", "groups": ["benchmarks", "video"], "shell": "/bin/sh"},
    "host_packages_folders": [
        {"path": "/srv/lab/data", "group": "benchmarks", "mode": "2775"},
        {"path": "/srv", "mode": "0751"},
    ],
    "host_packages_limits": {"memlock_bytes": "unlimited", "nofile": 4096, "stack_bytes": 4 << 20},
}


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    """A play of this role alone; `step` chooses main, verify or revert."""
    role = {"name": "mlperf_ops.lab.host_packages", "tasks_from": "{{ step }}"}
    task = {"name": "Call the role", "ansible.builtin.include_role": role}
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [task]}]))
    return path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a play said and did."""

    exit_code: int
    output: str

    @property
    def words(self) -> str:
        """The output with line breaks taken out: Ansible wraps long messages."""
        return re.sub(r"\s+", " ", self.output)

    @property
    def changed(self) -> int:
        """How many tasks have changed something."""
        return sum(int(count) for count in re.findall(r"changed=(\d+)", self.output))


class Play:
    """Runs the role on one host."""

    def __init__(self, lab: Lab, host: Host, playbook: Path) -> None:
        self.lab = lab
        self.host = host
        self.playbook = playbook

    def __call__(
        self, variables: JsonObject | None = None, *arguments: str, user: str = "root", step: str = "main"
    ) -> Outcome:
        argv = [str(self.playbook), "--limit", self.host.name, *arguments]
        done = self.lab.playbook(*argv, check=False, extra_vars={**(variables or {}), "step": step}, user=user)
        return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture
def play(lab: Lab, host: Host, playbook: Path) -> Play:
    return Play(lab, host, playbook)


def snapshot(host: Host) -> str:
    """Everything that the role may touch."""
    return host.exec(
        "dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\\n'; apt-mark showmanual;"
        "cat /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid;"
        "find /etc/security /etc/systemd /srv /home /opt -printf '%p %M %u %g %s\\n' | grep -v '/[.]ansible' | sort;"
        "find /etc/security /etc/systemd -type f -exec sha256sum {} + | sort; ls -A /var/lib/mlperf-ops 2>&1; true"
    ).stdout


def installed(host: Host, name: str) -> bool:
    status = host.exec(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name], check=False).stdout
    return status.strip() == "ii"


def test_check_mode_on_a_virgin_host_says_what_is_missing_and_changes_nothing(host: Host, play: Play) -> None:
    before = snapshot(host)
    checked = play(_EVERYTHING, "--check", "--diff")
    assert checked.exit_code == 0, checked.output
    assert checked.changed == 1
    for line in (
        "-package numactl: absent",
        "+package numactl: installed",
        "+user mlbench: home /home/mlbench; shell /bin/sh; groups benchmarks, video",
        "+folder /srv/lab/data: mlbench 2775",
        "+folder /srv: root root 0751",
    ):
        assert line in checked.output, line
    assert snapshot(host) == before


def test_a_host_gets_everything_once_and_is_as_before_after_the_revert(host: Host, play: Play) -> None:
    before = snapshot(host)
    first = play(_EVERYTHING)
    assert first.exit_code == 0, first.output
    assert first.changed == 1
    for name in ("numactl", "ethtool", "pciutils", "dmidecode", "sl"):
        assert installed(host, name), name
    assert host.exec("stat -c '%U %a' /srv/lab/mlperf /srv/lab/data /srv").stdout.splitlines() == [
        "mlbench 755",
        "mlbench 2775",
        "root 751",
    ]
    assert set(host.exec(["id", "-Gn", "mlbench"]).stdout.split()) == {"mlbench", "benchmarks", "video"}
    assert (
        host.exec(["runuser", "-s", "/bin/sh", "mlbench", "-c", "ulimit -n; ulimit -s"]).stdout.split() == ["4096"] * 2
    )

    again = play(_EVERYTHING, "--diff")
    assert (again.exit_code, again.changed) == (0, 0), again.output
    assert play(_EVERYTHING, step="verify").exit_code == 0

    reverted = play(_EVERYTHING, step="revert")
    assert (reverted.exit_code, reverted.changed) == (0, 1), reverted.output
    assert snapshot(host) == before
    assert play(_EVERYTHING, step="revert").changed == 0
    verified = play(_EVERYTHING, step="verify")
    assert verified.exit_code != 0
    assert "not as the inventory says: package dmidecode is absent" in verified.words


def test_a_limit_that_the_kernel_does_not_grant_is_said_and_locks_nobody_out(host: Host, play: Play) -> None:
    hard = host.exec("ulimit -Hl", user="ops").stdout.strip()
    asked: JsonObject = {"host_packages_limits": {"memlock_bytes": "unlimited"}, "host_packages_sets": []}
    first = play(asked, user="ops")
    assert first.exit_code == 0, first.output
    assert host.exec("ulimit -l; ulimit -Hl", user="ops").stdout.split() == [hard, hard] or hard == "unlimited"
    if hard != "unlimited":
        assert f"memlock_bytes: unlimited was asked, this kernel grants at most {int(hard) * 1024}" in first.words
        strict = play({**asked, "host_packages_strict": True}, user="ops")
        assert "not done: memlock_bytes: unlimited was asked" in strict.words
    assert play(asked, user="ops").changed == 0
    assert host.exec("true", user="ops").returncode == 0


def test_the_account_that_logs_in_gets_its_home_through_sudo(host: Host, play: Play) -> None:
    first = play({"mlperf_home": "~/mlperf", "host_packages_sets": []}, user="ops")
    assert (first.exit_code, first.changed) == (0, 1), first.output
    assert host.exec("stat -c '%U %G %a' /home/ops/mlperf").stdout.split() == ["ops", "ops", "755"]
    assert play({"mlperf_home": "~/mlperf", "host_packages_sets": []}, user="ops").changed == 0


def test_no_sudo_is_one_sentence(host: Host, play: Play) -> None:
    host.exec("rm /etc/sudoers.d/ops")
    refused = play({"host_packages_sets": []}, user="ops")
    assert refused.exit_code != 0
    assert "ops cannot become root by sudo: a password is needed for it" in refused.words
    assert "mlperf_become: false" in refused.words
    host.exec("mv /usr/bin/sudo /usr/bin/sudo.away")
    refused = play({"host_packages_sets": []}, user="ops")
    assert "ops cannot become root by sudo: the host has no such command" in refused.words


def test_without_privileges_folders_are_made_and_the_rest_is_listed_in_one_line(host: Host, play: Play) -> None:
    host.exec("rm /etc/sudoers.d/ops")
    before = snapshot(host)
    variables: JsonObject = {**_EVERYTHING, "mlperf_become": False, "mlperf_home": "~/mlperf"}
    first = play(variables, user="ops")
    assert (first.exit_code, first.changed) == (0, 1), first.output
    line = next(line for line in first.output.splitlines() if "optional packages" in line)
    assert "add them: sudo apt-get install --no-install-recommends dmidecode ethtool numactl pciutils sl; needs" in line
    assert "needs root and was not done: group benchmarks: present; user mlbench" in line
    assert host.exec("test -d /home/ops/mlperf && ls /var/lib/mlperf-ops", check=False).returncode != 0
    assert play(variables, user="ops").changed == 0
    strict = play({**variables, "host_packages_strict": True}, user="ops")
    assert "not done: package dmidecode" in strict.words
    assert play(variables, user="ops", step="revert").changed == 1
    assert snapshot(host) == before


def test_a_package_that_does_not_exist_is_named_before_anything_is_installed(host: Host, play: Play) -> None:
    before = snapshot(host)
    refused = play({"host_packages_extra": ["numactll", "sl"]})
    assert refused.exit_code != 0
    assert "has no package numactll (nearest: numactl)" in refused.words
    assert snapshot(host) == before


def test_an_index_that_does_not_answer_is_one_sentence_in_time(lab: Lab, host: Host, play: Play) -> None:
    host.exec("rm -rf /var/lib/apt/lists/*")
    with lab.outage(hang=True):
        start = time.monotonic()
        refused = play({"host_packages_index_seconds": 5})
        assert time.monotonic() - start < 30
        assert refused.exit_code != 0
        assert "the package index does not answer: apt-get gave no answer within 5 s" in refused.words
    with lab.outage():
        refused = play()
        assert "the package index does not answer: " in refused.words
        assert "503" in refused.words
    assert "apt-get install --no-install-recommends dmidecode" in refused.words
    assert not installed(host, "numactl")


def test_a_host_that_loses_power_while_it_installs_is_finished_by_the_next_play(host: Host, play: Play) -> None:
    before = snapshot(host)
    variables: JsonObject = {"host_packages_sets": ["base", "build"]}
    cut_off: list[Outcome] = []
    status = "dpkg-query -W -f '${db:Status-Status}\\n'"
    watch = f"until {status} | grep -q unpacked; do sleep 0.1; done; touch /root/unpacking"
    host.exec(["systemd-run", "--quiet", "sh", "-c", watch.replace("$", "$$")])  # systemd expands $ itself
    thread = threading.Thread(target=lambda: cut_off.append(play(variables)))
    thread.start()
    deadline = time.monotonic() + 120
    while not (host.root / "root" / "unpacking").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    host.kill()
    thread.join(240)
    assert cut_off
    assert cut_off[0].exit_code != 0
    host.reboot()
    assert set(host.exec(status).stdout.split()) & {"unpacked", "half-configured", "half-installed"}, (
        "it was not cut off in the middle"
    )

    again = play(variables)
    assert again.exit_code == 0, again.output
    assert "an installation that was interrupted was finished" in again.words
    assert installed(host, "build-essential")
    assert play(variables).changed == 0
    assert play(variables, step="revert").exit_code == 0
    assert snapshot(host) == before


def test_a_package_that_was_cut_off_while_it_was_unpacked_is_unpacked_again(host: Host, play: Play) -> None:
    assert play({"host_packages_sets": ["base"]}).exit_code == 0
    for status in ("half-installed", "unpacked"):
        dpkg = host.root / "var/lib/dpkg/status"
        text = dpkg.read_text()
        begun = re.sub(
            r"(Package: numactl\n)Status: install ok installed", rf"\1Status: install reinstreq {status}", text
        )
        assert begun != text
        dpkg.write_text(begun)
        again = play({"host_packages_sets": ["base"]})
        assert again.exit_code == 0, again.output
        assert "an installation that was interrupted was finished" in again.words
        assert installed(host, "numactl")


def test_a_full_disk_is_named_and_the_next_play_goes_on(host: Host, play: Play) -> None:
    host.exec("mkdir -p /var/cache/apt/archives && mount -t tmpfs -o size=200k tmpfs /var/cache/apt/archives")
    host.exec("mkdir -p /var/cache/apt/archives/partial")
    refused = play()
    assert refused.exit_code != 0
    assert "the disk is full: /var/cache/apt/archives has 0 MiB free" in refused.words
    host.exec("umount /var/cache/apt/archives")
    assert play().exit_code == 0
    assert installed(host, "numactl")


def test_another_play_and_another_package_manager_are_respected(host: Host, play: Play) -> None:
    host.exec("systemd-run --quiet flock /run/mlperf-ops.host_packages.lock sleep 8; sleep 0.5")
    refused = play()
    assert "another play changes packages or users of this host (wait until it has ended)" in refused.words
    lock = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, 2); time.sleep(20)"
    host.exec("until flock -n /run/mlperf-ops.host_packages.lock true; do sleep 0.5; done")
    host.exec(["apt-get", "update", "-qq"], timeout=120)
    host.exec(["systemd-run", "--quiet", "--unit=holder", "python3", "-c", lock])
    refused = play({"host_packages_lock_seconds": 2})
    assert "another package manager works on this host for more than 2 s" in refused.words
    waited = play()
    assert waited.exit_code == 0, waited.output


def test_what_others_need_by_then_stays_and_is_said(host: Host, play: Play) -> None:
    variables: JsonObject = {
        "host_packages_sets": [],
        "host_packages_extra": ["libnuma1"],
        "mlperf_home": "/srv/mlperf",
    }
    assert play(variables).exit_code == 0
    host.exec(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "numactl"], timeout=120)
    host.exec("mkdir -p /srv/mlperf/runs/lab /srv/mlperf/store")
    reverted = play(variables, step="revert")
    assert reverted.exit_code == 0, reverted.output
    assert "stays: package libnuma1" in reverted.output
    assert "numactl needs it" in reverted.output
    assert "stays: folder /srv/mlperf: it holds results in runs" in reverted.output
    assert installed(host, "libnuma1")
    host.exec(["apt-get", "purge", "-y", "-qq", "numactl"], timeout=120)
    host.exec("rm -r /srv/mlperf/runs")
    assert play(variables, step="revert").exit_code == 0
    assert not installed(host, "libnuma1")
    assert host.exec(f"test -e /srv/mlperf || test -e {_RECORD}", check=False).returncode != 0
