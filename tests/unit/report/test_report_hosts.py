"""The line that says which hosts are complete, and why the others are not."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.doctor import record
from mlperf_ops.files import write_json
from mlperf_ops.report import keep_dropped, verdict_text
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.hosts import host_line
from mlperf_ops.report.markdown import verdict_markdown
from tests.support.attempts import RealLogs
from tests.support.sample_run import sample_run


def line(run: Path) -> str:
    return host_line(read_run(run, load_catalogue()))


def test_a_complete_lab_of_one_needs_no_line(demonstration: Path) -> None:
    assert line(demonstration) == ""


def test_a_host_without_any_result_is_not_forgotten(run: Path) -> None:
    shutil.rmtree(run / "hosts" / "node1")
    assert line(run).startswith("Hosts: node1 lacks all 8 cells: nothing was collected from the host")
    assert line(run) in verdict_text(run)


def test_a_host_that_the_preflight_left_out_says_what_was_wrong_with_it(run: Path) -> None:
    shutil.rmtree(run / "hosts" / "node1")
    block = {"check": "port", "severity": "blocks", "message": "10.0.0.1 does not answer", "remedy": "switch it on"}
    held = {"state": "blocked", "address": "10.0.0.1", "inputs_sha256": "", "findings": [block]}
    write_json(run / record.FILE, {"schema": 1, "hosts": {"node1": held}})
    expected = "node1 lacks all 8 cells: the preflight left it out: 10.0.0.1 does not answer (switch it on)."
    assert line(run) == f"Hosts: {expected}"
    assert "the preflight left it out" in verdict_markdown(read_run(run, load_catalogue()))


def test_a_host_that_dropped_out_of_the_play_says_where_and_why_until_a_play_without_it(run: Path) -> None:
    shutil.rmtree(run / "hosts" / "node1")
    told = run.parent / "note.json"
    write_json(told, {"hosts": {"node1": {"task": "Bring the components", "message": "no space left"}}})
    keep_dropped(run, told)
    expected = "node1 lacks all 8 cells: it dropped out at 'Bring the components': no space left."
    assert line(run) == f"Hosts: {expected}"
    told.unlink()
    keep_dropped(run, told)
    assert line(run) == "Hosts: node1 lacks all 8 cells: nothing was collected from the host."


def test_complete_hosts_are_named_first(tmp_path: Path, real_logs: RealLogs) -> None:
    two = sample_run(tmp_path / "two", real_logs, hosts=("node1", "node2"))
    assert line(two) == "Hosts: node1 and node2 are complete."
    (path, *_) = two.glob("hosts/node2/**/Offline/performance/**/result.json")
    path.unlink()
    assert line(two).startswith("Hosts: node1 is complete; node2 lacks 1 of 8 cells: ")
