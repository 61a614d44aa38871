"""What Ansible itself would let pass: a variable that no role reads, and a host that no play touches."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.playbooks import CHECKOUT, Played, local_inventory, play

pytestmark = pytest.mark.integration


def validate(folder: Path, *arguments: str) -> Played:
    inventory = folder / "mini"
    return play(str(CHECKOUT / "playbooks" / "validate.yml"), inventory, folder, "--check", *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    local_inventory(tmp_path / "mini", tmp_path / "home")
    return tmp_path


def words(played: Played) -> str:
    return " ".join(played.output.split())


def test_a_mistyped_variable_of_a_role_names_file_line_and_the_nearest(folder: Path) -> None:
    (folder / "mini" / "group_vars").mkdir()
    (folder / "mini" / "group_vars" / "sut.yml").write_text("---\n# ours\nhost_components_pyton: /usr/bin/python3\n")
    played = validate(folder)
    assert played.exit_code != 0
    assert "mini/group_vars/sut.yml:3: host_components_pyton: unknown variable of role host_components" in words(played)
    assert "did you mean 'host_components_python'?" in words(played)
    assert "Traceback" not in played.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("loadgen_run_keep_going: perhaps", "is of type str and we were unable to convert to bool"),
        ("time_sync_servers: {a: 1}", "is of type dict and we were unable to convert to list"),
        ("host_packages_unknown_family: x", "unknown variable of role host_packages 'host_packages_unknown_family'"),
    ],
)
def test_a_value_that_a_role_would_refuse_names_file_and_line_before_any_host_is_asked(
    folder: Path, line: str, said: str
) -> None:
    (folder / "mini" / "group_vars").mkdir()
    (folder / "mini" / "group_vars" / "sut.yml").write_text(f"---\n# ours\n{line}\n")
    played = validate(folder)
    assert played.exit_code != 0
    assert f"mini/group_vars/sut.yml:3: {line.split(':', maxsplit=1)[0]}: " in words(played)
    assert said in words(played)


def test_a_mistyped_variable_of_a_host_for_services_is_found_as_well(folder: Path) -> None:
    path = folder / "mini" / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["children"]["services"] = {"hosts": {"mirror1": {"results_fetch_result": "x"}}}
    path.write_text(yaml.safe_dump(hosts))
    assert "unknown variable of role results_fetch 'results_fetch_result'" in words(validate(folder))


def test_known_variables_of_roles_pass(folder: Path) -> None:
    played = validate(folder, "-e", "host_components_python=/usr/bin/python3", "-e", "loadgen_run_keep_going=true")
    assert played.exit_code == 0, played.output
    assert "WARNING" not in played.output


def test_a_host_in_no_group_and_one_in_a_group_of_nobody_are_warned_about(folder: Path) -> None:
    path = folder / "mini" / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["hosts"] = {"lonely": {}}
    hosts["all"]["children"]["rack2"] = {"hosts": {"idle": {}}}
    path.write_text(yaml.safe_dump(hosts))
    played = validate(folder)
    assert played.exit_code == 0, played.output
    assert "host lonely is in no group, so nothing is done with it" in words(played)
    assert "host idle is in rack2 but in none of sut, services, power_directors" in words(played)
