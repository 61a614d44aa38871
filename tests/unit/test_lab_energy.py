"""mlperf_unofficial_energy: off by default, for each host, and slips of the pen in one sentence."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, pretty_json
from mlperf_ops.harness.energy.model import SourceSettings
from mlperf_ops.lab_energy import EnergySource
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan
from mlperf_ops.typed import dump, load

HOST: dict[str, Json] = {
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "Example",
    "mlperf_home": "/srv/mlperf",
    "mlperf_system_type": "edge",
    "mlperf_test_query_count": 700,
    "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
}


def plan(**hosts: Json) -> Plan:
    """A plan of hosts with these sources; None: the variable is not set."""
    given = {
        name: {**HOST, "mlperf_system": name, **({"mlperf_unofficial_energy": value} if value is not None else {})}
        for name, value in hosts.items()
    }
    return make_plan(given, load_catalogue(), "inventory/lab", lambda _host, _path, _value: "")[0]


def test_without_the_variable_a_plan_says_nothing_of_energy() -> None:
    assert "energy" not in pretty_json(dump(plan(a=None)))


def test_each_host_has_its_own_sources_and_cells_are_the_same() -> None:
    pdu: Json = {"kind": "snmp", "name": "pdu-left", "address": "10.0.0.9", "oids": ["1.3.6.1"], "scale": 10}
    made = plan(a={"sources": ["rapl", pdu]}, b={"sources": ["nvml"]}, c=None)
    told = {host.name: host.unofficial_energy for host in made.hosts}
    assert [one["name"] for one in told["a"]] == ["rapl", "pdu-left"]
    assert told["b"] == ({"kind": "nvml", "name": "nvml", "sample_seconds": 1.0},)
    assert told["c"] == ()
    source = load(SourceSettings, told["a"][1], "source")
    assert (source.oids, source.scale, source.measures) == (("1.3.6.1",), 10.0, "watts")
    assert load(Plan, dump(made), "plan.json") == made
    digests = {cell.cell.key: cell.request_sha256 for cell in made.cells}
    assert digests == {cell.cell.key: cell.request_sha256 for cell in plan(a=None, b=None, c=None).cells}


def test_inventory_and_host_speak_of_the_same_keys_and_defaults() -> None:
    host = {field.name: field.default for field in fields(SourceSettings) if field.name not in {"kind", "name"}}
    lab = {name: field.default for name, field in EnergySource.model_fields.items() if name not in {"kind", "name"}}
    assert lab == host


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"sources": ["rapple"]}, "sources[0]: unknown value 'rapple'"),
        ({"sources": ["rapple"]}, "did you mean 'rapl'?"),
        ({"source": ["rapl"]}, "did you mean 'sources'?"),
        ({"sources": [{"kind": "redfish", "addres": "x"}]}, "did you mean 'address'?"),
        ({"sources": [{"kind": "rapl", "oids": ["1.3"]}]}, "a source of kind rapl takes no 'oids'; it takes"),
        ({"sources": ["redfish"]}, "a source of kind redfish needs 'url'"),
        ({"sources": [{"kind": "snmp", "address": "pdu"}]}, "a source of kind snmp needs 'oids'"),
        ({"sources": ["rapl", {"kind": "rapl"}]}, "two sources are called 'rapl': give each a name of its own"),
        ({"sources": [{"kind": "rapl", "name": "../x"}]}, "sources[0].name"),
        ({"sources": [{"kind": "rapl", "sample_seconds": 0}]}, "expected 0.1 or more, found 0"),
        ({"sources": [{"kind": "redfish", "url": "https://u:p@bmc"}]}, "use netrc"),
        ({"sources": [{"kind": "redfish", "url": "http://bmc", "netrc": "~/x"}]}, "goes over https only"),
        ({"sources": [{"kind": "dcmi", "password_file": "/x"}]}, "the host's own needs none"),
        ({"sources": [{"kind": "snmp", "address": "-x", "oids": ["1.3"]}]}, "sources[0].address"),
        ({"sources": [{"kind": "snmp", "address": "pdu", "oids": ["sysDescr"]}]}, "an OID in numbers"),
    ],
)
def test_a_slip_is_refused_in_one_sentence(value: Json, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(a=value)
    assert sentence in str(caught.value)
    assert "p@bmc" not in str(caught.value)
