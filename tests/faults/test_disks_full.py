"""A disk that is full, on a host while a cell runs, and on the controller when its result comes."""

from __future__ import annotations

import subprocess

import pytest

from tests.faults.campaign import HOME, words
from tests.faults.conftest import Begin
from tests.support.small_disks import small_disk

pytestmark = [pytest.mark.lab, pytest.mark.network]

_FILL = "dd if=/dev/zero of={0}/fill bs=64k status=none || true"


@pytest.mark.slow
def test_a_disk_that_fills_up_on_a_host_in_a_cell_is_named_and_the_result_is_still_written(begin: Begin) -> None:
    campaign = begin("disk")
    host, other = campaign.hosts
    run = f"{HOME}/runs/disk"
    host.exec(["mkdir", "-p", run], user="ops")  # what root makes here, no cell may write to
    host.exec(f"mount -t tmpfs -o size=96m,uid=$(id -u ops) tmpfs {run}")
    try:
        running = campaign.start()
        host.exec(
            f"cd {run}; until grep -qs measuring */*/*/performance/*/attempt_1/phase; do sleep 0.1; done", timeout=120
        )
        host.exec(_FILL.format(run))
        done = running.end()
        assert done.exit_code != 0
        # The one of these that meets it first tells: LoadGen, which is silent, or the supervisor.
        sentences = ("the disk below mlperf_home is full", "no disk space is left for the run")
        assert any(sentence in words(done) for sentence in sentences), done.output
        assert campaign.valid(other) == 1
        result = host.exec(f"cat {run}/*/*/*/performance/*/attempt_1/result.json").stdout
        assert '"disk_full"' in result
        host.exec(["rm", f"{run}/fill"])
        again = campaign.play()
        assert again.exit_code == 0, again.output
        assert campaign.valid(host) == 1
        assert campaign.verdicts(other) == ["valid"]
    finally:
        host.exec(f"umount -l {run}", check=False)


@pytest.mark.slow
def test_a_full_disk_of_the_controller_loses_nothing(begin: Begin) -> None:
    campaign = begin("full")
    host, other = campaign.hosts
    results = campaign.controller.run.parent
    results.mkdir()
    with small_disk(results, 96):
        running = campaign.start()
        campaign.until_measuring(host)
        subprocess.run(["sh", "-c", _FILL.format(results)], check=True)
        done = running.end()
        assert done.exit_code != 0
        assert "No space left on device" in words(done), done.output
        assert "Traceback" not in done.output
        for one in (host, other):
            assert campaign.verdicts(one) == ["valid"]
            assert campaign.collected(one) == {}
        (results / "fill").unlink()
        again = campaign.play()
        assert again.exit_code == 0, again.output
        for one in (host, other):
            assert campaign.verdicts(one) == ["valid"]
            assert campaign.valid(one) == 1
