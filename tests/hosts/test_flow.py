"""The whole flow on three real hosts with real LoadGen, from one bad day to a checked tree and all the way back.

The tests are one story and share what is provisioned. On the first day one host is cut off and one has another host
key; on the second one reboots while it is provisioned; on the third all is well.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlperf_ops.files import Json
from tests.lab import Host, Lab
from tests.support.controllers import Controller
from tests.support.playbooks import Played

pytestmark = [pytest.mark.lab, pytest.mark.network]

_HOME = "home/ops/mlperf"
# All that the profiles tune. That caches were dropped is an act, of which the kernel shows the last one.
_KNOBS = (
    "cd /sys/devices/system/cpu; grep -rs . cpufreq intel_pstate cpu*/cpuidle/state*/disable "
    "/sys/kernel/mm/transparent_hugepage /proc/sys/vm /proc/sys/kernel/numa_balancing /proc/sys/kernel/nmi_watchdog "
    "/proc/sys/kernel/randomize_va_space | grep -v -e cur_freq -e /proc/sys/vm/stat_ -e drop_caches | sort"
)
_SYSTEM = (
    "dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\\n'; apt-mark showmanual; "
    "cat /etc/passwd /etc/group; find /etc/chrony /etc/default /etc/security /etc/systemd -type f -exec sha256sum {} + "
    "2>&1 | sort; systemctl is-enabled chrony 2>&1; systemctl is-active chrony 2>&1; :"
)
_COUNT_CELLS = "while :; do pgrep -fc '[m]lperf_ops.harness.sut'; sleep 0.2; done > /root/cells"


def words(play: Played) -> str:
    """Return what a play said without the line breaks that Ansible makes."""
    return re.sub(r"\s+", " ", play.output)


def started(play: Played) -> list[str]:
    """Return the hosts of the cells that a play has started."""
    return re.findall(r"^(\S+)  \d+/\d+ .* starting, expected", play.output, re.MULTILINE)


def attempts(host: Host) -> set[Path]:
    """Return the attempts that have ended on a host, also while it cannot be reached."""
    return {path.parent for path in (host.root / _HOME).glob("runs/*/*/*/*/*/*/attempt_*/result.json")}


@dataclass(frozen=True, slots=True)
class Story:
    """The hosts, what they were before, and the three days."""

    controller: Controller
    good: Host
    rebooting: Host
    stranger: Host
    before: dict[str, tuple[str, str]]

    @property
    def hosts(self) -> tuple[Host, ...]:
        return self.good, self.rebooting, self.stranger

    def now(self) -> dict[str, tuple[str, str]]:
        """Return what tuning manages and what the other roles manage, of each host."""
        return {host.name: (host.exec(_KNOBS).stdout, host.exec(_SYSTEM).stdout) for host in self.hosts}


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    views = (("good", "acpi-cpufreq"), ("rebooting", "acpi-cpufreq"), ("stranger", "intel-pstate"))
    hosts = good, rebooting, stranger = lab.add(views)
    controller = Controller(lab, tmp_path_factory.mktemp("flow"), hosts, "lab")
    made = Story(controller, good, rebooting, stranger, before={})
    made.before.update(made.now())
    yield made
    for host in hosts:
        host.heal()
        lab.remove(host)


@pytest.fixture(scope="module")
def bad_day(story: Story) -> Played:
    """One host is cut off, one has another key than the controller knows."""
    right = story.controller.known_hosts.read_text()
    keys = {line.split(",")[0]: line.partition(" ")[2] for line in right.splitlines()}
    wrong = right.replace(keys[story.stranger.address], keys[story.good.address])
    story.controller.known_hosts.write_text(wrong)
    story.rebooting.cut()
    done = story.controller.play()
    story.rebooting.heal()
    story.controller.known_hosts.write_text(right)
    return done


def test_a_host_that_is_cut_off_and_one_with_another_key_do_not_stop_the_third(story: Story, bad_day: Played) -> None:
    assert bad_day.exit_code != 0
    cut, stranger = story.rebooting, story.stranger
    why = "lacks all 2 cells: the preflight left it out:"
    parts = (
        f"Hosts: {story.good.name} is complete",
        f"{cut.name} {why} {cut.address} does not answer .*",
        f"{stranger.name} {why} its host key is ED25519 .* but .*known_hosts:3 holds another one",
    )
    assert re.search("; ".join(parts), words(bad_day)), bad_day.output
    assert started(bad_day) == [story.good.name] * 2
    assert story.controller.systems() == {story.good.name}
    assert len(attempts(story.good)) == 2
    for host in (cut, stranger):
        assert not (host.root / _HOME).exists()
        assert story.now()[host.name] == story.before[host.name]


@pytest.fixture(scope="module")
def reboot_day(story: Story, bad_day: Played) -> Played:
    """All hosts are well again, and one reboots in the middle of its installation and takes its time."""
    assert bad_day.exit_code != 0
    running = story.controller.start()
    running.until(f"{story.rebooting.name}  bringing python")
    deadline = time.monotonic() + 60
    while not list((story.rebooting.root / _HOME).glob("python/*/bin/python")) and time.monotonic() < deadline:
        time.sleep(0.05)
    story.rebooting.cut()
    story.rebooting.reboot(wait=False)
    done = running.end()
    story.rebooting.heal()
    story.rebooting.wait()
    return done


def test_a_host_that_reboots_while_it_is_provisioned_fails_alone(story: Story, reboot_day: Played) -> None:
    assert reboot_day.exit_code != 0
    assert reboot_day.recap[story.rebooting.name]["unreachable"] == 1
    assert started(reboot_day) == [story.stranger.name] * 2
    complete = f"Hosts: {story.good.name} and {story.stranger.name} are complete"
    why = f"{complete}; {story.rebooting.name} lacks all 2 cells: it dropped out at '.+': .*(ssh|connect|host)"
    assert re.search(why, words(reboot_day)), reboot_day.output
    assert story.controller.systems() == {story.good.name, story.stranger.name}
    assert list((story.rebooting.root / _HOME).glob(".python.*")), "it was not cut off in the middle"


@pytest.fixture(scope="module")
def good_day(story: Story, reboot_day: Played) -> Played:
    assert reboot_day.exit_code != 0
    return story.controller.play()


def test_the_next_run_finishes_only_what_is_missing_and_the_tree_has_three_systems(
    story: Story, good_day: Played
) -> None:
    assert good_day.exit_code == 0, good_day.output
    assert started(good_day) == [story.rebooting.name] * 2
    names = [host.name for host in story.hosts]
    assert f"Hosts: {names[0]}, {names[1]} and {names[2]} are complete." in words(good_day), good_day.output
    assert story.controller.systems() == set(names)
    home = story.rebooting.root / _HOME
    half_made = [*home.glob(".*"), *home.glob("python/.*"), *(one for one in home.glob("*/*/.*") if one.is_dir())]
    assert half_made == []
    asked = [sys.executable, "-m", "mlperf_ops", "store", "verify", "-i", str(story.controller.inventory), "--json"]
    verified = story.controller.lab.run(asked, cwd=story.controller.folder)
    assert json.loads(verified.stdout)["faults"] == []


def test_one_more_run_changes_nothing_on_any_host(story: Story, good_day: Played) -> None:
    before = {host.name: attempts(host) for host in story.hosts}
    assert good_day.exit_code == 0
    again = story.controller.play()
    assert again.exit_code == 0, again.output
    assert {name: counts["changed"] for name, counts in again.recap.items()} == dict.fromkeys(
        [*before, "localhost"], 0
    ), again.output
    assert started(again) == []
    assert {host.name: attempts(host) for host in story.hosts} == before


def test_two_controllers_on_one_host_never_run_two_cells_at_once_and_both_finish(
    story: Story, good_day: Played, tmp_path: Path
) -> None:
    assert good_day.exit_code == 0
    host = story.good
    one = Controller(story.controller.lab, tmp_path / "one", [host], "one", mlperf_test_query_count=3000)
    tuning: Json = {"sysctls": {"vm.swappiness": 10}}
    other = Controller(story.controller.lab, tmp_path / "other", [host], "other", mlperf_tuning=tuning)
    host.exec(["systemd-run", "--quiet", "--unit=count-cells", "sh", "-c", _COUNT_CELLS])
    first = one.start()
    first.until("Offline performance   starting, expected")
    refused = other.play()
    assert first.process.poll() is None, "the measurement was too short for this test"
    assert refused.exit_code != 0
    holder = f"{host.name}/efficientnet-lite0/Offline/performance"
    assert f"the preflight left it out: run 'one' measures on it: {holder} (pid " in words(refused), refused.output
    ended = first.end()
    assert ended.exit_code == 0, ended.output
    assert "tainted" not in ended.output
    assert len(started(ended)) == 2
    assert host.read("/proc/sys/vm/swappiness") == "1\n"

    finished = other.play()
    assert finished.exit_code == 0, finished.output
    assert host.read("/proc/sys/vm/swappiness") == "10\n"
    host.exec(["systemctl", "stop", "count-cells"])
    assert set(host.read("/root/cells").split()) == {"0", "1"}
    assert started(one.play()) == []
    assert host.read("/proc/sys/vm/swappiness") == "1\n"


def test_revert_puts_back_what_tuning_manages_bit_for_bit_on_simulated_cpufreq_and_the_system(
    story: Story, good_day: Played
) -> None:
    assert good_day.exit_code == 0
    for name, (knobs, system) in story.now().items():
        assert (knobs != story.before[name][0], system != story.before[name][1]) == (True, True)
    results = {host.name: attempts(host) for host in story.hosts}
    reverted = story.controller.play("playbooks/revert.yml")
    assert reverted.exit_code == 0, reverted.output
    after = story.now()
    for name in after:
        assert after[name] == story.before[name], name
    assert {host.name: attempts(host) for host in story.hosts} == results
    for host in story.hosts:  # that the home is ours to remove, once nobody needs the results
        assert host.exec(["ls", "-A", "/var/lib/mlperf-ops"]).stdout == "host_packages.json\n"
    again = story.controller.play("playbooks/revert.yml")
    assert (again.exit_code, again.total("changed")) == (0, 0), again.output
