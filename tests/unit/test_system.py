"""System descriptions: every value has an origin, the user's word wins, and nothing is invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import Json, write_json
from mlperf_ops.system import SystemDescription, describe, origins_json
from mlperf_ops.system_facts import Fact, SystemFacts, Usage, load_facts
from mlperf_ops.system_given import check_given
from tests.support.attempts import FACTS

ROUND = load_catalogue().round("v6.1")
FIXED = {"division": "open", "submitter": "Acme", "system_type": "edge"}
USAGE = Usage(
    system="node1",
    frameworks={"onnxruntime": ["1.20.1"]},
    software={"python": ["3.11.2"], "numpy": ["2.1.3", "2.2.0"]},
    devices=("cpu",),
)
NOTHING = SystemFacts({}, {})


def facts(**values: Json) -> SystemFacts:
    return SystemFacts({name: Fact(value, f"tool: {name}") for name, value in values.items()}, {})


def canned(tmp_path: Path) -> SystemFacts:
    write_json(tmp_path / "facts.json", FACTS)
    return load_facts(tmp_path / "facts.json")


def described(
    machine: SystemFacts,
    given: dict[str, Json] | None = None,
    *,
    fixed: dict[str, str] = FIXED,
    usage: Usage = USAGE,
) -> SystemDescription:
    return describe(ROUND, fixed=fixed, given=given or {}, facts=machine, usage=usage, where="inventory")


def test_every_required_field_is_there_has_an_origin_and_no_other_key_is(tmp_path: Path) -> None:
    description = described(canned(tmp_path))
    assert set(description.content) == set(ROUND.system_description.required)
    assert set(description.origins) == set(description.content)
    assert all(origin.origin for origin in description.origins.values())
    assert not [key for key in ROUND.system_description.non_empty if not description.content[key]]


def test_a_virtual_machine_is_described_as_what_it_shows(tmp_path: Path) -> None:
    content = described(canned(tmp_path)).content
    assert content["host_processor_model_name"] == "Intel(R) Xeon(R) Processor"
    assert content["host_memory_capacity"] == "8.0 GiB (usable)"
    assert content["host_storage_capacity"] == "1x 69 GB"
    assert content["host_storage_type"] == "virtual disk (its medium is not visible in the virtual machine)"
    assert content["host_networking"] == "1x virtio_net (link speed not reported)"
    assert content["hw_notes"] == "virtual machine (KVM): the hardware is as the guest sees it"
    assert content["framework"] == "onnxruntime v1.20.1"
    assert content["other_software_stack"] == "numpy 2.1.3 and 2.2.0, python 3.11.2"
    assert content["operating_system"] == "Debian GNU/Linux 12 (bookworm) (Linux 6.1.0-28-amd64, glibc 2.36)"
    assert content["host_processor_interconnect"] == "N/A"


def test_what_cannot_be_determined_says_so_in_the_field_and_in_the_list(tmp_path: Path) -> None:
    description = described(canned(tmp_path))
    assert description.content["host_memory_configuration"] == "unknown: dmidecode is not installed"
    assert description.unknown["host_memory_configuration"] == "dmidecode is not installed"
    assert description.origins["host_memory_configuration"].origin == "not determined"
    assert str(description.content["cooling"]).startswith("unknown: no fact of the machine tells it")


def test_a_machine_that_tells_nothing_gets_no_invented_hardware() -> None:
    description = described(NOTHING)
    hardware = {key for key in description.content if key.startswith("host_")} - {"host_networking_topology"}
    assert hardware <= set(description.unknown)
    assert all(str(description.content[key]).startswith("unknown: ") for key in hardware)
    assert description.content["system_name"] == "node1"


def test_numbers_are_numbers_but_a_zero_is_text_because_the_official_check_takes_0_for_empty() -> None:
    content = described(facts(cpu_sockets=2, cpu_cores_per_socket=32, network_card_count=0, accelerators=[])).content
    assert content["number_of_nodes"] == 1
    assert content["host_processors_per_node"] == 2
    assert content["host_processor_core_count"] == 32
    assert content["accelerators_per_node"] == "0"
    assert content["host_network_card_count"] == "0"
    assert int(str(content["number_of_nodes"])) * int(str(content["accelerators_per_node"])) == 0


def test_accelerators_that_the_runs_did_not_use_are_a_note_and_no_accelerators_of_the_result() -> None:
    gpu: Json = {"name": "Example GPU", "memory_mib": 81920, "driver": "1", "max_mhz": 1755, "pcie": "PCIe Gen5 x16"}
    machine = facts(accelerators=[gpu, gpu])
    unused = described(machine).content
    assert (unused["accelerators_per_node"], unused["accelerator_model_name"]) == ("0", "N/A")
    assert unused["hw_notes"] == "accelerators present and not used: 2x Example GPU"
    used = described(machine, usage=Usage("node1", {"tensorrt": ["10"]}, {}, ("gpu",)))
    assert used.content["accelerators_per_node"] == 2
    assert used.content["accelerator_model_name"] == "Example GPU"
    assert used.content["accelerator_memory_capacity"] == "80 GiB"
    assert used.content["accelerator_host_interconnect"] == "PCIe Gen5 x16"
    assert used.content["accelerator_frequency"] == "1755 MHz (maximum)"
    assert "accelerator_interconnect" in used.unknown
    assert used.content["hw_notes"] == ""


def test_a_server_is_described_with_its_modules_disks_and_cards() -> None:
    content = described(
        facts(
            product_name="R760",
            system_vendor="Example Inc.",
            cpu_sockets=2,
            cpu_max_mhz=3799.07,
            cpu_l2_cache="64 MiB (64 instances)",
            cpu_l3_cache="512 MiB (16 instances)",
            memory_modules=[{"count": 16, "size_gib": 64, "type": "DDR5", "speed": "4800 MT/s"}],
            memory_total_bytes=1_000_000_000_000,
            hypervisor="none",
            storage_devices=[
                {"name": "nvme0n1", "size_bytes": 960_197_124_096, "rotating": False, "transport": "nvme"},
                {"name": "nvme1n1", "size_bytes": 960_197_124_096, "rotating": False, "transport": "nvme"},
                {"name": "sda", "size_bytes": 12_000_138_625_024, "rotating": True, "transport": "sas"},
            ],
            network_interfaces=[{"name": "a", "driver": "mlx5_core", "speed_mbit": 100_000}] * 2,
            cpu_governor="performance",
            smt="on",
        )
    ).content
    assert content["system_name"] == "Example Inc. R760"
    assert content["host_memory_capacity"] == "1024 GiB"
    assert content["host_memory_configuration"] == "16x 64 GiB DDR5 4800 MT/s"
    assert content["host_storage_capacity"] == "2x 960 GB; 1x 12.00 TB"
    assert content["host_storage_type"] == "NVMe SSD, SAS HDD"
    assert content["host_networking"] == "2x mlx5_core 100 Gbit/s"
    assert content["host_processor_frequency"] == "3799 MHz (maximum)"
    assert content["host_processor_caches"] == "L2 64 MiB (64 instances), L3 512 MiB (16 instances)"
    assert content["sw_notes"] == "CPU governor performance, SMT on"
    assert str(content["host_processor_interconnect"]).startswith("unknown: ")


def test_the_users_word_wins_over_the_facts(tmp_path: Path) -> None:
    description = described(
        canned(tmp_path),
        {"cooling": "liquid", "host_memory_capacity": "512 GB", "number_of_nodes": "2", "status": "Available"},
    )
    assert description.content["cooling"] == "liquid"
    assert description.content["host_memory_capacity"] == "512 GB"
    assert description.content["number_of_nodes"] == 2
    assert description.content["status"] == "Available"
    assert description.origins["cooling"].origin == "inventory: mlperf_system_description"
    assert "cooling" not in description.unknown


def test_nobody_claims_availability_for_the_user(tmp_path: Path) -> None:
    description = described(canned(tmp_path))
    assert description.content["status"] == "rdi"
    assert "claims no availability" in description.origins["status"].origin


def test_a_power_field_of_the_user_is_kept_and_the_rest_of_them_is_not_asked_for() -> None:
    assert described(NOTHING, {"filesystem": "ext4"}).content["filesystem"] == "ext4"
    assert "power_management" not in described(NOTHING).content


def test_a_network_system_has_the_network_fields_and_any_other_has_none() -> None:
    network = described(NOTHING, fixed={**FIXED, "division": "network"})
    assert network.content["is_network"] == "true"
    assert set(ROUND.system_description.required_network) <= set(network.content)
    # the official check takes any text that is not empty for true, so false is said by leaving it out
    assert "is_network" not in described(NOTHING, {"is_network": False}).content


@pytest.mark.parametrize(
    ("given", "sentence", "hint"),
    [
        ({"coolling": "air"}, "'coolling' is not a field of a v6.1 system description", "did you mean 'cooling'?"),
        ({"division": "closed"}, "'division' is set by mlperf_division", "remove it here"),
        ({"submitter": "x"}, "'submitter' is set by mlperf_submitter", "remove it here"),
        ({"number_of_nodes": "two"}, "number_of_nodes is 'two'; expected a whole number", None),
        ({"accelerators_per_node": True}, "accelerators_per_node is True; expected a whole number", None),
        ({"accelerators_per_node": 1.5}, "accelerators_per_node is 1.5; expected a whole number", None),
        ({"cooling": ""}, "cooling is empty", "leave the field out"),
        ({"cooling": None}, "cooling is empty", "leave the field out"),
        ({"cooling": "TBD"}, "cooling is the placeholder 'TBD'", "leave the field out"),
        ({"host_networking": "Insert network here"}, "is the placeholder", "leave the field out"),
        ({"hw_notes": "ToDo"}, "hw_notes is the placeholder 'ToDo'", "leave the field out"),
        ({"cooling": ["air"]}, "cooling is a list; expected a text or a number", None),
        ({"status": "avaliable"}, "status 'avaliable' is not one of available, preview, rdi", "'available'"),
        ({"is_network": "maybe"}, "is_network is 'maybe'; expected true or false", None),
    ],
)
def test_a_wrong_field_of_the_user_is_one_sentence(given: dict[str, Json], sentence: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        check_given(given, ROUND, "mlperf_system_description of host node1")
    assert caught.value.message.startswith("mlperf_system_description of host node1: ")
    assert sentence in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_the_origins_file_tells_value_origin_and_what_is_unknown(tmp_path: Path) -> None:
    told: Any = origins_json({"node1": described(canned(tmp_path))})
    fields = told["systems"]["node1"]["fields"]
    assert fields["host_processors_per_node"] == {"value": 1, "origin": "lscpu: Socket(s)"}
    assert fields["submitter"] == {"value": "Acme", "origin": "inventory: mlperf_submitter"}
    assert told["systems"]["node1"]["unknown"]["host_memory_configuration"] == "dmidecode is not installed"
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "expected the keys 'values' and 'unknown'"),
        ('{"values": {"cpu_model": "x"}, "unknown": {}}', r"values\.cpu_model: expected an object"),
        ("[1]", "holds a list"),
        ("{", "is not JSON"),
    ],
)
def test_facts_of_another_form_are_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=sentence):
        load_facts(path)
