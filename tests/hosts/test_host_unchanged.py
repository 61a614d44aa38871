"""A host that is as it was is left out of the next run; whatever somebody does to it, the next run sees it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.files import Json
from tests.lab import Host, Lab
from tests.support.playbooks import Played, played

pytestmark = [pytest.mark.lab, pytest.mark.network]

_HOME = "/home/ops/mlperf"
_GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
_VARIABLES: dict[str, Any] = {
    "ansible_user": "ops",
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "example",
    "mlperf_system_type": "edge",
    "mlperf_home": "~/mlperf",
    "mlperf_run_style": "test",
    "mlperf_test_query_count": 10,
    "mlperf_tuning_profile": "generic-linux",
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}],
    "host_packages_extra": ["tree"],
    "time_sync_manage": True,
    "time_sync_local_stratum": 10,
    "time_sync_chronyd_options": "-x",  # hosts of one machine share its clock
}


class Site:
    """A controller and its one host."""

    def __init__(self, lab: Lab, host: Host, folder: Path) -> None:
        self.lab = lab
        self.host = host
        self.folder = folder
        self.inventory = folder / "one"
        self.run = folder / "results" / "one"
        self.inventory.mkdir()
        reached = yaml.safe_load((lab.inventory / "hosts.yml").read_text())["all"]["vars"]
        members = {host.name: {"ansible_host": host.address}}
        tree = {"all": {"vars": {**reached, **_VARIABLES}, "children": {"sut": {"hosts": members}}}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(tree))

    def play(self, *arguments: str, playbook: str = "run-inference.yml", **variables: Json) -> Played:
        """Run a playbook; all of it by default."""
        done = self.lab.playbook(
            playbook,
            *arguments,
            check=False,
            inventory=self.inventory,
            user="ops",
            cwd=self.folder,
            extra_vars=variables,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return played(done.returncode, done.stdout + done.stderr)

    def why(self, **variables: Json) -> str:
        """Return why the host is not unchanged, "" when it is."""
        said = self.play("-v", playbook="playbooks/unchanged.yml", **variables).output
        found = re.search(r"^ {4}unchanged: (\w+)\n {4}why: (.*(?:\n {8}.*)*)", said, re.MULTILINE)
        assert found is not None, said
        assert (found[1] == "true") == (found[2] == "''"), said
        return re.sub(r"\s+", " ", found[2]).strip("'")

    def tasks(self, play: Played) -> int:
        """Return how many tasks a play has done on the host."""
        return play.recap[self.host.name]["ok"]


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    host = lab.fresh(hardware="acpi-cpufreq")
    made = Site(lab, host, tmp_path_factory.mktemp("unchanged"))
    first = made.play()
    assert made.tasks(first) > 1
    yield made
    lab.remove(host)


def test_the_second_run_leaves_the_host_out_and_says_so_without_a_warning(site: Site) -> None:
    second = site.play()
    assert site.tasks(second) == 1, second.output
    assert second.total("changed") == 0, second.output
    assert re.search(rf"^{site.host.name} +efficientnet-lite0 .* VALID", second.output, re.MULTILINE), second.output
    assert "WARNING" not in second.output
    assert site.why() == ""


def test_check_mode_leaves_it_out_too_and_changes_nothing(site: Site) -> None:
    before = site.host.exec(f"find {_HOME}/state -type f -exec sha256sum {{}} +").stdout
    assert site.tasks(site.play("--check")) == 1
    assert site.host.exec(f"find {_HOME}/state -type f -exec sha256sum {{}} +").stdout == before


def test_every_role_looks_without_trust_and_when_a_verb_is_run_alone(site: Site) -> None:
    assert site.tasks(site.play(host_unchanged_trust=False)) > 1
    assert site.tasks(site.play("--tags", "provision")) > 1
    assert "every byte is read" in site.why(host_components_read="full")
    assert site.tasks(site.play(playbook="playbooks/provision.yml")) > 1
    assert site.why() == ""


def flip_a_byte(site: Site) -> Callable[[], bool]:
    """Change one byte of the model, and put the time of modification back."""
    model = next((site.host.root / _HOME[1:] / "store" / "efficientnet-lite0").rglob("*.onnx"))
    path = f"/{model.relative_to(site.host.root)}"
    before = site.host.exec(["sha256sum", path]).stdout
    site.host.exec(
        f"touch -r {path} /tmp/time; printf X | dd of={path} bs=1 seek=1000 conv=notrunc; touch -r /tmp/time {path}"
    )
    assert site.host.exec(["sha256sum", path]).stdout != before
    return lambda: site.host.exec(["sha256sum", path]).stdout == before


def remove_a_package(site: Site) -> Callable[[], bool]:
    site.host.exec("apt-get -y remove tree", timeout=60)
    return lambda: site.host.exec("command -v tree", check=False).returncode == 0


def change_a_knob(site: Site) -> Callable[[], bool]:
    wanted = site.host.read(_GOVERNOR)
    assert wanted.strip() != "powersave"
    site.host.exec(f"echo powersave > {_GOVERNOR}")
    return lambda: site.host.read(_GOVERNOR) == wanted


def stop_chronyd(site: Site) -> Callable[[], bool]:
    site.host.exec("systemctl stop chrony")
    return lambda: site.host.exec("systemctl is-active chrony", check=False).stdout == "active\n"


def disable_chronyd(site: Site) -> Callable[[], bool]:
    site.host.exec("systemctl disable chrony")
    return lambda: site.host.exec("systemctl is-enabled chrony", check=False).stdout == "enabled\n"


def reboot(site: Site) -> Callable[[], bool]:
    wanted = site.host.read(_GOVERNOR)
    site.host.reboot()
    return lambda: site.host.read(_GOVERNOR) == wanted


def delete_what_was_collected(site: Site) -> Callable[[], bool]:
    folder = site.run / "hosts" / site.host.name
    attempts = sorted(folder.rglob("result.json"))
    shutil.rmtree(folder)
    return lambda: sorted(folder.rglob("result.json")) == attempts


def delete_a_result_on_the_host(site: Site) -> Callable[[], bool]:
    # The attempt that lost its result counts as failed from then on; a new one takes its place.
    results = f'grep -rl --include=result.json \'"verdict": "valid"\' {_HOME}/runs/one | wc -l'
    before = site.host.exec(results).stdout
    assert int(before) > 0
    one = site.host.exec(f"find {_HOME}/runs/one -name result.json").stdout.splitlines()[0]
    site.host.exec(["rm", one])
    return lambda: site.host.exec(results).stdout == before


_DEEDS: dict[str, tuple[Callable[[Site], Callable[[], bool]], str]] = {
    "a flipped byte in the store": (flip_a_byte, "touched since it was read"),
    "a removed package": (remove_a_package, "package database"),
    "a knob changed by hand, on simulated cpufreq": (change_a_knob, "powersave"),
    "a stopped chronyd": (stop_chronyd, "time daemons"),
    "a chronyd that would not start at boot": (disable_chronyd, "clock configuration"),
    "a reboot": (reboot, "."),
    "results deleted on the controller": (delete_what_was_collected, "cannot read .*cells.json"),
    "a result deleted on the host": (delete_a_result_on_the_host, "results"),
}


@pytest.mark.parametrize("name", _DEEDS)
def test_what_somebody_does_to_a_host_is_seen_and_put_right(site: Site, name: str) -> None:
    deed, reason = _DEEDS[name]
    assert site.why() == ""
    is_right = deed(site)
    assert not is_right() or name == "a reboot"
    assert re.search(reason, site.why()), site.why()
    again = site.play()
    assert site.tasks(again) > 1, again.output
    assert is_right(), again.output
    assert site.why() == ""


def test_a_changed_variable_makes_every_role_look(site: Site) -> None:
    changed: dict[str, Any] = {"mlperf_system_description": {"cooling": "air"}}
    assert site.why() == ""
    assert "variables" in site.why(**changed)
    assert site.tasks(site.play(**changed)) > 1
    assert site.tasks(site.play(**changed)) == 1
    assert "variables" in site.why()
