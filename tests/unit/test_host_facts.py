"""Facts of machines that this test lays out itself: a file system root and tools that print canned text."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.files import pretty_json
from tests.support.known_machines import DATA, MACHINES, ROOT, collected, described, host_facts, host_tools, tool


class FakeMachine:
    """A root folder with files, and a folder with tools that print a file and exit with a code."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.tools = folder / "bin"
        self.root.mkdir()
        self.tools.mkdir()

    def file(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def tool(self, name: str, output: Path | str, *, code: int = 0) -> None:
        tool(self.tools, name, output.read_text() if isinstance(output, Path) else output, code=code)

    def network_card(self, name: str, address: str, driver: str, speed: str | None = None) -> None:
        (self.root / f"sys/devices/pci0000:00/{address}").mkdir(parents=True, exist_ok=True)
        folder = self.root / f"sys/class/net/{name}"
        folder.mkdir(parents=True)
        (folder / "device").symlink_to(self.root / f"sys/devices/pci0000:00/{address}")
        driver_link = folder / "device" / "driver"
        if not driver_link.is_symlink():
            driver_link.symlink_to(f"/sys/bus/pci/drivers/{driver}")
        if speed is not None:
            (folder / "speed").write_text(speed)

    def collect(self, *, uid: int = 0) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
        """Return values, their origins, and the reasons of the unknown ones."""
        facts = host_facts.collect(host_tools.Machine(str(self.root), str(self.tools), uid))
        values = {name: entry["value"] for name, entry in facts["values"].items()}
        return values, {name: entry["origin"] for name, entry in facts["values"].items()}, facts["unknown"]


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_a_server_with_everything_is_described_in_full(machine: FakeMachine) -> None:
    machine.tool("lscpu", DATA / "lscpu-two-sockets.json")
    machine.tool("lsblk", DATA / "lsblk.json")
    machine.tool("dmidecode", DATA / "dmidecode-memory.txt")
    machine.tool("nvidia-smi", DATA / "nvidia-smi.csv")
    machine.file("/proc/meminfo", "MemTotal:       131072000 kB\nSwapTotal:             0 kB\n")
    machine.file("/sys/class/dmi/id/product_name", "Example R760\n")
    machine.file("/sys/class/dmi/id/sys_vendor", "Example Inc.\n")
    machine.file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    machine.file("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n")
    machine.file("/sys/devices/system/cpu/cpufreq/boost", "1\n")
    machine.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    machine.file("/etc/os-release", 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n')

    values, origins, unknown = machine.collect()

    assert (values["cpu_sockets"], values["cpu_cores_per_socket"], values["cpu_threads_per_core"]) == (2, 32, 2)
    assert values["cpu_model"] == "Example 9354 32-Core Processor"
    assert values["cpu_max_mhz"] == 3799.072
    assert values["cpu_l3_cache"] == "512 MiB (16 instances)"
    assert values["cpu_flags"] == ["avx", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "f16c", "fma", "sse4_2"]
    assert values["hypervisor"] == "none"
    assert values["numa_nodes"] == 2
    assert values["memory_total_bytes"] == 131072000 * 1024
    assert values["memory_modules"] == [
        {"count": 1, "size_gib": 16, "type": "DDR5", "speed": "5600 MT/s"},
        {"count": 2, "size_gib": 64, "type": "DDR5", "speed": "4400 MT/s"},
    ]
    assert [disk["name"] for disk in values["storage_devices"]] == ["nvme0n1", "nvme1n1", "sda"]
    assert [disk["rotating"] for disk in values["storage_devices"]] == [False, False, True]
    gpu = {
        "name": "Example GPU 80GB PCIe",
        "memory_mib": 81559,
        "driver": "550.54.15",
        "max_mhz": 1755,
        "pcie": "PCIe Gen5 x16",
        "pci_vendor": "0x10de",
    }
    assert values["accelerators"] == [gpu, gpu]
    assert (values["product_name"], values["system_vendor"]) == ("Example R760", "Example Inc.")
    assert (values["cpu_governor"], values["cpu_turbo"], values["transparent_hugepage"]) == (
        "performance",
        "on",
        "madvise",
    )
    assert values["os_name"] == "Debian GNU/Linux 13 (trixie)"
    assert origins["cpu_sockets"] == "lscpu: Socket(s)"
    assert origins["os_name"] == "/etc/os-release: PRETTY_NAME"
    assert unknown["bios_version"] == "/sys/class/dmi/id/bios_version is empty or a placeholder of the firmware"


def test_a_bare_machine_gives_reasons_and_no_value_that_was_not_read(machine: FakeMachine) -> None:
    values, _, unknown = machine.collect()
    assert unknown["cpu_model"] == "lscpu is not installed"
    assert unknown["memory_modules"] == "dmidecode is not installed"
    assert unknown["storage_devices"] == "lsblk is not installed"
    assert unknown["memory_total_bytes"] == "/proc/meminfo: MemTotal tells nothing"
    assert values["accelerators"] == []
    # What is left comes from this very process, or is an empty list that was really looked up.
    assert set(values) == {
        "container", "architecture", "glibc", "python_version", "network_interfaces", "network_card_count",
        "accelerators",
    }  # fmt: skip
    assert not set(values) & set(unknown)


def test_memory_modules_need_root_and_a_firmware_that_tells(machine: FakeMachine) -> None:
    machine.tool("dmidecode", DATA / "dmidecode-memory.txt")
    assert machine.collect(uid=1000)[2]["memory_modules"] == "dmidecode needs root"
    machine.tool("dmidecode", "# dmidecode 3.4\n# No SMBIOS nor DMI entry point found, sorry.\n")
    assert machine.collect()[2]["memory_modules"] == "the firmware describes no memory module to dmidecode"
    machine.tool("dmidecode", "/dev/mem: Operation not permitted\n", code=1)
    assert machine.collect()[2]["memory_modules"] == (
        "dmidecode failed with exit code 1: /dev/mem: Operation not permitted"
    )


def test_sockets_of_an_arm_machine_come_from_the_kernel_where_lscpu_shows_a_dash(machine: FakeMachine) -> None:
    machine.tool("lscpu", DATA / "lscpu-arm.json")
    assert machine.collect()[2]["cpu_sockets"] == "lscpu shows no 'Socket(s)'"
    for cpu in range(4):
        machine.file(f"/sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", "0\n")
        machine.file(f"/sys/devices/system/cpu/cpu{cpu}/topology/core_id", f"{cpu}\n")
    values, origins, unknown = machine.collect()
    assert (values["cpu_sockets"], values["cpu_cores_per_socket"]) == (1, 4)
    assert origins["cpu_sockets"] == "/sys/devices/system/cpu/*/topology"
    assert values["cpu_flags"] == ["asimd", "asimddp", "asimdhp"]
    assert unknown["cpu_l3_cache"] == "lscpu shows no 'L3 cache'"


def test_broken_output_of_a_tool_is_a_reason_and_no_crash(machine: FakeMachine) -> None:
    machine.tool("lscpu", "lscpu: unrecognized option\n")
    machine.tool("lsblk", "[]\n")
    machine.tool("rocm-smi", "WARNING: no JSON\n")
    values, origins, unknown = machine.collect()
    assert unknown["cpu_sockets"] == "lscpu -J printed something else than its JSON"
    assert "storage_devices" in unknown
    assert values["accelerators"] == []
    assert "rocm-smi printed something that is not understood" in origins["accelerators"]


def test_network_ports_count_by_card_and_virtual_ones_not_at_all(machine: FakeMachine) -> None:
    (machine.root / "sys/class/net/lo").mkdir(parents=True)
    machine.network_card("ens1f0", "0000:31:00.0", "mlx5_core", "100000\n")
    machine.network_card("ens1f1", "0000:31:00.1", "mlx5_core", "-1\n")
    machine.network_card("eno1", "0000:01:00.0", "igb", None)
    machine.network_card("ens1f0v0", "0000:31:00.2", "mlx5_core", "100000\n")
    (machine.root / "sys/devices/pci0000:00/0000:31:00.2/physfn").mkdir()
    values, _, _ = machine.collect()
    assert values["network_card_count"] == 2
    assert values["network_interfaces"] == [
        {"name": "eno1", "driver": "igb", "model": None, "type": None, "speed_mbit": None},
        {"name": "ens1f0", "driver": "mlx5_core", "model": None, "type": None, "speed_mbit": 100000},
        {"name": "ens1f1", "driver": "mlx5_core", "model": None, "type": None, "speed_mbit": None},
    ]


def test_an_amd_card_whose_name_is_only_an_index_has_no_name(machine: FakeMachine) -> None:
    machine.tool("rocm-smi", DATA / "rocm-smi.json")
    first, second = machine.collect()[0]["accelerators"]
    assert (first["name"], first["memory_mib"], first["driver"]) == ("Example Instinct 300", 196288, "6.3.6")
    assert (second["name"], second["memory_mib"]) == (None, None)


def test_a_card_without_its_tool_is_seen_on_the_bus_but_not_named(machine: FakeMachine) -> None:
    machine.file("/sys/bus/pci/devices/0000:3b:00.0/class", "0x030200\n")
    machine.file("/sys/bus/pci/devices/0000:3b:00.0/vendor", "0x10de\n")
    machine.file("/sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n")
    machine.file("/sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n")
    values, origins, _ = machine.collect()
    assert values["accelerators"] == [{"name": None, "pci": "0000:3b:00.0", "pci_vendor": "0x10de", "pcie": None}]
    assert "nvidia-smi is not installed" in origins["accelerators"]


@pytest.mark.parametrize(("no_turbo", "boost", "expected"), [("1", None, "off"), ("0", None, "on"), (None, "0", "off")])
def test_turbo_is_read_in_both_polarities(
    machine: FakeMachine, no_turbo: str | None, boost: str | None, expected: str
) -> None:
    if no_turbo is not None:
        machine.file("/sys/devices/system/cpu/intel_pstate/no_turbo", no_turbo)
    if boost is not None:
        machine.file("/sys/devices/system/cpu/cpufreq/boost", boost)
    assert machine.collect()[0]["cpu_turbo"] == expected


def test_inside_a_container_the_origin_says_whose_operating_system_it_is(machine: FakeMachine) -> None:
    machine.file("/etc/os-release", "PRETTY_NAME='x'\n")
    machine.file("/.dockerenv", "")
    values, origins, _ = machine.collect()
    assert values["container"] == "docker"
    assert origins["os_name"] == "/etc/os-release: PRETTY_NAME (of the container)"


def test_this_machine_answers_and_every_fact_has_an_origin() -> None:
    facts = host_facts.collect()
    assert json.loads(json.dumps(facts)) == facts
    assert all(entry["origin"] and entry["value"] is not None for entry in facts["values"].values())
    assert all(facts["unknown"].values())
    if os.path.exists("/usr/bin/lscpu"):
        assert facts["values"]["cpu_logical_count"]["value"] >= 1
    assert host_facts.collect() == facts  # nothing volatile: a second play has nothing to change


@pytest.mark.parametrize("name", MACHINES)
def test_a_known_machine_gives_the_facts_and_the_description_that_are_expected_of_it(name: str, tmp_path: Path) -> None:
    facts = collected(name, tmp_path / "machine")
    assert pretty_json(facts) == (DATA / name / "facts.json").read_text()
    content = described(name, DATA / name / "facts.json").content
    assert pretty_json(content) == (DATA / name / "system.json").read_text()


@pytest.mark.parametrize("name", MACHINES)
def test_facts_hold_no_serial_number_and_no_address(name: str) -> None:
    text = (DATA / name / "facts.json").read_text()
    assert not re.search(r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b|\b\d{1,3}(\.\d{1,3}){3}\b", text.replace("rpt-rpi", ""))
    printed = DATA / name / "tools" / "dmidecode"
    serials = re.findall(r"Serial Number: (\S+)", printed.read_text()) if printed.exists() else []
    assert not [serial for serial in serials if serial in text]


def test_the_clusters_of_a_chip_are_not_its_sockets(tmp_path: Path) -> None:
    values = collected("jetson-agx-orin", tmp_path)["values"]
    assert isinstance(values, dict)
    assert values["cpu_sockets"] == {
        "value": 1,
        "origin": "device tree: a system on one chip, whose core clusters are no sockets",
    }


def test_amd_smi_is_asked_first_and_rocm_smi_when_it_fails(machine: FakeMachine) -> None:
    machine.tool("rocm-smi", DATA / "rocm-smi.json")
    machine.tool("amd-smi", "AMDSMI_STATUS_NOT_INIT\n", code=1)
    values, origins, _ = machine.collect()
    assert len(values["accelerators"]) == 2
    assert "amd-smi failed with exit code 1: AMDSMI_STATUS_NOT_INIT" in origins["accelerators"]
    gpu = {
        "gpu": 0,
        "asic": {"market_name": "Example Instinct 300", "asic_serial": "0x0123456789ABCDEF"},
        "bus": {"bdf": "0000:05:00.0", "max_pcie_width": 16, "max_pcie_speed": {"value": 32, "unit": "GT/s"}},
        "driver": {"name": "amdgpu", "version": "6.12.12"},
        "vram": {"type": "HBM3", "size": {"value": 196592, "unit": "MB"}},
    }
    expected = {
        "name": "Example Instinct 300",
        "memory_mib": 196592,
        "memory_type": "HBM3",
        "driver": "6.12.12",
        "max_mhz": None,
        "pcie": "PCIe Gen5 x16",
        "pci_vendor": "0x1002",
    }
    for printed in ([gpu, gpu], {"gpu_data": [gpu, gpu]}):
        machine.tool("amd-smi", f"WARNING: User is missing the render group\n{json.dumps(printed)}\n")
        assert machine.collect()[0]["accelerators"] == [expected, expected]


def test_cards_of_a_vendor_whose_tool_told_nothing_are_named_by_the_system(machine: FakeMachine) -> None:
    machine.tool(
        "nvidia-smi", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", code=9
    )
    machine.tool("rocm-smi", DATA / "rocm-smi.json")
    for bus, vendor, device in (("3b", "0x10de", "0x2330"), ("5e", "0x1002", "0x74a1"), ("9a", "0x1da3", "0x1020")):
        folder = f"/sys/bus/pci/devices/0000:{bus}:00.0"
        machine.file(f"{folder}/class", "0x120000\n")
        machine.file(f"{folder}/vendor", vendor)
        machine.file(f"{folder}/device", device)
    machine.file(
        "/usr/share/misc/pci.ids", "10de  Example Corporation\n\t2330  Big [B100]\n1da3  Other Ltd.\n\t10  No\n"
    )
    values, origins, _ = machine.collect()
    assert [gpu["name"] for gpu in values["accelerators"][2:]] == ["Example Corporation Big [B100]", None]
    assert origins["accelerators"] == (
        "rocm-smi, PCI devices named by /usr/share/misc/pci.ids; nvidia-smi failed with exit code 9: "
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    )


def test_an_infiniband_adapter_without_an_interface_is_a_card_too(machine: FakeMachine) -> None:
    machine.network_card("ens1", "0000:31:00.0", "mlx5_core", "100000\n")
    for name, bus in (("mlx5_0", "31"), ("mlx5_1", "51")):
        device = machine.root / f"sys/devices/pci0000:00/0000:{bus}:00.0"
        device.mkdir(parents=True, exist_ok=True)
        machine.link(f"/sys/class/infiniband/{name}/device", str(device))
        machine.file(f"/sys/class/infiniband/{name}/ports/1/rate", "400 Gb/sec (4X NDR)\n")
    values, _, _ = machine.collect()
    assert values["network_card_count"] == 2
    assert values["network_interfaces"][1] == {
        "name": "mlx5_1",
        "driver": None,
        "model": None,
        "type": "infiniband",
        "speed_mbit": 400000,
    }


def test_a_product_is_known_by_dmidecode_where_the_kernel_has_no_firmware_tables(machine: FakeMachine) -> None:
    machine.tool(
        "dmidecode",
        "Handle 0x0001, DMI type 1, 27 bytes\nSystem Information\n\tManufacturer: Example Inc.\n"
        "\tProduct Name: R760\n\tSerial Number: 4711\n\nHandle 0x0002, DMI type 2, 15 bytes\n"
        "Base Board Information\n\tProduct Name: To be filled by O.E.M.\n",
    )
    values, origins, unknown = machine.collect()
    assert (values["system_vendor"], values["product_name"]) == ("Example Inc.", "R760")
    assert origins["product_name"] == "dmidecode: System Information, Product Name"
    assert unknown["board_name"] == "the kernel shows no DMI data"


@pytest.mark.parametrize("name", ["host_facts", "host_tools", "host_gpus", "host_pci", "host_devices", "host_memory"])
def test_a_host_with_python_3_8_can_read_the_code(name: str) -> None:
    ast.parse((ROOT / "plugins" / "module_utils" / f"{name}.py").read_text(), feature_version=(3, 8))
    ast.parse((ROOT / "plugins" / "modules" / "host_facts.py").read_text(), feature_version=(3, 8))
