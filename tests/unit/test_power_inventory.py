"""Power analyzers of the inventory: what is refused, with which sentence; the plan's part; leases; server.conf."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import cast

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.lab_source import InventorySource
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan
from mlperf_ops.power.inventory import PowerLab, Use, from_plan
from mlperf_ops.power.server_conf import Director, port_rules, render
from mlperf_ops.yamlfile import load_yaml_with_lines

TODAY = date(2026, 11, 28)
LAB = """---
mlperf_round: v6.1
mlperf_division: open
mlperf_submitter: Example
mlperf_system_type: edge
mlperf_home: ~/mlperf
mlperf_benchmarks:
  - benchmark: efficientnet-lite0
    scenarios: [Offline]
"""
METERS = """mlperf_power_analyzers:
  wt333:
    director: director1
    device_type: 52
    interface_flag: -y
    device_port: 10.0.9.9
    channel: 1
    model: WT333E
    serial_number: "C2PH13047V"
    firmware: "1.04"
    calibration_date: 2026-03-01
    wiring: 1P2W
  wt310:
    director: director1
    device_type: WT310E
    device_port: /dev/usbtmc0
    network_port: 8889
    listen_port: 4951
"""
USE = "mlperf_power_analyzer: wt333\n"


def planned(
    folder: Path,
    text: str = LAB + METERS + USE,
    hosts: JsonObject | None = None,
    directors: tuple[str, ...] | None = None,
) -> tuple[Plan, tuple[str, ...]]:
    """Plan a lab from group_vars/all.yml; `hosts` adds variables by host."""
    (folder / "group_vars").mkdir(exist_ok=True)
    path = folder / "group_vars" / "all.yml"
    path.write_text(text)
    everywhere = cast("JsonObject", load_yaml_with_lines(path)[0])
    variables = {name: {**everywhere, **cast("JsonObject", own)} for name, own in (hosts or {"sut1": {}}).items()}
    return make_plan(
        variables,
        load_catalogue(),
        "inventory/lab",
        InventorySource(folder, "inventory/lab").locate,
        groups={"power_directors": ("director1", "director2") if directors is None else directors},
        today=TODAY,
    )


def lab_of(plan: Plan) -> PowerLab:
    return from_plan(plan.power)


def test_the_plan_holds_the_analyzers_and_who_is_measured(tmp_path: Path) -> None:
    plan, remarks = planned(tmp_path)
    lab = lab_of(plan)
    one = lab.analyzer("wt333")
    assert (one.device_type, one.meter, one.accepted) == (52, "YokogawaWT330", True)
    assert (one.channel, one.firmware, one.serial_number) == ("1", "1.04", "C2PH13047V")
    assert (one.calibration_date, one.network_port, one.listen_port) == ("2026-03-01", 8888, 4950)
    other = lab.analyzer("wt310")
    assert (other.device_type, other.meter, other.interface_flag) == (49, "YokogawaWT310E", "")
    sut = lab.sut("sut1")
    assert sut is not None
    assert (sut.director, sut.instance, sut.uses, sut.submittable) == ("director1", "wt333", (Use("wt333", "1"),), True)
    assert lab.sut("sut2") is None
    assert lab.directors() == ("director1",)
    assert [told for told in remarks if "wt310" in told] == [
        (
            "mlperf_power_analyzers.wt310: calibration_date is not given; reviewers ask for a calibration within the "
            "last year"
        ),
        "mlperf_power_analyzers.wt310: it measures no host (mlperf_power_analyzer of a host names its analyzer)",
    ]
    assert not [told for told in remarks if "wt333" in told]


def test_a_lab_without_analyzers_has_the_plan_that_it_had(tmp_path: Path) -> None:
    plan, _ = planned(tmp_path, LAB, directors=())
    assert plan.power is None
    assert [one.holds for one in plan.cells] == [(), ()]


def test_the_lease_follows_from_the_analyzer_and_its_director_keeps_it(tmp_path: Path) -> None:
    hosts: JsonObject = {
        "sut1": {"mlperf_power_analyzer": "wt333"},
        "sut2": {"mlperf_power_analyzer": {"name": "wt333", "channel": 2}},
        "sut3": {},
    }
    plan, _ = planned(tmp_path, LAB + METERS, hosts)
    held = {(one.host, one.cell.mode): one.holds for one in plan.cells}
    # One instrument, one lease, whatever the channel.
    assert held["sut1", "performance"] == held["sut2", "performance"] == ("wt333",)
    assert held["sut1", "accuracy"] == held["sut3", "performance"] == ()
    assert [(one.thing, one.host) for one in plan.owners] == [("wt333", "director1")]
    lab = lab_of(plan)
    assert [(one.instance, one.suts) for one in lab.servers("director1")] == [
        ("wt310", ()),
        ("wt333", ("sut1",)),
        ("wt333:2", ("sut2",)),
    ]


def test_several_analyzers_of_one_host_are_planned_and_marked(tmp_path: Path) -> None:
    plan, remarks = planned(tmp_path, LAB + METERS, {"sut1": {"mlperf_power_analyzer": ["wt333", "wt310"]}})
    sut = lab_of(plan).sut("sut1")
    assert sut is not None
    assert (sut.instance, sut.submittable) == ("wt333::wt310", False)
    assert any("host sut1 is measured by wt333 and wt310: the official checker cannot accept" in one for one in remarks)
    held = {one.cell.mode: one.holds for one in plan.cells}
    assert held["performance"] == ("wt310", "wt333")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2025-11-27", "calibrated on 2025-11-27, 366 days before today"),
        ("2025-11-28", None),
        ("2026-12-01", "calibration_date 2026-12-01 is in the future, today is 2026-11-28"),
    ],
)
def test_a_calibration_counts_for_a_year(tmp_path: Path, given: str, told: str | None) -> None:
    _, remarks = planned(tmp_path, LAB + METERS.replace("2026-03-01", f'"{given}"') + USE)
    found = [one for one in remarks if "wt333" in one]
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


@pytest.mark.parametrize(("number", "name"), [(0, "dummy"), (47, "YokogawaWT1800"), (66, "YokogawaWT5000")])
def test_a_meter_that_the_checker_does_not_accept_is_a_remark(tmp_path: Path, number: int, name: str) -> None:
    plan, remarks = planned(tmp_path, LAB + METERS.replace("device_type: 52", f"device_type: {number}") + USE)
    sut = lab_of(plan).sut("sut1")
    assert sut is not None
    assert not sut.submittable
    assert any(f"device type {number} ({name}) is none that the round's checker accepts" in one for one in remarks)


REFUSED = [
    ("device_type: 52", "device_type: WT33E", ("13: mlperf_power_analyzers.wt333.device_type: unknown device type "
     "'WT33E'; expected 0 (dummy), 8 (YokogawaWT210)"), "did you mean 'WT330E'?"),
    ("device_type: 52", "device_type: 51", "unknown device type 51; expected", "the nearest is 52, YokogawaWT330"),
    ("device_type: 52", "device_type: [52]", "device_type: expected a whole number or text, found [52]", ""),
    ("device_type: 52", 'device_type: "77"', ("16: mlperf_power_analyzers.wt333.channel: device type 77 measures "
     "several channels: expected two numbers such as 1,3, found '1'"), ""),
    ("device_type: 52", "device_type: 61", "expected two numbers such as 1,3, found '1'", ""),
    ("channel: 1\n", "channel: 1,2\n", "device type 52 measures one channel: expected one number, found '1,2'", ""),
    ("channel: 1\n", "channel: 1.2\n", "expected one channel number such as 1, or two such as 1,3, found 1.2", ""),
    ("    channel: 1\n", "    channelz: 1\n", "mlperf_power_analyzers.wt333: unknown key 'channelz'", "'channel'?"),
    ("interface_flag: -y", "interface_flag: y", "interface_flag: unknown value 'y'; expected one of", "did you mean"),
    ("    interface_flag: -y\n", "", "device_port: 10.0.9.9 is an IP address, and interface_flag says", "-y for"),
    ("interface_flag: -y", "interface_flag: -g", "expected the GPIB address, a number, for interface_flag -g", ""),
    ("device_port: 10.0.9.9", "device_port: wt333.lab\n    gpib_board: 0", ("gpib_board: it belongs to interface_flag "
     "-g, found '-y'"), ""),
    ("device_type: 52", "device_type: 52\n    dc_flag: -D", ("dc_flag: expected false, as device type 52 does not "
     "measure direct current"), "types 508, 549, 586 do"),
    ("director: director1\n    device_type: 52", "director: directr1\n    device_type: 52", ("12: "
     "mlperf_power_analyzers.wt333.director: unknown host of group power_directors 'directr1'"),
     "did you mean 'director1'?"),
    ("network_port: 8889", "network_port: 8888", ("mlperf_power_analyzers.wt310.network_port: 8888 is the network_port "
     "of analyzer wt333, and both are on director1"), "give one of them another, such as 8889"),
    ("listen_port: 4951", "listen_port: 8888", "listen_port: 8888 is the network_port of analyzer wt333", "8890"),
    ("    listen_port: 4951\n", "", "listen_port: 4950 is the listen_port of analyzer wt333", "such as 4951"),
    ("network_port: 8889", "network_port: 4951", "network_port: 4951 is the listen_port, too", ""),
    ("network_port: 8889", "network_port: 99999", "network_port: expected 65535 or less, found 99999", ""),
    ("device_port: /dev/usbtmc0", "interface_flag: -y\n    device_port: 10.0.9.9", ("mlperf_power_analyzers.wt310."
     "device_port: analyzer wt333 is at 10.0.9.9, too"), "an instrument is one entry"),
    ("device_port: /dev/usbtmc0", 'device_port: /dev/usbtmc0\n    serial_number: "C2PH13047V"', ("serial_number: "
     "analyzer wt333 has it, too"), "an instrument is one entry"),
    ('firmware: "1.04"', "firmware: 1.10", 'firmware: expected text in quotes such as "1.1", as YAML may read', ""),
    ('serial_number: "C2PH13047V"', "serial_number: 0123", "serial_number: expected text in quotes", ""),
    ("calibration_date: 2026-03-01", "calibration_date: 1st of March", "calibration_date: expected a date, found", ""),
    ("mlperf_power_analyzer: wt333", "mlperf_power_analyzer: wt33", ("28: mlperf_power_analyzer: unknown analyzer "
     "'wt33'; expected one of wt310, wt333"), "did you mean 'wt333'?"),
    ("mlperf_power_analyzer: wt333", "mlperf_power_analyzer: {name: wt333, chan: 1}", "unknown key 'chan'", "channel"),
    ("mlperf_power_analyzer: wt333", "mlperf_power_analyzer: {name: wt310, channel: '1,2'}", ("device type 49 measures "
     "one channel: expected one number, found '1,2'"), ""),
    ("mlperf_power_analyzer: wt333", "mlperf_power_analyzer: [wt333, wt333]", ("mlperf_power_analyzer[1]: analyzer "
     "'wt333' is named twice"), ""),
    ("mlperf_power_analyzer: wt333", "mlperf_shared: {wt333: [performance]}", ("mlperf_shared.wt333: 'wt333' is a "
     "power analyzer, whose lease follows from mlperf_power_analyzer"), "take it out here"),
    ("  wt310:", "  wt 310:", "mlperf_power_analyzers.wt 310: expected letters, digits, '.', '_' and '-'", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "sentence", "hint"), REFUSED)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, old: str, new: str, sentence: str, hint: str) -> None:
    text = LAB + METERS + USE
    assert text.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, text.replace(old, new))
    said = str(caught.value)
    assert said.startswith("inventory/lab/group_vars/all.yml:")
    assert sentence in said
    assert hint in said
    assert "\n" not in said


def test_analyzers_of_two_directors_do_not_measure_one_host(tmp_path: Path) -> None:
    text = LAB + METERS.replace("director: director1\n    device_type: WT", "director: director2\n    device_type: WT")
    with pytest.raises(ConfigError, match="wt310 is on director2 and wt333 on director1"):
        planned(tmp_path, text + "mlperf_power_analyzer: [wt333, wt310]\n")


def test_without_a_director_the_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'director1' is not in group power_directors, which has no hosts") as caught:
        planned(tmp_path, directors=())
    assert "put the machine that the analyzer is connected to into that group" in str(caught.value)


def test_a_multichannel_meter_needs_its_channels_somewhere(tmp_path: Path) -> None:
    text = LAB + METERS.replace("device_type: 52", "device_type: 77").replace("    channel: 1\n", "")
    with pytest.raises(ConfigError, match=r"wt333: device type 77 measures several channels: .*, found none"):
        planned(tmp_path, text)
    plan, _ = planned(tmp_path, text, {"sut1": {"mlperf_power_analyzer": {"name": "wt333", "channel": "1,3"}}})
    sut = lab_of(plan).sut("sut1")
    assert sut is not None
    assert (sut.instance, sut.uses) == ("wt333:1-3", (Use("wt333", "1,3"),))


def test_hosts_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="host b has other analyzers than host a") as caught:
        planned(tmp_path, LAB + METERS, {"a": {}, "b": {"mlperf_power_analyzers": {}}})
    assert "set them once, in group_vars/all" in str(caught.value)


@pytest.mark.parametrize("quoted", [True, False])
def test_quoted_numbers_are_numbers(tmp_path: Path, *, quoted: bool) -> None:
    text = METERS.replace("52", '"52"').replace("8889", '"8889"').replace("channel: 1", 'channel: "1"')
    plan, _ = planned(tmp_path, LAB + (text if quoted else METERS) + USE)
    lab = lab_of(plan)
    assert (lab.analyzer("wt333").device_type, lab.analyzer("wt310").network_port) == (52, 8889)
    assert lab.analyzer("wt333").channel == "1"


# --- server.conf -----------------------------------------------------------------------------------------------------

DIRECTOR = Director("/opt/mlperf-power/ptd/0123456789ab/ptd", "10.77.1.14", "10.77.1.14")


def test_the_configuration_has_the_sections_that_the_code_reads(tmp_path: Path) -> None:
    lab = lab_of(planned(tmp_path)[0])
    wt310, wt333 = lab.servers("director1")
    assert render(wt333, lab, DIRECTOR) == (
        "# Written by mlperf-ops; roles/power_director takes it back.\n"
        "\n[server]\nntpServer: 10.77.1.14\nlisten: 10.77.1.14 4950\n"
        "\n[ptd]\nptd: /opt/mlperf-power/ptd/0123456789ab/ptd\nanalyzerCount: 1\n"
        "\n[analyzer1]\ndeviceType: 52\ninterfaceFlag: -y\ndevicePort: 10.0.9.9\nnetworkPort: 8888\nchannel: 1\n"
    )
    # An empty flag has to be there: the server demands the key.
    assert "\ninterfaceFlag:\ndevicePort: /dev/usbtmc0\nnetworkPort: 8889\n" in render(wt310, lab, DIRECTOR)


def test_every_analyzer_of_a_host_has_its_section(tmp_path: Path) -> None:
    use: JsonObject = {"sut1": {"mlperf_power_analyzer": ["wt310", {"name": "wt333", "channel": 3}]}}
    lab = lab_of(planned(tmp_path, LAB + METERS, use)[0])
    (server,) = lab.servers("director1")
    text = render(server, lab, DIRECTOR)
    assert "listen: 10.77.1.14 4951\n" in text
    assert "analyzerCount: 2\n" in text
    assert text.index("[analyzer1]\ndeviceType: 49") < text.index("[analyzer2]\ndeviceType: 52")
    assert text.endswith("channel: 3\n")


def test_direct_current_boards_and_percent_signs_are_written_as_the_server_reads_them(tmp_path: Path) -> None:
    lab = lab_of(planned(tmp_path)[0])
    changed = replace(
        lab.analyzer("wt333"), device_type=549, direct_current=True, interface_flag="-g", device_port="5%", gpib_board=0
    )
    lab = replace(lab, analyzers=(changed, lab.analyzer("wt310")))
    text = render(lab.servers("director1")[1], lab, DIRECTOR)
    assert "devicePort: 5%%\n" in text
    assert text.endswith("gpibBoard: 0\ndcFlag: -D\n")


def test_a_name_is_no_listen_address(tmp_path: Path) -> None:
    lab = lab_of(planned(tmp_path)[0])
    with pytest.raises(ConfigError, match=r"power_director_listen_address: expected an IPv4 address .* 'director1'"):
        render(lab.servers("director1")[0], lab, replace(DIRECTOR, listen_address="director1"))


def test_the_ports_are_told_with_who_may_reach_them(tmp_path: Path) -> None:
    rules = port_rules("director1", lab_of(planned(tmp_path)[0]))
    assert [(one.port, one.protocol, one.peers) for one in rules] == [
        (123, "udp", ("sut1",)),
        (4950, "tcp", ("sut1",)),
        (8888, "tcp", ("localhost",)),
        (4951, "tcp", ()),
        (8889, "tcp", ("localhost",)),
    ]


def power_rules() -> list[tuple[str, PowerRules]]:
    return [(name, one.power) for name, one in load_catalogue().rounds.items()]


@pytest.mark.parametrize(("name", "rules"), power_rules(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_round_names_its_software(name: str, rules: PowerRules) -> None:
    assert load_catalogue().component(rules.software).kind == "checkout", name
    known: set[Json] = {*rules.meters.values(), *rules.other_meters.values(), *rules.channel_counts}
    assert set(rules.direct_current) <= known
    assert rules.channel_counts[rules.two_channel_meter] == 2
