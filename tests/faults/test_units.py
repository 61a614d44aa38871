"""Cells in transient systemd units: their limits, their ends, and hosts where there can be none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.campaign import HOME, TAGS, Campaign, words
from tests.faults.conftest import Begin
from tests.lab import Host

pytestmark = [pytest.mark.lab, pytest.mark.network, pytest.mark.slow]

_SUDOERS = "/etc/sudoers.d"


def unit_of(campaign: Campaign, host: Host, number: int = 1) -> str:
    """Return the unit of an attempt by its own files."""
    state: Any = json.loads((campaign.attempts(host)[number - 1] / "state.json").read_text())
    assert state["launcher"]["by"] == "systemd", state
    return str(state["launcher"]["unit"])


def left(host: Host) -> str:
    """Return which units of cells a host still knows."""
    return host.exec(["systemctl", "list-units", "--all", "--plain", "--no-legend", "mlperf-*.service"]).stdout.strip()


def test_a_cell_runs_in_a_unit_of_its_account_with_what_was_tuned_and_leaves_nothing(begin: Begin) -> None:
    campaign = begin("unit", 1, mlperf_tuning={"taskset": "0", "memory_max_mib": 2048}, mlperf_launcher="systemd")
    [host] = campaign.hosts
    running = campaign.start()
    attempt = campaign.until_measuring(host)
    unit = unit_of(campaign, host)
    supervisor, child = campaign.pids(host, attempt)
    shown = host.exec(
        ["systemctl", "show", "--property=ActiveState,Slice,MemoryMax,MainPID,UID,LimitNOFILE", unit]
    ).stdout.split()
    uid = host.exec(["id", "-u", "ops"]).stdout.strip()
    for word in ("ActiveState=active", "Slice=mlperf.slice", f"MemoryMax={2048 << 20}", f"UID={uid}"):
        assert word in shown
    assert f"MainPID={supervisor}" in shown
    groups = host.read(f"/proc/{child}/cgroup")
    assert f"mlperf.slice/{unit}" in groups
    assert "Cpus_allowed_list:\t0\n" in host.read(f"/proc/{child}/status")
    assert host.exec(["stat", "-c", "%U", f"/proc/{child}"]).stdout.strip() == "ops"
    done = running.end()
    assert done.exit_code == 0, done.output
    assert campaign.verdicts(host) == ["valid"]
    launcher = campaign.result(attempt)["effective"]["launcher"]
    assert (launcher["by"], launcher["unit"], launcher["memory_limit_bytes"]) == ("systemd", unit, 2048 << 20)
    unified = host.exec(["test", "-e", "/sys/fs/cgroup/cgroup.controllers"], check=False).returncode == 0
    if unified:
        assert launcher["not_offered"] == []
        assert launcher["cpus"] == "0"
    else:  # the pinning did not vanish: the child is bound above
        assert launcher["not_offered"] == [
            "AllowedCPUs 0: systemd sets no cpusets with cgroup version 1; the processes bind themselves"
        ]
    assert f"runs {HOME}/runs/unit/" in host.exec(["journalctl", "--unit", unit, "--output=cat"]).stdout
    assert left(host) == ""
    assert not (attempt / ".environment").exists()


def test_a_unit_that_is_killed_whole_is_failed_with_the_signal_and_the_cell_runs_again(begin: Begin) -> None:
    campaign = begin("slain", 1)
    [host] = campaign.hosts
    campaign.count_copies(host)
    running = campaign.start()
    first = campaign.until_measuring(host)
    unit = unit_of(campaign, host)
    host.exec(["systemctl", "kill", "--signal=KILL", unit])
    done = running.end()
    assert done.exit_code == 0, done.output
    assert "were killed (no reboot): its main process was ended by SIGKILL" in words(done), done.output
    assert campaign.verdicts(host) == ["failed", "valid"]
    failure = campaign.result(first)["failure"]
    assert (failure["kind"], f"journalctl -u {unit}" in failure["hint"]) == ("killed", True)
    assert unit_of(campaign, host, 2) != unit
    assert campaign.copies(host) == {"0", "1"}
    assert left(host) == ""
    assert campaign.valid(host) == 1


def test_a_unit_that_is_stopped_by_hand_is_told_at_once(begin: Begin) -> None:
    campaign = begin("stopped", 1, mlperf_retries=0)
    [host] = campaign.hosts
    running = campaign.start()
    attempt = campaign.until_measuring(host)
    host.exec(["systemctl", "stop", unit_of(campaign, host)])
    assert campaign.kind(attempt) == "interrupted"  # by the supervisor itself, before the stop returned
    done = running.end()
    assert done.exit_code != 0
    assert "the run was stopped by SIGTERM" in words(done), done.output
    assert left(host) == ""


def test_a_cell_that_overruns_its_memory_limit_is_told_so_and_runs_again(begin: Begin) -> None:
    campaign = begin("greedy", 1, mlperf_tuning={"memory_max_mib": 64})
    [host] = campaign.hosts
    done = campaign.play()
    assert done.exit_code != 0
    told = "for overrunning the unit's memory limit (MemoryMax, 64 MiB)"
    assert told in words(done), done.output
    assert "it runs again (1 left)" in words(done)
    attempts = campaign.attempts(host)
    assert [campaign.kind(one) for one in attempts] == ["out_of_memory", "out_of_memory"]
    assert "raise memory_max_mib" in campaign.result(attempts[0])["failure"]["hint"]
    assert left(host) == ""


def test_without_root_cells_run_in_a_session_and_units_that_are_asked_for_are_refused(begin: Begin) -> None:
    campaign = begin("plain", 1, mlperf_become=False)
    [host] = campaign.hosts
    refused = campaign.play(*TAGS, "-e", "mlperf_launcher=systemd")
    assert refused.exit_code != 0
    assert "only root may start units, and mlperf_become is false" in words(refused), refused.output
    assert campaign.attempts(host) == []
    wrong = campaign.play(*_only_run(), "-e", "mlperf_launcher=sistemd")
    assert wrong.exit_code != 0
    assert "did you mean 'systemd'" in words(wrong), wrong.output
    done = campaign.play()
    assert done.exit_code == 0, done.output
    [attempt] = campaign.attempts(host)
    assert campaign.result(attempt)["effective"]["launcher"] == {
        "by": "session", "why": "only root may start units, and mlperf_become is false", "not_offered": [],
    }  # fmt: skip
    assert campaign.valid(host) == 1


def test_an_account_that_sudo_refuses_runs_its_cells_in_a_session(begin: Begin) -> None:
    campaign = begin("refused", 1)
    [host] = campaign.hosts
    host.exec(f"mv {_SUDOERS} {_SUDOERS}.away && mkdir {_SUDOERS}")
    try:
        done = campaign.play(*_only_run())
    finally:
        host.exec(f"rmdir {_SUDOERS} && mv {_SUDOERS}.away {_SUDOERS}")
    assert done.exit_code == 0, done.output
    [attempt] = campaign.attempts(host)
    assert attempt.name == "attempt_1"  # what was prepared for a unit was given up
    launcher = campaign.result(attempt)["effective"]["launcher"]
    assert launcher["by"] == "session"
    assert "password" in launcher["why"], launcher


def _only_run() -> tuple[str, ...]:
    return ("--tags", "validate,run")
