"""A variable that no role knows, and a host that no play touches, are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import JsonObject
from mlperf_ops.lab_roles import check_role_variables, idle_hosts, role_of
from mlperf_ops.lab_source import InventorySource

ROLES = {"time": ["time_zone"], "time_sync": ["time_sync_servers", "time_sync_limit_ms"]}


def test_a_variable_that_its_role_does_not_know_is_named_with_file_line_and_nearest(tmp_path: Path) -> None:
    folder = tmp_path / "group_vars"
    folder.mkdir()
    (folder / "all.yml").write_text("---\n# servers\ntime_sync_server: [ntp]\n")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {h1: {}}}\n")
    source = InventorySource(tmp_path, "inventory/lab")
    with pytest.raises(ConfigError) as caught:
        check_role_variables({"h1": {"time_sync_server": {"value": ["ntp"], "objection": ""}}}, ROLES, source.locate)
    assert str(caught.value) == (
        "inventory/lab/group_vars/all.yml:3: time_sync_server: unknown variable of role time_sync 'time_sync_server'; "
        "expected one of time_sync_limit_ms, time_sync_servers (did you mean 'time_sync_servers'?)"
    )


def test_a_variable_of_the_command_line_is_named_without_a_file() -> None:
    with pytest.raises(ConfigError, match=r"^host h1: time_zona: unknown variable of role time 'time_zona'"):
        check_role_variables({"h1": {"time_zona": {"value": "x", "objection": ""}}}, ROLES, lambda *_: "")


def test_known_variables_and_those_of_nobody_pass() -> None:
    fine: JsonObject = {"time_zone": "x", "time_sync_limit_ms": 5, "timeless": 1}
    check_role_variables(
        {"h1": {name: {"value": value, "objection": ""} for name, value in fine.items()}}, ROLES, lambda *_: ""
    )


def test_a_value_that_the_role_would_refuse_is_named_in_its_place() -> None:
    said = "argument 'time_sync_limit_ms' is of type str and we were unable to convert to float: no number"
    with pytest.raises(ConfigError) as caught:
        check_role_variables(
            {"h1": {"time_sync_limit_ms": {"value": "soon", "objection": said}}}, ROLES, lambda *_: "all.yml:7"
        )
    assert str(caught.value) == (
        "all.yml:7: time_sync_limit_ms: is of type str and we were unable to convert to float: no number"
    )


def test_the_longer_name_of_a_role_counts() -> None:
    assert role_of("time_sync_servers", ROLES) == "time_sync"
    assert role_of("time_zone", ROLES) == "time"
    assert role_of("timely", ROLES) is None


def test_hosts_that_no_play_touches_are_told_with_their_groups() -> None:
    groups = {
        "all": ["a", "b", "c", "d"],
        "ungrouped": ["b"],
        "sut": ["a"],
        "services": ["d"],
        "rack2": ["a", "c"],
    }
    first, second = idle_hosts(groups)
    assert first.startswith("host b is in no group, so nothing is done with it")
    assert second.startswith("host c is in rack2 but in none of sut, services, power_directors")


def test_a_lab_whose_hosts_all_have_a_place_has_nothing_to_tell() -> None:
    assert list(idle_hosts({"all": ["a", "m"], "sut": ["a"], "power_directors": ["m"], "ungrouped": []})) == []
