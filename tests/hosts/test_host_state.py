"""The role host_state on real hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import mlperf_ops
from mlperf_ops.files import Json, JsonObject
from tests.lab import Host, Lab
from tests.support.plugins import plugin

pytestmark = pytest.mark.lab

_HOME = "/root/mlperf"


class Plays:
    """Plays of this role alone."""

    def __init__(self, lab: Lab, host: Host, folder: Path) -> None:
        self._lab, self._host = lab, host
        role = {"role": "mlperf_ops.lab.host_state"}
        self._path = folder / "play.yml"
        self._path.write_text(yaml.safe_dump([{"name": "P", "hosts": "all", "gather_facts": False, "roles": [role]}]))

    def __call__(self, *arguments: str, **variables: Json) -> tuple[int, int, str]:
        """Return exit code, number of changed tasks, and what was said without line breaks."""
        done = self._lab.playbook(
            str(self._path), "-v", "--limit", self._host.name, *arguments, check=False,
            extra_vars={"mlperf_home": _HOME, **variables},
        )  # fmt: skip
        said = done.stdout + done.stderr
        changed = sum(int(count) for count in re.findall(r"changed=(\d+)", said))
        return done.returncode, changed, re.sub(r"\s+", " ", said)


@pytest.fixture
def plays(lab: Lab, host: Host, tmp_path: Path) -> Plays:
    return Plays(lab, host, tmp_path)


def provision(host: Host) -> None:
    """Put the harness on the host, the files that host_components ships; this role needs nothing else of it."""
    for name, path in plugin("plugin_utils.bundles").harness_files(Path(mlperf_ops.__file__).parent):
        target = host.root / _HOME.lstrip("/") / "harness" / "x" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    host.exec(f"mkdir {_HOME}/state")
    python = {"path": "/usr/bin/python3", "version": "3", "digest": "0", "packages": {}}
    harness = {"path": f"{_HOME}/harness/x", "sha256": "0"}
    host.write(f"{_HOME}/state/provision.json", json.dumps({"python": python, "harness": harness, "components": {}}))


def tune(host: Host, boot_id: str) -> str:
    """Let tuning have recorded a knob that this host really has, and return the knob's file."""
    path = "/proc/sys/net/core/somaxconn"  # of the host's own network namespace
    knobs = {path: {"setting": "sysctl", "path": path, "value": host.read(path).strip()}}
    record = {"schema": 1, "boot_id": boot_id, "settings": {"sysctl": {}}, "skipped": [], "knobs": knobs}
    host.write(f"{_HOME}/state/tuning.json", json.dumps(record))
    return path


def test_before_provisioning_there_is_nothing_to_compare(plays: Plays) -> None:
    code, changed, said = plays()
    assert (code, changed) == (0, 0), said
    assert "was never provisioned, so there is nothing to compare" in said
    code, _, said = plays(host_state_strict=True)
    assert code == 2
    assert f"{_HOME} was never provisioned (run the provision playbook first)" in said


def test_a_knob_that_somebody_changed_is_named_and_fails_a_strict_play(plays: Plays, host: Host) -> None:
    provision(host)
    path = tune(host, host.boot_id())
    before = host.exec(f"find {_HOME} -type f -not -path '*/__pycache__/*' -exec sha256sum {{}} +").stdout
    code, changed, said = plays("--check", host_state_strict=True)
    assert (code, changed) == (0, 0), said
    assert "1 tuned knobs, all as tuning has set them" in said
    value = int(host.read(path))
    host.exec(f"echo {value + 1} > {path}")
    sentence = f"{path} is {value + 1}, tuning had set {value}"
    code, changed, said = plays()
    assert (code, changed) == (0, 0), said
    assert sentence in said
    code, _, said = plays(host_state_strict=True)
    assert code == 2
    assert f"{sentence} (run the tune playbook again)" in said
    assert host.exec(f"find {_HOME} -type f -not -path '*/__pycache__/*' -exec sha256sum {{}} +").stdout == before


def test_a_host_that_was_rebooted_after_tuning_is_named(plays: Plays, host: Host) -> None:
    provision(host)
    tune(host, "an earlier boot")
    assert "the host was rebooted after it was tuned" in plays()[2]


def ask(host: Host) -> JsonObject:
    """Ask the host's agent for its state."""
    agent = f"cd / && PYTHONPATH={_HOME}/harness/x /usr/bin/python3 -m mlperf_ops.harness.agent state --home {_HOME}"
    answer: JsonObject = json.loads(host.exec(agent, input="{}").stdout)
    return answer


def test_a_governor_that_somebody_changed_is_named_on_simulated_cpufreq(lab: Lab) -> None:
    host = lab.fresh(hardware="acpi-cpufreq")
    try:
        provision(host)
        path = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
        host.exec(f"echo performance > {path}")
        knobs = {path: {"setting": "governor", "path": path, "value": "performance"}}
        record = {"schema": 1, "boot_id": host.boot_id(), "settings": {}, "skipped": [], "knobs": knobs}
        host.write(f"{_HOME}/state/tuning.json", json.dumps(record))
        found = ask(host)
        assert (found["tuned_knobs"], found["drifted"]) == (1, [])
        snapshot = found["snapshot"]
        assert isinstance(snapshot, dict)
        policies = snapshot["policies"]
        assert isinstance(policies, dict)
        policy = policies["policy0"]
        assert isinstance(policy, dict)
        assert policy["governor"] == "performance"
        assert policy["current_khz"] == policy["max_khz"]
        host.exec(f"echo powersave > {path}")
        assert ask(host)["drifted"] == ["governor of policy0 is powersave, tuning had set performance"]
    finally:
        lab.remove(host)
