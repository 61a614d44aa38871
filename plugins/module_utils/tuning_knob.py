"""A knob of a machine: read it as text, write it, name it. And the machine itself: files below a root, and tools.

Runs on a host's own Python (3.8 or newer), standard library only. A knob knows nothing of what is wanted; what a
setting of the inventory means in knobs is the business of `tuning_cpu`, `tuning_memory`, `tuning_system` and
`tuning_gpu`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any, NamedTuple, Union

_TOOL_TIMEOUT_SECONDS = 60
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class MissingError(Exception):
    """This machine has no such knob, for the reason that the text tells."""


class RefusedError(Exception):
    """The kernel or a tool does not accept the value, or does not let us write."""


class Machine:
    """Where knobs are found: a file system root and a search path for tools."""

    def __init__(self, root: str = "/", search_path: str | None = None) -> None:
        """Take the real machine unless a root of files is given."""
        self.root = root
        self.search_path = os.pathsep.join(_SYSTEM_PATHS) if search_path is None else search_path
        self.cache: dict[str, Any] = {}  # what tools answered; a write through a tool clears it

    def path(self, name: str) -> str:
        """Return where a path of the machine is found below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def has(self, name: str) -> bool:
        """Tell whether there is such a file or folder."""
        return os.path.exists(self.path(name))

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, numbers in their order; none where there is no such folder."""
        try:
            return sorted(os.listdir(self.path(folder)), key=_by_number)
        except OSError:
            return []

    def read(self, name: str) -> str:
        """Return a file's text without the white space around it.

        Raises:
            MissingError: There is no such file, or it cannot be read, as that of a CPU which is offline.
        """
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as stream:
                return stream.read().strip()
        except FileNotFoundError:
            raise MissingError(f"there is no {name}") from None
        except OSError as error:
            raise MissingError(f"{name} cannot be read: {error.strerror}") from None

    def write(self, name: str, value: str) -> None:
        """Write a file of sysfs or procfs in one system call, as the kernel wants it.

        Raises:
            RefusedError: The kernel does not take it.
        """
        try:
            descriptor = os.open(self.path(name), os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(descriptor, f"{value}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            needs_root = isinstance(error, PermissionError) and os.geteuid() != 0
            raise RefusedError(f"{'needs root: ' if needs_root else ''}{error.strerror}") from None

    def has_tool(self, name: str) -> bool:
        """Tell whether a program is installed."""
        return shutil.which(name, path=self.search_path) is not None

    def run(self, *argv: str) -> str:
        """Run a tool and return what it printed.

        Raises:
            MissingError: It is not installed.
            RefusedError: It failed, or gave no answer in time; carries its last line.
        """
        program = shutil.which(argv[0], path=self.search_path)
        if program is None:
            raise MissingError(f"{argv[0]} is not installed")
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, LC_ALL="C", LANG="C", PATH=self.search_path),
                text=True,
                timeout=_TOOL_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RefusedError(f"{argv[0]} cannot be used: {error}") from None
        if done.returncode != 0:
            said = done.stdout.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise RefusedError(f"{argv[0]}: {said[0].strip()}")
        return done.stdout


def _by_number(name: str) -> tuple[str, int, str]:
    head = name.rstrip("0123456789")
    digits = name[len(head) :]
    return head, int(digits or -1), name


class Knob:
    """One knob. Its key names it in the backup: "<kind>:<rest>", from which `of_key` of its module makes it again."""

    kind = ""
    readable = True  # False: no tool tells the value; what we have set ourselves is all that is known
    lasts_over_boots = True  # False: after a reboot the same key may name something else
    path: str | None = None  # the file that shows the value, where there is one

    def __init__(self, machine: Machine, name: str) -> None:
        """Keep what the key says."""
        self.machine = machine
        self.name = name

    @property
    def key(self) -> str:
        """The knob's name in files."""
        return f"{self.kind}:{self.name}"

    @property
    def explain(self) -> str:
        """The knob's name for people."""
        return self.name

    def read(self) -> str:
        """Return the present value; raises MissingError."""
        raise NotImplementedError

    def write(self, value: str) -> None:
        """Set a value; raises RefusedError or MissingError."""
        raise NotImplementedError

    def same(self, wanted: str, found: str) -> bool:
        """Tell whether two values mean the same, whatever the white space."""
        return wanted.split() == found.split()


class FileKnob(Knob):
    """A file of sysfs or procfs that shows what was written to it."""

    kind = "file"

    @property
    def path(self) -> str:  # type: ignore[override]
        """The file itself."""
        return self.name

    def read(self) -> str:
        """Return the file's text."""
        return self.machine.read(self.name)

    def write(self, value: str) -> None:
        """Write the file."""
        self.machine.write(self.name, value)


class ChoiceKnob(FileKnob):
    """A file that lists all choices, with the present one in brackets: "always [madvise] never"."""

    kind = "choice"

    def read(self) -> str:
        """Return the choice in brackets."""
        text = super().read()
        chosen = [word[1:-1] for word in text.split() if word.startswith("[") and word.endswith("]")]
        return chosen[0] if chosen else text


class Step(NamedTuple):
    """A knob and the value that it is to have; None: only its present value is kept, as others may change it."""

    setting: str  # name in the inventory
    knob: Knob
    wanted: str | None


class Skip(NamedTuple):
    """A setting, or one knob of it, that this host cannot have."""

    setting: str
    knob: str  # "" for the whole setting
    reason: str


Planned = Union[Step, Skip]  # noqa: UP007  # Python 3.8


def parse_cpu_list(text: str) -> set[int]:
    """Read a Linux list such as "0-3,8"; an empty one gives an empty set.

    Raises:
        ValueError: It is no such list.
    """
    numbers: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers
