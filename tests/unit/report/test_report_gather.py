"""Reading a run folder: one broken file costs one cell, not the report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.files import read_json, write_json
from mlperf_ops.plan_model import CollectedHost
from mlperf_ops.report.evidence import CellRun, Run
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.repeat import host_command, playbook_command
from mlperf_ops.typed import dump, load
from tests.support.sample_run import change_plan


def read(run: Path) -> Run:
    return read_run(run, load_catalogue())


def server(run: Path) -> CellRun:
    return next(cell for cell in read(run).cells if (cell.cell.scenario, cell.cell.mode) == ("Server", "performance"))


def result_file(run: Path) -> Path:
    return next(run.glob("hosts/node1/**/Server/performance/**/result.json"))


def change_collected(run: Path, **changes: str) -> None:
    path = run / "hosts/node1/cells.json"
    collected = load(CollectedHost, read_json(path), "cells.json")
    cells = tuple(
        dataclasses.replace(cell, **changes) if "Server/performance" in cell.key else cell  # type: ignore[arg-type]
        for cell in collected.cells
    )
    write_json(path, dump(dataclasses.replace(collected, cells=cells)))


def test_cells_come_in_the_order_of_the_plan_with_their_evidence(demonstration: Path) -> None:
    run = read(demonstration)
    assert [cell.cell for cell in run.cells] == [planned.cell for planned in run.plan.cells]
    first = run.cells[0]
    assert first.user_conf is not None
    assert "target_latency" in first.user_conf
    assert "mlperf_log_detail.txt" in dict(first.manifest)
    assert first.attempts == 1
    assert run.cells[-1].state == "impossible"


def test_a_folder_without_a_plan_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"is not a run folder: it has no plan\.json"):
        read(tmp_path)


def test_a_round_that_the_catalogue_does_not_know_is_named(run: Path) -> None:
    change_plan(run, round="v6.9")
    with pytest.raises(ConfigError, match=r"unknown round 'v6\.9'"):
        read(run)


def test_a_broken_result_is_one_unreadable_cell(run: Path) -> None:
    result_file(run).write_text('{"cell": ')
    cells = read(run).cells
    assert [cell.state for cell in cells].count("unreadable") == 1
    assert "is not JSON" in (server(run).problem or "")


def test_a_broken_cells_file_costs_that_hosts_cells(run: Path) -> None:
    (run / "hosts/node1/cells.json").write_text("[]")
    cells = read(run).cells
    assert {cell.state for cell in cells} == {"missing", "impossible"}
    assert "expected a JSON object" in (cells[0].problem or "")


def test_a_path_that_leaves_the_run_is_not_followed(run: Path) -> None:
    change_collected(run, path="../../../../etc")
    assert server(run).state == "unreadable"
    assert "outside the run" in (server(run).problem or "")


def test_of_two_results_the_one_that_answers_the_plan_is_taken(run: Path) -> None:
    path = run / "hosts/node1/cells.json"
    collected = load(CollectedHost, read_json(path), "cells.json")
    old = tuple(dataclasses.replace(cell, request_sha256="0" * 64, path="gone") for cell in collected.cells)
    write_json(path, dump(dataclasses.replace(collected, cells=(*collected.cells, *old))))
    assert server(run).result is not None
    assert not server(run).stale


def test_facts_keep_origin_and_reason(demonstration: Path) -> None:
    host = read(demonstration).hosts[0]
    assert host.get("cpu_model") == "Intel(R) Xeon(R) Processor"
    assert ("memory_modules", "dmidecode is not installed") in host.unknown


def test_a_host_without_facts_says_so(run: Path) -> None:
    (run / "hosts/node1/facts.json").unlink()
    assert read(run).hosts[0].problem == "no facts were collected from this host"


def test_the_host_command_repeats_the_very_spec(demonstration: Path) -> None:
    cell = server(demonstration)
    assert cell.result is not None
    spec12 = cell.result.spec_sha256[:12]
    assert host_command(cell) == (
        "cd /srv/mlperf\n"
        "PYTHONPATH=harness/cccccccccccc python/*/bin/python -m mlperf_ops.harness --spec "
        f"runs/demo/node1/efficientnet-lite0/Server/performance/{spec12}/attempt_1/spec.json "
        "--out again/node1/efficientnet-lite0/Server/performance"
    )


def test_the_recorded_interpreter_is_used_and_quoted(demonstration: Path) -> None:
    cell = server(demonstration)
    assert cell.result is not None
    effective = {**cell.result.effective, "python_executable": "/opt/my python/bin/python"}
    changed = dataclasses.replace(
        cell, result=dataclasses.replace(cell.result, effective=effective), home="~/lab; rm -r x"
    )
    command = host_command(changed) or ""
    assert command.startswith("cd ~'/lab; rm -r x'\n")
    assert "'/opt/my python/bin/python' -m mlperf_ops.harness" in command


def test_a_cell_that_never_ran_has_no_host_command(demonstration: Path) -> None:
    assert host_command(read(demonstration).cells[-1]) is None


def test_the_playbook_command_takes_another_run_id(demonstration: Path) -> None:
    command = playbook_command(read(demonstration).plan)
    assert command == (
        "ansible-playbook run-inference.yml -i inventory/lab -e mlperf_run_id=demo-again -e mlperf_run_style=test"
    )
