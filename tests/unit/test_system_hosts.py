"""Several hosts of one node type: one description, or a sentence with every field in which they differ."""

from __future__ import annotations

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json
from mlperf_ops.system import SystemDescription
from mlperf_ops.system_facts import Fact, SystemFacts, Usage
from mlperf_ops.system_hosts import SystemHost, describe_hosts

ROUND = load_catalogue().round("v6.1")
BASE: dict[str, Json] = {
    "hostname": "node",
    "cpu_model": "Example 9354",
    "cpu_sockets": 2,
    "os_name": "Debian GNU/Linux 13",
    "kernel": "6.12",
    "memory_total_bytes": 540_000_000_000,
    "accelerators": [],
}


def host(name: str, given: dict[str, Json] | None = None, **facts: Json) -> SystemHost:
    values = {**BASE, "hostname": name, **facts}
    known = {key: Fact(value, f"tool: {key}") for key, value in values.items()}
    return SystemHost(name, "datacenter", given or {}, SystemFacts(known, {}))


def described(*hosts: SystemHost) -> SystemDescription:
    usage = Usage("twins", {"onnxruntime": ["1.23.2"]}, {"numpy": ["2.2.6"]}, ("cpu",))
    return describe_hosts(ROUND, hosts, division="closed", submitter="Example", usage=usage)


def test_equal_hosts_give_one_description_of_one_node_each() -> None:
    made = described(host("sut1"), host("sut2"), host("sut3"))
    assert made.hosts == ("sut1", "sut2", "sut3")
    assert made.content["host_processors_per_node"] == 2
    assert made.content["number_of_nodes"] == 1
    assert made.origins["number_of_nodes"].origin == "plan: each result is of one host"


def test_names_and_boots_of_hosts_may_differ() -> None:
    assert described(host("a", boot_id="1"), host("b", boot_id="2")).content == described(host("a")).content


def test_every_difference_is_named_with_both_hosts_and_both_values() -> None:
    with pytest.raises(ResultError) as caught:
        described(host("a"), host("b"), host("c", cpu_sockets=1, kernel="6.1"))
    message = caught.value.message
    assert message.startswith(
        "hosts a and c both are system twins, but host_processors_per_node is '2' on a and '1' on c"
    )
    assert (
        "; operating_system is 'Debian GNU/Linux 13 (Linux 6.12)' on a and 'Debian GNU/Linux 13 (Linux 6.1)' on c"
        in (message)
    )
    assert "mlperf_system names" in str(caught.value.hint)


def test_a_field_that_is_typed_for_both_is_no_difference() -> None:
    typed: dict[str, Json] = {"host_processors_per_node": 2, "host_processor_interconnect": "2x Example link"}
    assert described(host("a", typed), host("b", typed, cpu_sockets=1)).content["host_processors_per_node"] == 2


def test_what_only_one_host_can_tell_is_a_difference() -> None:
    modules: Json = [{"count": 8, "size_gib": 64, "type": "DDR5", "speed": "4800 MT/s"}]
    with pytest.raises(ResultError, match=r"host_memory_configuration is '8x 64 GiB .*' on a and 'unknown: .*' on b"):
        described(host("a", memory_modules=modules), host("b"))


def test_the_kernel_may_leave_a_little_less_memory_on_one_of_two_equal_hosts() -> None:
    made = described(host("a", memory_total_bytes=540_300_000_000), host("b"))
    assert made.content["host_memory_capacity"] == "502.9 GiB (usable)"
    with pytest.raises(ResultError, match="host_memory_capacity"):
        described(host("a", memory_total_bytes=640_000_000_000), host("b"))
