"""Which ansible-playbook command runs a playbook of this project, from a checkout or as a collection."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlperf_ops
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.lab_source import InventorySource

COLLECTION = "mlperf_ops.lab"
_PROGRAM = "ansible-playbook"


@dataclass(frozen=True, slots=True)
class PlaybookCommand:
    """A command and its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


def playbook_command(
    playbook: str,
    inventory: str,
    *,
    extra_vars: Sequence[str] = (),
    arguments: Sequence[str] = (),
    check: bool = False,
) -> PlaybookCommand:
    """Build an ansible-playbook command.

    The playbook comes from the current folder when that is a checkout of this project, else from the checkout that this
    package runs from, else from the installed collection.

    Args:
        playbook: Path relative to the checkout, such as "playbooks/validate.yml" or "run-inference.yml".
        inventory: Folder or file for -i.
        extra_vars: Each becomes -e.
        arguments: Passed on as they are.
        check: Adds --check --diff.

    Raises:
        ConfigError: The inventory does not exist, or a file of it is not YAML; names file and line.
        ToolError: ansible-playbook is not installed.
    """
    if "," not in inventory and not Path(inventory).exists():
        raise ConfigError(f"there is no inventory at {inventory}", hint="start from inventory/local or inventory/lab")
    if Path(inventory).is_dir():
        # Ansible's own words for broken YAML name neither file nor line here.
        InventorySource(Path(inventory).resolve(), inventory).check()
    beside = Path(sys.executable).parent / _PROGRAM
    program = str(beside) if beside.is_file() else shutil.which(_PROGRAM)
    if program is None:
        raise ToolError(f"{_PROGRAM} is not installed", hint="install ansible-core 2.17 or newer beside mlperf-ops")
    words, settings = _playbook(playbook)
    argv = [program, *words, "-i", inventory]
    for one in extra_vars:
        argv += ["-e", one]
    if check:
        argv += ["--check", "--diff"]
    return PlaybookCommand((*argv, *arguments), settings | _utf8(settings))


def _playbook(playbook: str) -> tuple[list[str], dict[str, str]]:
    environment = dict(os.environ)
    if Path(playbook).is_file() and Path("ansible.cfg").is_file():
        return [playbook], environment
    checkout = Path(mlperf_ops.__file__).parents[1]
    if (checkout / playbook).is_file():
        if (checkout / "ansible.cfg").is_file():
            environment.setdefault("ANSIBLE_CONFIG", str(checkout / "ansible.cfg"))
        return [str(checkout / playbook)], environment
    # Inside a collection playbooks are identifiers.
    return [f"{COLLECTION}.{Path(playbook).stem.replace('-', '_')}"], environment


def _utf8(environment: Mapping[str, str]) -> dict[str, str]:
    """Ansible does not start in a locale without UTF-8, which is what a minimal machine has."""
    name = next((environment[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(key)), "C")
    return {} if "utf" in name.lower() else {"LC_ALL": "C.UTF-8"}
