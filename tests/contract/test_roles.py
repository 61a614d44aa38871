"""What every role promises: documented options that are its defaults, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.playbooks import CHECKOUT

ROLES = sorted(path for path in (CHECKOUT / "roles").iterdir() if path.is_dir())
_TYPES: dict[type, set[str]] = {str: {"str", "path"}, bool: {"bool"}, int: {"int"}, list: {"list"}, dict: {"dict"}}


def loaded(path: Path) -> Any:  # noqa: ANN401  # any YAML
    return yaml.safe_load(path.read_text())


def options(role: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = loaded(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


def test_there_are_roles() -> None:
    assert {role.name for role in ROLES} >= {"lab_validate", "host_components", "loadgen_run", "results_fetch"}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_argument_specs_are_the_defaults_in_keys_values_and_types(role: Path) -> None:
    defaults = loaded(role / "defaults" / "main.yml")
    specs = options(role)
    assert list(specs) == list(defaults)
    assert {name: spec["default"] for name, spec in specs.items()} == defaults
    for name, spec in specs.items():
        assert spec["type"] in _TYPES[type(defaults[name])], name
        assert spec["description"].strip().endswith("."), name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_carry_the_name_of_their_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in options(role))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_is_used_and_passed_to_an_action_of_ours(role: Path) -> None:
    text = (role / "tasks" / "main.yml").read_text()
    assert all(name in text for name in options(role))
    assert not [line for line in text.splitlines() if line.strip().startswith(("tags:", "ignore_errors:"))]
    becomes = [line.strip() for line in text.splitlines() if line.strip().startswith("become:")]
    assert all("mlperf_become | default(true)" in line for line in becomes)  # a lab can do without root


def test_readme_tables_are_generated() -> None:
    done = subprocess.run(
        [sys.executable, "tools/role_docs.py", "--check"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
