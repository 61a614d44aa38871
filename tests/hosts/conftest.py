"""Hands out lab hosts: `lab` is one for all tests of a session, `host` a virgin one for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import Host, Lab, machine


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
