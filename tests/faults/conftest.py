"""Three provisioned lab hosts for all tests, and a campaign of its own for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlperf_ops.files import Json
from tests.faults.campaign import Campaign
from tests.hosts.conftest import lab
from tests.lab import Host, Lab
from tests.support.controllers import Controller

__all__ = ["lab"]

Begin = Callable[..., Campaign]


@pytest.fixture(scope="session")
def hosts(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, ...]]:
    """Provision hosts once; no test leaves anything there but runs."""
    made = tuple(lab.add([(None, None)] * 3))
    first = Controller(lab, tmp_path_factory.mktemp("provision"), made, "provision", **Campaign.VARIABLES)
    done = first.play("run-inference.yml", "--tags", "validate,provision")
    assert done.exit_code == 0, done.output
    yield made
    for host in made:
        lab.remove(host)


@pytest.fixture
def begin(lab: Lab, hosts: tuple[Host, ...], tmp_path: Path) -> Iterator[Begin]:
    """Return what makes a campaign on the first hosts; afterwards every host is well, and nothing runs there."""
    begun: list[Campaign] = []

    def one(run_id: str, count: int = 2, folder: str = "controller", **changes: Json) -> Campaign:
        controller = Controller(lab, tmp_path / folder, hosts[:count], run_id, **{**Campaign.VARIABLES, **changes})
        begun.append(Campaign(controller, hosts[:count]))
        return begun[-1]

    yield one
    for campaign in begun:
        campaign.clear()
