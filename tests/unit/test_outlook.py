from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlperf_ops.collected import read_collection
from mlperf_ops.outlook import Outlook, outlook, slowest_host
from mlperf_ops.plan_model import Plan
from tests.support.earlier import cell, leave_attempt, leave_host, plan, taint


def seen(made: Plan, run: Path) -> dict[str, Outlook]:
    collection = read_collection(run)
    assert collection.problems == ()
    return {one.key.split("/")[2]: one for one in outlook(made, collection.earlier)}


def test_without_results_all_is_missing_and_the_rules_say_how_long(tmp_path: Path) -> None:
    made = plan()
    found = seen(made, tmp_path)
    assert {one.status for one in found.values()} == {"missing"}
    assert found["Server"].expected == cell(made, "Server").expected


def test_a_valid_result_of_the_very_request_is_there(tmp_path: Path) -> None:
    made = plan()
    held = leave_attempt(tmp_path, cell(made, "Offline"))
    leave_host(tmp_path, "a", held)
    found = seen(made, tmp_path)
    assert (found["Offline"].status, found["Offline"].path, found["Offline"].expected) == ("have", held.path, None)
    assert found["Server"].status == "missing"


def test_a_changed_target_makes_the_result_stale_and_names_what_changed(tmp_path: Path) -> None:
    before = plan()
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(before, "Server"), elapsed_seconds=40))
    after = plan(targets={"efficientnet-lite0": {"Server": {"target_qps": 50}}})
    found = seen(after, tmp_path)["Server"]
    assert found.status == "stale"
    assert found.reason == "changed since: loadgen.expect, loadgen.user_conf"
    assert found.expected is not None
    # 700 queries at the new 50 per second, a second of warm-up, and up to half a minute of loading
    assert (found.expected.low, found.expected.high, found.expected.source) == (15.0, 46.4, "target")


def test_an_earlier_run_of_another_style_says_nothing_of_the_duration(tmp_path: Path) -> None:
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(plan(), "SingleStream"), elapsed_seconds=5))
    found = seen(plan(run_style="valid"), tmp_path)["SingleStream"]
    assert found.status == "stale"
    assert found.expected is not None
    assert (found.expected.low, found.expected.source) == (601, "rule")


def test_an_invalid_result_is_still_missing_and_says_why(tmp_path: Path) -> None:
    made = plan()
    leave_host(tmp_path, "a", leave_attempt(tmp_path, cell(made, "Offline"), verdict="invalid", elapsed_seconds=10))
    found = seen(made, tmp_path)["Offline"]
    assert found.status == "missing"
    assert found.reason == "attempt_1 was invalid: the run was too short"
    assert found.expected is not None
    assert (found.expected.why, found.expected.source) == ("attempt_1 took 10 s", "history")


def test_a_tainted_result_is_still_missing_and_says_why(tmp_path: Path) -> None:
    made = plan()
    held = leave_attempt(tmp_path, cell(made, "Offline"))
    leave_host(tmp_path, "a", taint(tmp_path, "a", held, "the host was hot"))
    found = seen(made, tmp_path)["Offline"]
    assert (found.status, found.reason) == ("missing", "attempt_1 was valid but tainted: the host was hot")


def test_the_result_of_another_host_does_not_count(tmp_path: Path) -> None:
    made = plan()
    leave_host(tmp_path, "b", leave_attempt(tmp_path, replace(cell(made, "Offline"), host="b")))
    assert seen(made, tmp_path)["Offline"].status == "missing"


def test_what_cannot_be_read_is_a_sentence_and_the_rest_is_used(tmp_path: Path) -> None:
    made = plan()
    good = leave_attempt(tmp_path, cell(made, "Offline"))
    broken = leave_attempt(tmp_path, cell(made, "Server"))
    leave_host(tmp_path, "a", good, broken)
    (tmp_path / "hosts/a" / broken.path / "result.json").write_text("{")
    leave_host(tmp_path, "b")
    (tmp_path / "hosts/b/cells.json").write_text('{"schema": 1, "host": "b", "system": "b", "cells": [{"key": 1}]}')
    collection = read_collection(tmp_path)
    assert [one.cell.key for one in collection.earlier] == [good.key]
    assert len(collection.problems) == 2


def test_the_host_with_most_to_do_decides_how_long_it_takes(tmp_path: Path) -> None:
    made = plan(targets={"efficientnet-lite0": {"SingleStream": {"target_latency_ms": 10}}})
    slowest = slowest_host(outlook(made, ()))
    assert slowest is not None
    assert slowest[0] == "a"
    assert slowest[1].low == sum(one.expected.low for one in made.cells if one.expected is not None)
    assert slowest_host(()) is None
