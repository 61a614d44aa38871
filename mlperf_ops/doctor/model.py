"""The words of the doctor: a question about a host, a finding, and the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mlperf_ops.doctor.power_question import PowerQuestion
from mlperf_ops.files import Json

Severity: TypeAlias = Literal["blocks", "warns", "note"]

Check: TypeAlias = Literal[
    "address", "port", "host-key", "login", "sudo", "python", "home", "disk", "clock", "index", "files",
    "architecture", "tuning", "power", "busy", "reboot",
]  # fmt: skip
"""What is examined, in this order: without the first four a host cannot be asked about the others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing."""

    host: str
    check: Check
    severity: Severity
    message: str  # one sentence
    remedy: str  # one thing to do; "" where there is nothing to do

    @property
    def line(self) -> str:
        """Sentence and remedy in one line."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


@dataclass(frozen=True, slots=True)
class Access:
    """How Ansible reaches a host, after its variables, its configuration and its command line."""

    connection: str  # "ssh", "local", or another connection plugin
    address: str
    port: int | None = None  # None: ssh's own configuration decides, as with the following two
    user: str | None = None
    key_file: str | None = None
    arguments: tuple[str, ...] = ()  # of ssh: ssh_args, ssh_common_args and ssh_extra_args
    host_key_checking: bool = True
    ssh: str = "ssh"  # the program
    python: str = ""  # ansible_python_interpreter; "" or "auto…" searches
    become_method: str = "sudo"
    has_become_password: bool = False
    password: str | None = field(default=None, repr=False)  # only ever goes to the host itself


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """A component that the user has put on the host: mlperf_components.<name>."""

    name: str
    path: str
    label_file: str = ""
    used: bool = True  # by a cell of the plan; True where there is no plan
    keeps_host_out: bool = True  # when it is missing; in a smoke run only its own cells do not run


@dataclass(frozen=True, slots=True)
class Question:
    """A host, how to reach it and what it needs."""

    name: str
    access: Access
    home: str  # mlperf_home; "" on a host that runs no cells
    needs_sudo: bool
    needs_environment: bool  # a Python environment with LoadGen: the harness runs cells there
    mirror: str = ""  # mlperf_mirror
    cells_python: str = ""  # host_components_python
    files: tuple[OwnFiles, ...] = ()
    run_id: str = ""  # of the plan; "": there is none yet
    knobs: tuple[str, ...] = ()  # names of settings that tuning wants to set, see knobs.KNOBS
    power: PowerQuestion | None = None  # of a power director, and of a SUT that is measured


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a host."""

    name: str
    address: str
    seconds: float
    reached: Check | None  # the last check that was made; None: the host was not examined
    findings: tuple[Finding, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether the host cannot take part."""
        return any(finding.severity == "blocks" for finding in self.findings)

    @property
    def state(self) -> Literal["ready", "warned", "blocked"]:
        """The worst that was found; notes do not count."""
        if self.blocked:
            return "blocked"
        return "warned" if any(finding.severity == "warns" for finding in self.findings) else "ready"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a host's probe said, and when."""

    facts: dict[str, Json]
    clock_offset_seconds: float | None = None  # host minus controller; None where it is the same machine
    clock_error_seconds: float = 0.0  # half of the round trip


@dataclass(slots=True)
class Progress:
    """How far the examination of a host has come, for the sentence of a time-out; and how long it may take."""

    deadline: float  # time.monotonic()
    connect_by: float  # the same, for the network, which a crowd of hosts does not slow down
    check: Check = "address"
    shown: str = ""  # the host as a person would type it

    def left(self) -> float:
        """Return the seconds that are left; never nothing, which would mean no limit."""
        return max(self.deadline - time.monotonic(), 0.05)

    def left_to_connect(self) -> float:
        """Return the seconds within which a connection must be taken."""
        return max(self.connect_by - time.monotonic(), 0.05)
