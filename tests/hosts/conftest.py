"""Hands out lab hosts, `lab` for all tests of a session and a virgin `host` for each test, and views of hardware."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Host, Lab, machine
from tests.lab.hardware import View
from tests.support.hardware_views import Mount, Mounted


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Start a lab without hosts; tests add them by `lab.fresh()`, which takes half a second."""
    if os.geteuid() != 0:
        pytest.skip("only root can make lab hosts")
    if missing := machine.missing_packages():
        pytest.skip(f"the lab needs {', '.join(missing)}: python -m tests.lab install")
    with Lab.up() as made:
        yield made


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """Start a virgin host for one test."""
    made = lab.fresh()
    yield made
    lab.remove(made)


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Iterator[tuple[Host, Host]]:
    """Start two hosts for the tests of one file."""
    one, other = lab.add([(None, None), (None, None)])
    yield one, other
    lab.remove(one)
    lab.remove(other)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Serve views below a folder of the test."""
    views: list[View] = []

    def start(name: str) -> Mounted:
        folder = tmp_path / str(len(views))
        views.append(View.start(name, folder / "root", folder / "work"))
        return Mounted(views[-1])

    yield start
    for view in views:
        view.stop()


@pytest.fixture
def acpi(mount: Mount) -> Mounted:
    return mount("acpi-cpufreq+cpus=4")


@pytest.fixture
def intel(mount: Mount) -> Mounted:
    return mount("intel-pstate+cpus=4")


@pytest.fixture
def amd(mount: Mount) -> Mounted:
    return mount("amd-pstate+cpus=4")
