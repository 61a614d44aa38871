"""The playbooks are tables of contents, and every action has its documentation."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.playbooks import CHECKOUT, environ, local_inventory, play

PLAYBOOKS = CHECKOUT / "playbooks"
PHASES = {
    "validate": "validate",
    "preflight": "preflight",
    "unchanged": "unchanged",
    "provision": "provision",
    "power": "provision",
    "tune": "tune",
    "benchmark": "run",
    "collect": "collect",
    "submission": "submit",
}
_MODULES = CHECKOUT / "plugins" / "modules"
_ACTIONS = sorted(path.stem for path in (CHECKOUT / "plugins" / "action").glob("*.py"))


def plays(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return found


def test_the_whole_flow_is_the_verbs_in_order() -> None:
    imported = [play["ansible.builtin.import_playbook"] for play in plays("run_inference")]
    assert imported == [f"{name}.yml" for name in PHASES]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ((), True),
        (("--tags", "validate,run,collect,submission"), True),
        (("--tags", "run,submit"), True),
        (("--limit", "sut1,localhost"), True),
        (("--tags", "validate,run,collect"), False),
        (("--skip-tags", "submission"), False),
        (("--limit", "sut1"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_failed_cells_are_left_to_the_report_only_where_that_takes_part(
    tmp_path: Path,
    words: tuple[str, ...],
    kept: bool,  # noqa: FBT001  # of a case
) -> None:
    """Otherwise a run whose cells failed would end with exit code 0."""
    said = next(play["vars"] for play in plays("run_inference") if "vars" in play)
    task = {"ansible.builtin.debug": {"msg": "kept: {{ loadgen_run_keep_going }}"}, "tags": ["always"]}
    told = {"hosts": "all", "connection": "local", "gather_facts": False, "vars": said, "tasks": [task]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([told]))
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"sut1": None, "localhost": None}}}))
    done = play(str(tmp_path / "play.yml"), tmp_path / "hosts", tmp_path, *words)
    assert done.exit_code == 0, done.output
    assert f"kept: {kept}" in done.output
    assert f"kept: {not kept}" not in done.output


def test_a_lab_of_more_hosts_than_forks_is_refused(tmp_path: Path) -> None:
    inventory = local_inventory(tmp_path / "mini", tmp_path / "home")
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    hosts["all"]["children"]["sut"]["hosts"]["another"] = None
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    done = play(str(PLAYBOOKS / "validate.yml"), inventory, tmp_path, "--forks", "1")
    assert done.exit_code != 0
    assert "the inventory has 2 hosts that run cells, and Ansible works on 1 at a time" in " ".join(done.output.split())


def test_the_root_has_a_shim_of_one_import() -> None:
    shim = yaml.safe_load((CHECKOUT / "run-inference.yml").read_text())
    assert [play["ansible.builtin.import_playbook"] for play in shim] == ["playbooks/run_inference.yml"]


@pytest.mark.parametrize("name", PHASES)
def test_a_play_is_hosts_and_roles_tagged_by_phase_and_role(name: str) -> None:
    one, *others = plays(name)
    assert len(others) == (name == "preflight")  # its second play leaves out the blocked hosts
    assert one["gather_facts"] is False
    keys = {"name", "hosts", "connection", "gather_facts", "strategy", "any_errors_fatal", "roles"}
    imports = {"unchanged": "tasks", "collect": "post_tasks"}  # its roles are imported with options of the import
    assert set(one) <= keys | {imports.get(name, "roles")}
    for role in [*one.get("roles", []), *imported_roles(one.get(imports.get(name, ""), []))]:
        short = role["role"].removeprefix("mlperf_ops.lab.")
        assert (CHECKOUT / "roles" / short).is_dir()
        assert role["tags"] == [PHASES[name], short]


def test_a_lab_without_directors_pays_no_task_for_power() -> None:
    one = plays("power")[0]
    assert one["hosts"].startswith(
        "sut{{ ':power_directors' if groups['power_directors'] | default([]) else ':!sut' }}"
    )


def imported_roles(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tasks that import a role as a play's `roles` would name them."""
    assert all(set(task) == {"name", "ansible.builtin.import_role", "tags"} for task in tasks)
    return [{"role": task["ansible.builtin.import_role"]["name"], "tags": task["tags"]} for task in tasks]


@pytest.mark.parametrize("name", PHASES)
def test_only_plays_on_hosts_between_the_look_and_the_tree_leave_out_what_is_unchanged(name: str) -> None:
    order = list(PHASES)
    leaves_out = order.index("unchanged") < order.index(name) < order.index("submission")
    hosts = plays(name)[0]["hosts"]
    assert hosts.endswith("{{ ':!host_unchanged' if 'host_unchanged' in groups }}") == leaves_out
    assert hosts.startswith("sut") == (leaves_out or name == "unchanged")


def test_no_variables_beside_the_playbooks_would_beat_the_inventory() -> None:
    assert not [name for name in os.listdir(PLAYBOOKS) if name in {"group_vars", "host_vars"}]


@pytest.mark.parametrize("action", _ACTIONS)
def test_every_action_is_documented_with_the_options_that_it_reads(action: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--json", "-t", "module", f"mlperf_ops.lab.{action}"],
        cwd=CHECKOUT,
        env=environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    documented = set(json.loads(done.stdout)[f"mlperf_ops.lab.{action}"]["doc"]["options"])
    source = ast.parse((CHECKOUT / "plugins" / "action" / f"{action}.py").read_text())
    read = {
        node.args[0].value
        for node in ast.walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"given", "self._given"}
        and isinstance(node.args[0], ast.Constant)
    }
    assert read <= documented


@pytest.mark.parametrize(
    "module",
    [
        "host_components",
        "host_packages",
        "host_tuning",
        "host_unchanged",
        "loadgen_agent",
        "loadgen_unit",
        "power_host",
        "results_fetch",
        "time_sync",
    ],
)
def test_argument_specs_of_modules_are_their_documentation(module: str) -> None:
    tree = ast.parse((_MODULES / f"{module}.py").read_text())
    texts = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    documented = yaml.safe_load(ast.literal_eval(texts["DOCUMENTATION"]))["options"]
    arguments = texts["ARGUMENTS"]
    assert isinstance(arguments, ast.Dict)
    assert {ast.literal_eval(key) for key in arguments.keys if key is not None} == set(documented)


def test_both_inventories_plan_without_their_hosts(tmp_path: Path) -> None:
    for name in ("local", "lab"):
        inventory = CHECKOUT / "inventory" / name
        done = play(str(CHECKOUT / "playbooks" / "validate.yml"), inventory, tmp_path)
        assert done.exit_code == 0, done.output
        plan = json.loads((tmp_path / "results" / name / "plan.json").read_text())
        assert plan["run_id"] == name
        assert {cell["status"] for cell in plan["cells"]} == {"planned"}


def test_every_variable_of_the_contract_is_explained_in_an_inventory() -> None:
    from mlperf_ops.lab_vars import PREFIX, HostVars  # noqa: PLC0415  # only this test needs it

    text = "".join(path.read_text() for path in (CHECKOUT / "inventory").rglob("*.yml"))
    described = {f"{PREFIX}{name}" for name in HostVars.model_fields} - {f"{PREFIX}measured_targets"}
    assert {name for name in described if name not in text} <= {f"{PREFIX}min_duration_ms"}
