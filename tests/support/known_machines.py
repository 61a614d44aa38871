"""Machines that nobody has here, laid out as files and as tools that print what such a machine prints.

tests/data/host_facts/<machine>/ holds machine.yml (files, links, and what the test says of its runs), tools/<tool> (the
tool's output), and what is expected of it: facts.json and system.json. After a wanted change of the product,
`python -m tests.support.known_machines` writes the expected files again; read their difference before you commit it.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.files import Json, JsonObject, write_json
from mlperf_ops.system import SystemDescription, describe
from mlperf_ops.system_facts import Usage, load_facts

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "host_facts"
MACHINES = tuple(sorted(path.parent.name for path in DATA.glob("*/machine.yml")))
ROUND = "v6.1"
_UTILS = "ansible_collections.mlperf_ops.lab.plugins.module_utils"

if str(ROOT / "collections") not in sys.path:
    sys.path.insert(0, str(ROOT / "collections"))
host_facts: Any = importlib.import_module(f"{_UTILS}.host_facts")
host_tools: Any = importlib.import_module(f"{_UTILS}.host_tools")


def told_of(name: str) -> dict[str, Any]:
    """Return machine.yml."""
    found: dict[str, Any] = yaml.safe_load((DATA / name / "machine.yml").read_text())
    return found


def lay_out(name: str, folder: Path) -> Any:  # noqa: ANN401  # a Machine of the collection
    """Make a machine's files and tools below an empty folder and return it as the product reads it."""
    root, tools, told = folder / "root", folder / "bin", told_of(name)
    tools.mkdir(parents=True)
    for path, target in told["links"].items():
        link, place = _below(root, path), _below(root, target)
        link.parent.mkdir(parents=True, exist_ok=True)
        if "/drivers/" not in target:
            place.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(place)
    for pattern, text in told["files"].items():
        for path in _each(pattern):
            file = _below(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n" if text else "")
    for output in (DATA / name / "tools").iterdir():
        tool(tools, output.name, output.read_text())
    return host_tools.Machine(str(root), str(tools), told["uid"], told["process"])


def tool(folder: Path, name: str, output: str | bytes, *, code: int = 0, before: str = "") -> None:
    """Put a tool into a folder that prints a text and exits with a code, after a line of shell."""
    printed = folder / f"{name}.out"
    printed.write_bytes(output.encode() if isinstance(output, str) else output)
    script = folder / name
    script.write_text(f"#!/bin/sh\n{before}\n/bin/cat {printed}\nexit {code}\n")
    script.chmod(0o755)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _each(pattern: str) -> Iterator[str]:
    """Yield "policy0" … "policy3" of "policy{0..3}"."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        yield pattern
        return
    for number in range(int(found[1]), int(found[2]) + 1):
        yield pattern.replace(found[0], str(number))


def collected(name: str, folder: Path) -> JsonObject:
    """Return the facts of a machine, laid out below a folder."""
    facts: JsonObject = host_facts.collect(lay_out(name, folder))
    return facts


def described(name: str, facts: Path, given: dict[str, Json] | None = None) -> SystemDescription:
    """Describe a machine for the round from a facts.json, with what its people know."""
    told = told_of(name)
    usage = told["usage"]
    return describe(
        load_catalogue().round(ROUND),
        fixed={"division": "closed", "submitter": "Example", "system_type": told["system_type"]},
        given=told["given"] if given is None else given,
        facts=load_facts(facts),
        usage=Usage(name, usage["frameworks"], usage["software"], tuple(usage["devices"])),
        where=f"mlperf_system_description of {name}",
    )


def main() -> None:
    """Write the expected files of all machines."""
    for name in MACHINES:
        with tempfile.TemporaryDirectory() as folder:
            write_json(DATA / name / "facts.json", collected(name, Path(folder, "machine")))
        write_json(DATA / name / "system.json", described(name, DATA / name / "facts.json").content)


if __name__ == "__main__":
    main()
