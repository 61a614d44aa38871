"""The role system_facts on real hosts whose firmware, GPUs and cpufreq are simulated."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.files import Json
from tests.lab import Host, Lab

pytestmark = pytest.mark.lab

_FILES_SINCE = "find /etc /opt /srv /usr /var/lib /root /home -xdev -newer /tmp/before -not -path '*/.ansible*' -type f"


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Host]:
    """A host with simulated cpufreq, dmidecode and two simulated GPUs."""
    made = lab.fresh(hardware="acpi-cpufreq+nvidia+dmidecode")
    yield made
    lab.remove(made)


def collect(
    lab: Lab, host: Host, folder: Path, *arguments: str, user: str = "root", **more: Json
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the role on one host; return the play and facts.json, empty where there is none."""
    play = folder / "play.yml"
    roles = [{"role": "mlperf_ops.lab.system_facts"}]
    play.write_text(yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "roles": roles}]))
    results = folder / "results"
    variables: dict[str, Json] = {"system_facts_results": str(results), **more}
    done = lab.playbook(str(play), "--limit", host.name, *arguments, check=False, extra_vars=variables, user=user)
    path = results / "hosts" / host.name / "facts.json"
    return done, json.loads(path.read_text()) if path.is_file() else {"values": {}, "unknown": {}}


def values(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: entry["value"] for name, entry in facts["values"].items()}


def changed(done: subprocess.CompletedProcess[str]) -> int:
    return sum(int(count) for count in re.findall(r"changed=(\d+)", done.stdout))


def test_facts_of_a_host_with_simulated_firmware_gpus_and_cpufreq(lab: Lab, server: Host, tmp_path: Path) -> None:
    server.exec("touch /tmp/before")
    done, facts = collect(lab, server, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = values(facts)
    assert told["memory_modules"] == [{"count": 4, "size_gib": 16, "type": "DDR5", "speed": "4800 MT/s"}]
    assert told["memory_slots"] == 8
    assert (told["product_name"], told["bios_version"]) == ("Lab Host", "1.0")
    assert [gpu["name"] for gpu in told["accelerators"]] == ["NVIDIA H100 80GB HBM3 (simulated)"] * 2
    assert told["accelerators"][0]["pcie"] == "PCIe Gen5 x16"
    assert told["cpu_scaling_driver"] == "acpi-cpufreq"
    assert told["hostname"] == server.exec("hostname").stdout.strip()
    assert "SIM0001" not in json.dumps(facts)
    assert server.address not in json.dumps(facts)
    assert not [line for line in server.exec(_FILES_SINCE).stdout.splitlines() if "lab-shims" not in line]


def test_a_second_collection_changes_nothing_and_check_mode_writes_nothing(
    lab: Lab, server: Host, tmp_path: Path
) -> None:
    checked, facts = collect(lab, server, tmp_path, "--check", "--diff")
    assert checked.returncode == 0, checked.stdout
    assert changed(checked) == 1
    assert '+    "memory_modules": {' in checked.stdout
    assert facts["values"] == {}
    assert changed(collect(lab, server, tmp_path)[0]) == 1
    assert changed(collect(lab, server, tmp_path)[0]) == 0


def test_a_plain_account_with_sudo_reads_what_root_reads(lab: Lab, server: Host, tmp_path: Path) -> None:
    done, facts = collect(lab, server, tmp_path, user="ops")
    assert done.returncode == 0, done.stdout
    assert "memory_modules" in facts["values"]
    _, without = collect(lab, server, tmp_path, user="ops", mlperf_become=False)
    assert without["unknown"]["memory_modules"] == "dmidecode needs root"
    lost = set(values(facts)) - set(values(without))
    assert all(
        re.match(r"memory_(modules|slots|ecc|parts)|bios_|board_|system_vendor|product_name", name) for name in lost
    )
    assert without["unknown"]["product_name"] == "the kernel shows no DMI data; dmidecode needs root"


def test_an_account_that_may_not_become_root_still_gives_facts(lab: Lab, tmp_path: Path) -> None:
    host = lab.fresh(hardware="none-but-sysctls+dmidecode")
    try:
        host.exec("rm -f /etc/sudoers.d/* && sed -i '/ops/d' /etc/sudoers && gpasswd -d ops sudo || true")
        done, facts = collect(lab, host, tmp_path, user="ops")
        assert done.returncode == 0, done.stdout
        assert facts["unknown"]["memory_modules"] == "dmidecode needs root"
        assert values(facts)["cpu_logical_count"] >= 1
    finally:
        lab.remove(host)


def test_simulated_amd_gpus_are_known_with_their_memory(lab: Lab, tmp_path: Path) -> None:
    host = lab.fresh(hardware="amd-pstate+rocm")
    try:
        done, facts = collect(lab, host, tmp_path, "-vv")
        assert done.returncode == 0, done.stdout
        assert facts["values"]["accelerators"]["origin"].startswith("amd-smi")
        gpus = values(facts)["accelerators"]
        assert len(gpus) == 2
        assert (gpus[0]["memory_type"], gpus[0]["pcie"]) == ("HBM3", "PCIe Gen5 x16")
        assert str(values(facts)["cpu_scaling_driver"]).startswith("amd-pstate")
    finally:
        lab.remove(host)


def test_a_simulated_gpu_tool_that_fails_is_a_reason_and_no_failure(lab: Lab, host: Host, tmp_path: Path) -> None:
    host.write("/usr/local/bin/nvidia-smi", "#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    host.exec("chmod 755 /usr/local/bin/nvidia-smi")
    done, facts = collect(lab, host, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "nvidia-smi failed with exit code 6: No devices were found" in facts["values"]["accelerators"]["origin"]
