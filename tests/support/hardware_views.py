"""Simulated hardware that is mounted in a folder, as a shell in a lab host would use it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.hardware import Controls, View, missing

MARKS = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount for others"),
    pytest.mark.skipif(bool(missing()), reason=missing() or ""),
]

CPU = Path("/sys/devices/system/cpu")
POLICY = "cpufreq/policy0"


class Mounted:
    """A view in a folder: reads and writes as a shell in the host would."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.controls = Controls(view.root)

    def path(self, name: str) -> Path:
        return self.view.mountpoint / (name.removeprefix("/") if name.startswith("/") else f"{CPU}/{name}"[1:])

    def read(self, name: str) -> str:
        return self.path(name).read_text().rstrip("\n")

    def echo(self, name: str, text: str) -> str:
        """`echo TEXT > NAME`; returns "ok" or the name of the error."""
        try:
            with self.path(name).open("wb", buffering=0) as file:  # a buffer would try again when it is closed
                file.write(f"{text}\n".encode())
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "ok"


Mount = Callable[[str], Mounted]
