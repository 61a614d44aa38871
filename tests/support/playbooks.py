"""Run real playbooks of this checkout and read their recaps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlperf_ops.files import Json, JsonObject

CHECKOUT = Path(__file__).resolve().parents[2]
_RECAP = re.compile(r"^(?P<host>\S+) +: (?P<counts>(?:\w+=\d+ *)+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Played:
    """What a play said and did."""

    exit_code: int
    output: str
    recap: dict[str, dict[str, int]]

    def total(self, count: str) -> int:
        """Sum a count of the recap over all hosts."""
        return sum(counts[count] for counts in self.recap.values())


def play(playbook: str, inventory: Path, cwd: Path, *arguments: str, **environment: str) -> Played:
    """Run ansible-playbook with the tests' own Python.

    Args:
        playbook: Path, or a collection's playbook by its full name.
        inventory: For -i.
        cwd: Where it runs; results/ appears there.
        arguments: Further arguments.
        environment: Overrides.
    """
    done = subprocess.run(
        command(playbook, inventory, *arguments),
        cwd=cwd,
        env=environ(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return played(done.returncode, done.stdout + done.stderr)


@dataclass(frozen=True, slots=True)
class Running:
    """A play that has not ended yet."""

    process: subprocess.Popen[bytes]
    log: Path

    def until(self, text: str, *, seconds: float = 120) -> None:
        """Wait until it says something."""
        deadline = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def end(self, *, seconds: float = 900) -> Played:
        """Wait for its end; a machine that does much else takes its time."""
        return played(self.process.wait(timeout=seconds), self.log.read_text())


def start(argv: list[str], cwd: Path, env: dict[str, str], log: Path) -> Running:
    """Start a play in a session of its own, and write all that it says into a log."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    return Running(process, log)


def played(exit_code: int, output: str) -> Played:
    """Read the recap of a play that has ended."""
    recap = {
        found["host"]: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", found["counts"])}
        for found in _RECAP.finditer(output.rpartition("PLAY RECAP")[2])
    }
    return Played(exit_code, output, recap)


def command(playbook: str, inventory: Path, *arguments: str, program: Path | None = None) -> list[str]:
    """Return the argv of a play."""
    return [
        str(program or Path(sys.executable).parent / "ansible-playbook"),
        playbook,
        "-i",
        str(inventory),
        *arguments,
    ]


def environ(**environment: str) -> dict[str, str]:
    """Return the environment of a play: the checkout's configuration and a locale that Ansible accepts."""
    base = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    return {**os.environ, **base, **environment}


def local_inventory(folder: Path, home: Path, **changes: Json) -> Path:
    """Write an inventory of this machine that runs one small scenario.

    Args:
        folder: Made here; its name becomes the run id.
        home: mlperf_home.
        changes: mlperf_* variables without their prefix.
    """
    variables: JsonObject = {
        "round": "v6.1",
        "division": "open",
        "submitter": "example",
        "system_type": "edge",
        "run_style": "test",
        "test_query_count": 100,
        "home": str(home),
        "become": False,  # a test never changes the machine that it runs on
        "benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}],
        **changes,
    }
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    folder.mkdir(parents=True, exist_ok=True)
    inventory: JsonObject = {
        "all": {
            "vars": {f"mlperf_{name}": value for name, value in variables.items()},
            "children": {"sut": {"hosts": {"localhost": dict(host)}}},
        }
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    return folder
