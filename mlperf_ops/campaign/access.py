"""How the hosts of an inventory are reached, as Ansible resolves it; nothing of it touches a disk."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ToolError
from mlperf_ops.files import JsonObject
from mlperf_ops.typed import load

_PLAYBOOK = "playbooks/access.yml"
_PIPE = "MLPERF_OPS_ACCESS_PIPE"
_LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class Reach:
    """How to reach hosts, and why others cannot be reached, by name."""

    access: dict[str, Access]
    problems: dict[str, str]


def reach(inventory: str, extra_vars: Sequence[str] = ()) -> Reach:
    """Let Ansible resolve the connections of all hosts of an inventory's group `sut`.

    Raises:
        ConfigError: The inventory does not exist or is no YAML.
        ToolError: Ansible could not resolve it; carries its last lines.
    """
    made = playbook_command(_PLAYBOOK, inventory, extra_vars=extra_vars)
    reading, writing = os.pipe()
    told: list[bytes] = []
    with os.fdopen(reading, "rb") as stream:
        reader = threading.Thread(target=lambda: told.append(stream.read()), daemon=True)
        try:
            process = subprocess.Popen(
                made.argv,
                env={**made.env, _PIPE: str(writing)},
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        finally:
            os.close(writing)
        reader.start()
        said, _ = process.communicate()
        reader.join()
    if not told or not told[0]:
        lines = [line for line in said.splitlines() if line.strip()][-_LAST_LINES:]
        raise ToolError(f"ansible-playbook could not resolve {inventory}: {'; '.join(lines) or 'it said nothing'}")
    hosts = cast("dict[str, JsonObject]", json.loads(told[0])["hosts"])
    return Reach(
        access={
            name: load(Access, one["access"], f"access of {name}") for name, one in hosts.items() if "access" in one
        },
        problems={name: str(one["error"]) for name, one in hosts.items() if "error" in one},
    )
