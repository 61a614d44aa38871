"""What people typed of their systems, judged by the plan: file, line, both places, and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.lab_source import InventorySource
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan
from mlperf_ops.yamlfile import load_yaml_with_lines

ALL = """---
mlperf_round: v6.1
mlperf_division: open
mlperf_submitter: Example
mlperf_home: /srv/mlperf
mlperf_system_type: edge
mlperf_test_query_count: 700
"""


def lab(folder: Path, **hosts: str) -> Plan:
    """Plan a lab of group_vars/all.yml and of a file in host_vars for each host."""
    resolved: dict[str, dict[str, Json]] = {}
    for name, text in {"group_vars/all": ALL, **{f"host_vars/{host}": text for host, text in hosts.items()}}.items():
        path = folder / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        resolved[path.stem] = cast("dict[str, Json]", load_yaml_with_lines(path)[0])
    variables = {host: resolved["all"] | resolved[host] for host in hosts}
    return make_plan(variables, load_catalogue(), "inventory/lab", InventorySource(folder, "inventory/lab").locate)[0]


def host(description: str = "{}", *, scenario: str = "Offline", more: str = "") -> str:
    return (
        f"mlperf_benchmarks:\n  - {{benchmark: efficientnet-lite0, scenarios: [{scenario}]}}\n"
        f"{more}mlperf_system_description:{' ' if description == '{}' else chr(10)}{description}\n"
    )


def refused(folder: Path, **hosts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        lab(folder, **hosts)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("cooling: TBD", "cooling is the placeholder 'TBD'"),
        ("cooling: undefined", "cooling is the placeholder 'undefined'"),
        ("cooling: N/A", "cooling is 'N/A', and every system has one"),
        ('number_of_nodes: "2x"', "number_of_nodes is '2x'; expected a whole number (write 2)"),
        ('accelerators_per_node: "64 GB"', "accelerators_per_node is '64 GB'; expected a whole number"),
        ("coling: air", "'coling' is not a field of a v6.1 system description (did you mean 'cooling'?)"),
    ],
)
def test_a_slip_is_refused_with_file_and_line(tmp_path: Path, line: str, sentence: str) -> None:
    said = refused(tmp_path, sut1=host(f"  status: rdi\n  {line}"))
    assert said.startswith("inventory/lab/host_vars/sut1.yml:5: mlperf_system_description: ")
    assert sentence in said


def test_not_applicable_is_right_for_the_accelerators_of_a_machine_without_one(tmp_path: Path) -> None:
    assert lab(tmp_path, sut1=host("  accelerators_per_node: 0\n  accelerator_model_name: N/A")).cells
    said = refused(tmp_path, sut1=host("  accelerators_per_node: 8\n  accelerator_model_name: N/A"))
    assert "accelerator_model_name is 'N/A', and every system has one" in said


def test_two_spellings_are_a_note_with_both_places_and_the_remedy(tmp_path: Path) -> None:
    made = lab(tmp_path, sut1=host("  cooling: air"), sut2=host("  status: rdi\n  cooling: Air-cooled"))
    (note,) = {note for cell in made.cells if cell.host == "sut2" for note in cell.notes if "cooling" in note}
    assert note == (
        "inventory/lab/host_vars/sut2.yml:5: mlperf_system_description: cooling is 'Air-cooled' here and 'air' in "
        "inventory/lab/host_vars/sut1.yml:4: mlperf_system_description; write one of them in both places"
    )
    assert not [note for cell in made.cells if cell.host == "sut1" for note in cell.notes if "cooling" in note]


def test_an_odd_spelling_is_a_note_that_says_the_usual_one(tmp_path: Path) -> None:
    made = lab(tmp_path, sut1=host("  host_memory_capacity: 512GB"))
    assert (
        "inventory/lab/host_vars/sut1.yml:4: mlperf_system_description: host_memory_capacity is '512GB'; write '512 GB'"
    ) in made.cells[0].notes


def test_a_result_over_several_nodes_cannot_be_planned_and_that_is_one_sentence(tmp_path: Path) -> None:
    made = lab(tmp_path, sut1=host("  number_of_nodes: 2"), sut2=host())
    reasons = {cell.host: cell.reason for cell in made.cells}
    assert reasons["sut1"] == (
        "number_of_nodes of its system is 2, but a cell runs on one host: one result over several is not supported yet"
    )
    assert reasons["sut2"] is None


def test_hosts_that_share_a_system_are_told_what_that_means(tmp_path: Path) -> None:
    shared = "mlperf_system: twins\n"
    made = lab(tmp_path, sut1=host(more=shared), sut2=host(more=shared, scenario="Server"))
    assert all(
        "hosts sut1, sut2 are system twins: each result is of one of them, and number_of_nodes stays 1; "
        "one result over several hosts is not supported yet" in cell.notes
        for cell in made.cells
    )


def test_hosts_that_share_a_system_cannot_be_typed_differently(tmp_path: Path) -> None:
    shared = "mlperf_system: twins\n"
    one, two = host("  cooling: air", more=shared), host("  cooling: liquid", more=shared, scenario="Server")
    assert refused(tmp_path, sut1=one, sut2=two) == (
        "inventory/lab/host_vars/sut2.yml:5: mlperf_system_description: hosts sut1 and sut2 both are system twins, but "
        "cooling is 'liquid' here and 'air' in inventory/lab/host_vars/sut1.yml:5: mlperf_system_description (type it "
        "once for both, in their common group, or give them different mlperf_system names)"
    )
    other = host(more=f"{shared}mlperf_system_type: datacenter\n", scenario="Server")
    assert "but it is 'datacenter' here and 'edge' there" in refused(tmp_path, sut1=host(more=shared), sut2=other)
