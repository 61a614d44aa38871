from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.lab import load_lab
from mlperf_ops.lab_source import InventorySource
from mlperf_ops.yamlfile import load_yaml_with_lines

GROUP_VARS = """---
mlperf_round: v6.1
mlperf_division: open
mlperf_submitter: Example
mlperf_run_style: test
mlperf_home: ~/.mlperf
mlperf_system_type: edge
mlperf_benchmarks:
  - benchmark: efficientnet-lite0
    scenarios: [Offline, Server]
    backend:
      max_batch: 4
      Offline: {streams: 0}
mlperf_components:
  imagenet: {path: /data/imagenet}
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def resolved(path: Path) -> dict[str, Json]:
    """Return what Ansible makes of a file without templates."""
    return cast("dict[str, Json]", load_yaml_with_lines(path)[0])


def refused(folder: Path, **overrides: Json) -> str:
    """Load a lab of one host from group_vars/all.yml and give the sentence of the refusal."""
    variables = resolved(folder / "group_vars/all.yml") | overrides
    with pytest.raises(ConfigError) as caught:
        load_lab({"a": variables}, "inventory/lab", InventorySource(folder, "inventory/lab").locate)
    return str(caught.value)


def test_a_host_with_defaults(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    lab = load_lab({"a": resolved(folder / "group_vars/all.yml")}, "inventory/lab", InventorySource(folder, "").locate)
    host = lab.hosts[0]
    assert (lab.run_id, lab.run_style, host.system) == ("lab", "test", "a")
    entry = host.vars.benchmarks[0]
    assert entry.modes == ("accuracy", "performance", "compliance")
    assert (entry.wants_compliance(demanded=False), entry.wants_compliance(demanded=True)) == (False, True)
    assert entry.implementation == "harness"
    assert entry.backend.options("Server") == {"max_batch": 4}
    assert entry.backend.options("Offline") == {"max_batch": 4, "streams": 0}


@pytest.mark.parametrize(
    ("inventory", "run_id"),
    [("inventory/local", "local"), ("inventory/lab/", "lab"), ("inventory/lab/hosts.yml", "lab"), ("hosts.ini", "run")],
)
def test_the_run_is_called_after_the_inventory(tmp_path: Path, inventory: str, run_id: str) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    lab = load_lab({"a": resolved(folder / "group_vars/all.yml")}, inventory, InventorySource(folder, "").locate)
    assert lab.run_id == run_id


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "mlperf_division: open",
            "mlperf_division: openn",
            "3: mlperf_division: unknown value 'openn'; expected one of closed, network, open (did you mean 'open'?)",
        ),
        (
            "mlperf_submitter: Example",
            "mlperf_submiter: Example",
            "4: mlperf_submiter: unknown variable 'mlperf_submiter'; expected one of mlperf_adjust_targets, ",
        ),
        (
            "    scenarios: [",
            "    scenario: [",
            "10: mlperf_benchmarks[0]: unknown key 'scenario'; ",
        ),
        (
            "      max_batch: 4",
            "      max_batch: 0",
            "12: mlperf_benchmarks[0].backend.max_batch: expected 1 or more, found 0",
        ),
        (
            "{streams: 0}",
            "{stream: 0}",
            "13: mlperf_benchmarks[0].backend.Offline: unknown key 'stream'; ",
        ),
        (
            "{path: /data",
            "{path: data",
            '15: mlperf_components.imagenet.path: expected an absolute path on the host, found "data/imagenet"',
        ),
        (
            "mlperf_submitter: Example",
            "mlperf_submitter: My Lab",
            "4: mlperf_submitter: expected letters, digits, ",
        ),
        (
            "[Offline, Server]",
            "{Offline: 1}",
            "10: mlperf_benchmarks[0].scenarios: expected text or a list, found ",
        ),
        (
            "  - benchmark: efficientnet-lite0\n",
            "  - implementation: harness\n",
            "9: mlperf_benchmarks[0]: key 'benchmark' is missing",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_file_line_key_and_nearest_name(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in GROUP_VARS
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS.replace(old, new)})
    said = refused(folder)
    assert said.startswith(f"inventory/lab/group_vars/all.yml:{sentence}")
    assert "\n" not in said


def test_a_missing_variable_names_the_host(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS.replace("mlperf_home: ~/.mlperf\n", "")})
    assert refused(folder).startswith("host a: variable 'mlperf_home' is missing")


def test_a_value_of_the_command_line_blames_no_file(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    said = refused(folder, mlperf_run_style="valit")
    assert said == (
        "host a: mlperf_run_style: unknown value 'valit'; expected one of fast, test, valid (did you mean 'valid'?)"
    )


def test_a_templated_value_is_found_where_the_template_stands(tmp_path: Path) -> None:
    text = GROUP_VARS.replace("mlperf_run_style: test", 'mlperf_run_style: "{{ style }}"')
    folder = write(tmp_path, {"group_vars/all.yml": text})
    assert refused(folder, mlperf_run_style="valit").startswith("inventory/lab/group_vars/all.yml:5: ")


def test_the_file_of_the_very_host_is_blamed_before_the_groups(tmp_path: Path) -> None:
    files = {
        "group_vars/all.yml": "---\nmlperf_home: data\n",
        "host_vars/a/mlperf.yml": "---\n\nmlperf_home: data\n",
        "host_vars/b.yml": "---\n\n\nmlperf_home: data\n",
    }
    source = InventorySource(write(tmp_path, files), "lab")
    assert source.locate("a", ["mlperf_home"], "data") == "lab/host_vars/a/mlperf.yml:3"
    assert source.locate("b", ["mlperf_home"], "data") == "lab/host_vars/b.yml:4"
    assert source.locate("c", ["mlperf_home"], "data") == "lab/group_vars/all.yml:2"
    assert source.locate("c", ["mlperf_home"], "other") == ""


def test_variables_inside_the_inventory_file_and_files_without_suffix_are_found(tmp_path: Path) -> None:
    group = (
        "    sut:\n      vars:\n        mlperf_run_style: x\n      hosts:\n        a:\n          mlperf_system: y z\n"
    )
    hosts = f"all:\n  children:\n{group}"
    source = InventorySource(
        write(tmp_path, {"hosts.yml": hosts, "group_vars/all": "mlperf_round: r\n"}), "lab/hosts.yml"
    )
    assert source.locate("a", ["mlperf_run_style"], "x") == "lab/hosts.yml:5"
    assert source.locate("a", ["mlperf_system"], "y z") == "lab/hosts.yml:8"
    assert source.locate("b", ["mlperf_system"], "y z") == ""
    assert source.locate("a", ["mlperf_round"], "r") == "lab/group_vars/all:1"


def test_a_key_given_twice_is_refused_and_an_encrypted_file_is_left_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n"})
    InventorySource(folder, "lab").check()
    write(tmp_path, {"host_vars/a.yml": "mlperf_home: /a\nmlperf_home: /b\n"})
    with pytest.raises(ConfigError, match=r"host_vars/a.yml:2: mlperf_home: key 'mlperf_home' is given twice"):
        InventorySource(folder, "lab").check()


def test_hosts_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS, "host_vars/b.yml": "mlperf_round: v6.0\n"})
    one = resolved(folder / "group_vars/all.yml")
    with pytest.raises(ConfigError) as caught:
        load_lab({"a": one, "b": one | {"mlperf_round": "v6.0"}}, "lab", InventorySource(folder, "lab").locate)
    assert caught.value.message == ("lab/host_vars/b.yml:1: mlperf_round: host b has 'v6.0' but host a has 'v6.1'")


def test_a_host_whose_name_is_no_directory_needs_a_system(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    variables = resolved(folder / "group_vars/all.yml")
    with pytest.raises(ConfigError, match="host fe80::1: its name cannot be the directory of a system"):
        load_lab({"fe80::1": variables}, "lab", InventorySource(folder, "lab").locate)
    lab = load_lab({"fe80::1": variables | {"mlperf_system": "a"}}, "lab", InventorySource(folder, "lab").locate)
    assert lab.hosts[0].system == "a"


def test_no_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="no host is in group 'sut'"):
        load_lab({}, "inventory/lab", lambda _host, _path, _value: "")


def test_numbers_from_the_command_line_are_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    variables = resolved(folder / "group_vars/all.yml") | {"mlperf_test_query_count": "20", "mlperf_run_id": 2026}
    lab = load_lab({"a": variables}, "lab", InventorySource(folder, "lab").locate)
    assert lab.hosts[0].vars.test_query_count == 20
    assert lab.run_id == "2026"
    assert "expected 1 or more" in refused(folder, mlperf_test_query_count="0")


def test_query_counts_may_differ_per_scenario(tmp_path: Path) -> None:
    folder = write(tmp_path, {"group_vars/all.yml": GROUP_VARS})
    variables = resolved(folder / "group_vars/all.yml") | {"mlperf_test_query_count": {"Server": 1600}}
    host = load_lab({"a": variables}, "lab", InventorySource(folder, "lab").locate).hosts[0]
    assert (host.vars.query_count("Server"), host.vars.query_count("Offline")) == (1600, None)
    assert "unknown key 'Servr'" in refused(folder, mlperf_test_query_count={"Servr": 3})
    assert "did you mean 'Server'?" in refused(folder, mlperf_test_query_count={"Servr": 3})
    assert "expected 1 or more, found 0" in refused(folder, mlperf_test_query_count={"Server": 0})
