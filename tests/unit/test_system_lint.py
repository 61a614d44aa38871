"""Words of system descriptions as published rounds have them: what is odd, and what says the same."""

from __future__ import annotations

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json
from mlperf_ops.system_lint import canonical, is_not_applicable, is_placeholder, style, variants, wants_value

FIELDS = load_catalogue().round("v6.1").system_description


@pytest.mark.parametrize(
    "text", ["ToDo: 960 GB", "TBD", "CHANGEME", "Insert network here", "<cpu model>", "???", "fill in", "xxx"]
)
def test_words_that_wait_for_a_value_are_placeholders(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["N/A", "NA", "n.a.", "-", "Todor Systems", "air", "Inserted cards: 2", "", "Naples"])
def test_other_words_are_none(text: str) -> None:
    assert not is_placeholder(text)


@pytest.mark.parametrize("text", ["N/A", "NA", " n/a ", "-", "n.a.", "Not applicable"])
def test_the_spellings_of_not_applicable(text: str) -> None:
    assert is_not_applicable(text)
    assert not is_not_applicable(f"{text} cooling")


@pytest.mark.parametrize(
    ("key", "accelerators", "wanted"),
    [
        ("cooling", 0, True),
        ("host_memory_capacity", None, True),
        ("host_networking_topology", 8, False),
        ("host_processor_interconnect", 8, False),
        ("accelerator_model_name", "0", False),
        ("accelerator_model_name", 0, False),
        ("accelerator_model_name", None, False),
        ("accelerator_model_name", 8, True),
        ("accelerator_interconnect", 1, False),
    ],
)
def test_not_applicable_is_right_where_there_is_nothing(key: str, accelerators: Json, *, wanted: bool) -> None:
    assert wants_value(key, FIELDS, accelerators) is wanted


def test_a_count_of_cores_that_is_no_number_is_odd() -> None:
    slip = style("host_processor_core_count", "64(AMD EPYC 9534)")
    assert slip is not None
    assert slip.remedy == "write a whole number, the cores of one processor"
    assert style("host_processor_core_count", "64") is style("host_processor_core_count", 64) is None


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("host_memory_capacity", "512GB", "write '512 GB'"),
        ("host_memory_capacity", "128G", "write '128 GB'"),
        ("accelerator_memory_capacity", "96Gi", "write '96 GiB'"),
        ("host_memory_capacity", "8x3TiB", "write '8x3 TiB'"),
        ("host_storage_capacity", "1x 3.5T NVMe SSD", "write '1x 3.5 TB NVMe SSD'"),
        ("host_memory_capacity", "2\u202fTB", "write '2 TB'"),
        ("cooling", "Air\u2011cooled", "write 'Air-cooled'"),
        ("host_networking", "Infiniband;  400 Gb/s ", "write 'Infiniband; 400 Gb/s'"),
        (
            "host_processor_model_name",
            "2x AMD EPYC 9475F",
            "write 'AMD EPYC 9475F', the count stands in host_processors_per_node",
        ),
    ],
)
def test_an_odd_spelling_comes_with_the_usual_one(key: str, value: str, remedy: str) -> None:
    slip = style(key, value)
    assert slip is not None
    assert slip.message.startswith(f"{key} is '{value}'")
    assert slip.remedy == remedy
    again = style(key, remedy.split("'")[1])
    assert again is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host_memory_capacity", "2304 GiB"),
        ("host_memory_configuration", "24x 96 GB Kingston 9965788-063.A00G"),
        ("host_memory_configuration", "24x 96 GiB DDR5 4800 MT/s"),
        ("host_storage_capacity", "4x 3.84 TB; 1x 960 GB"),
        ("accelerator_model_name", "NVIDIA H200-SXM-141GB"),
        ("host_processors_per_node", 2),
        ("status", "soon  "),
    ],
)
def test_usual_spellings_are_left_alone(key: str, value: Json) -> None:
    assert style(key, value) is None


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("cooling", ["air", "Air", "Air-cooled", "air-cooled", "Air cooling", "Air cool", "Air\u2011cooled"]),
        ("cooling", ["Liquid-cooled", "liquid", "liquid cooling"]),
        ("host_memory_capacity", ["2 TB", "2048GB", "2048 GB", "2 TiB", "2.0 TiB", "2\u202fTB"]),
        ("host_storage_capacity", ["1.92 TB", "1920GB"]),
        ("host_processor_model_name", ["AMD EPYC 9575F", "AMD EPYC 9575F 64-Core Processor"]),
        ("host_processor_model_name", ["INTEL(R) XEON(R) 6787P", "Intel Xeon 6787P 86-Core Processor"]),
        ("accelerator_memory_configuration", ["HBM3e", "HBM3E"]),
        ("accelerator_host_interconnect", ["PCIe Gen5 x16", "PCIe Gen5 16x", "PCIe Gen 5 x16"]),
        ("number_of_nodes", ["1", 1]),
    ],
)
def test_spellings_of_one_thing_are_one(key: str, spellings: list[Json]) -> None:
    assert len({canonical(key, one) for one in spellings}) == 1


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("cooling", ["air", "liquid", "water-cooled", "Direct Liquid Cooling"]),
        ("host_memory_capacity", ["1 TB", "2 TB", "1.5 TB", "1 GB"]),
        ("host_storage_capacity", ["1.92 TB", "1.92 TiB SSD"]),
        ("host_processor_model_name", ["AMD EPYC 9575F", "AMD EPYC 9575"]),
        ("accelerator_host_interconnect", ["PCIe Gen5 x16", "PCIe Gen5 x8", "PCIe Gen4 x16"]),
        ("host_networking", ["2x 25 Gbit/s", "1x 25 Gbit/s"]),
    ],
)
def test_different_things_stay_different(key: str, values: list[str]) -> None:
    assert len({canonical(key, one) for one in values}) == len(values)


def test_variants_name_both_places_and_both_spellings_once() -> None:
    found = list(
        variants(
            {
                "a": {"cooling": "air", "hw_notes": "", "host_memory_capacity": "512 GB"},
                "b": {"cooling": "Air-cooled", "hw_notes": "", "host_memory_capacity": "512 GB"},
                "c": {"cooling": "liquid", "host_memory_capacity": "512GB"},
            }
        )
    )
    assert [(one.field, one.first, one.second) for one in found] == [
        ("cooling", ("a", "air"), ("b", "Air-cooled")),
        ("host_memory_capacity", ("a", "512 GB"), ("c", "512GB")),
    ]
