"""A host that goes down in a cell, comes back, stays away, or hangs. The others go on."""

from __future__ import annotations

import time

import pytest

from tests.faults.campaign import wait_until, words
from tests.faults.conftest import Begin

pytestmark = [pytest.mark.lab, pytest.mark.network]


@pytest.mark.slow
def test_a_host_without_power_in_a_cell_and_back_runs_the_cell_again_and_says_why(begin: Begin) -> None:
    campaign = begin("power")
    lost, other = campaign.hosts
    running = campaign.start()
    campaign.until_measuring(lost)
    lost.kill()
    wait_until(lambda: campaign.verdicts(other) == ["valid"], "the other host did not go on")
    assert campaign.verdicts(lost) == [None]
    lost.reboot()
    done = running.end()
    assert done.exit_code == 0, done.output
    assert "failed: the host rebooted or lost power during the cell (up since 20" in words(done), done.output
    assert "it runs again (1 left)" in words(done)
    assert campaign.verdicts(lost) == ["failed", "valid"]
    assert campaign.kind(campaign.attempts(lost)[0]) == "host_rebooted"
    assert (campaign.valid(lost), campaign.valid(other)) == (1, 1)
    assert all(name.endswith("attempt_2") for name in campaign.collected(lost))


@pytest.mark.slow
def test_a_host_that_stays_away_fails_alone_and_the_next_run_finishes_it(begin: Begin) -> None:
    campaign = begin("away", loadgen_run_lost_seconds=10)
    lost, other = campaign.hosts
    running = campaign.start()
    campaign.until_measuring(lost)
    lost.kill()
    done = running.end()
    assert done.exit_code != 0
    assert f"{other.name} is complete" in words(done), done.output
    assert f"{lost.name} lacks" in words(done), done.output
    assert "the host has not answered for" in words(done), done.output
    assert campaign.valid(other) == 1
    lost.reboot()
    again = campaign.play()
    assert again.exit_code == 0, again.output
    assert campaign.verdicts(lost) == ["failed", "valid"]
    assert campaign.verdicts(other) == ["valid"]
    assert campaign.valid(lost) == 1


@pytest.mark.slow
def test_a_reboot_in_order_is_named_as_such_and_without_retries_the_run_ends_with_it(begin: Begin) -> None:
    campaign = begin("reboot", mlperf_retries=0)
    lost, other = campaign.hosts
    running = campaign.start()
    campaign.until_measuring(lost)
    lost.reboot()
    done = running.end()
    assert done.exit_code != 0
    assert "the host was shut down or rebooted during the cell" in words(done) or (
        "the host rebooted or lost power during the cell" in words(done)
    ), done.output
    assert campaign.verdicts(lost) == ["failed"]
    assert campaign.kind(campaign.attempts(lost)[0]) == "host_rebooted"
    assert set(campaign.collected(lost).values()) == {"failed"}
    assert campaign.valid(other) == 1


@pytest.mark.slow
def test_a_host_that_hangs_in_a_cell_goes_on_with_it_and_nothing_runs_twice(begin: Begin) -> None:
    campaign = begin("frozen")
    hung, other = campaign.hosts
    campaign.count_copies(hung)
    running = campaign.start()
    campaign.until_measuring(hung)
    hung.freeze()
    wait_until(lambda: campaign.verdicts(other) == ["valid"], "the other host did not go on")
    time.sleep(15)  # longer than ssh waits for an answer: the connection is lost
    assert running.process.poll() is None
    hung.thaw()
    done = running.end()
    assert campaign.copies(hung) == {"0", "1"}
    [verdict] = campaign.verdicts(hung)
    assert verdict in {"valid", "invalid"}  # as LoadGen judges a query of fifteen seconds
    assert set(campaign.collected(hung).values()) == {verdict}
    assert done.exit_code == 0, done.output
    assert campaign.valid(other) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60])
def test_a_cut_cable_for_a_minute_in_a_cell_loses_nothing(begin: Begin, seconds: float) -> None:
    campaign = begin("cut")
    cut, other = campaign.hosts
    campaign.count_copies(cut)
    running = campaign.start()
    campaign.until_measuring(cut)
    cut.cut()
    time.sleep(seconds)
    wait_until(lambda: campaign.verdicts(cut) == ["valid"], "the cell needs no connection", seconds=300)
    cut.heal()
    done = running.end()
    assert done.exit_code == 0, done.output
    assert campaign.verdicts(cut) == ["valid"]
    assert (campaign.valid(cut), campaign.valid(other)) == (1, 1)
    assert campaign.copies(cut) == {"0", "1"}
