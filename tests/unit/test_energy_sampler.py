"""The sampler: threads beside the cell, one file for each source, a summary, and no failure of the cell."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.harness.energy import sampler as energy_sampler
from mlperf_ops.harness.energy.model import Reading, SourceKind, SourceSettings
from mlperf_ops.harness.energy.sampler import EnergySampler
from tests.support.energy import make_powercap, program


def settings(kind: SourceKind, name: str = "", **more: Any) -> SourceSettings:  # noqa: ANN401  # its fields
    return SourceSettings(kind, name or kind, **{"sample_seconds": 0.05, **more})


def stamp(seconds: float) -> str:
    """A time as LoadGen writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%m-%d-%Y %H:%M:%S.%f")[:-3]


def sampled(
    folder: Path, sources: list[SourceSettings], seconds: float = 0.6, queries: int = 10, meter: Path | None = None
) -> dict[str, Any]:
    """Sample for a while; return energy.json of a window inside of it.

    Args:
        folder: Of the attempt.
        sources: What is read.
        seconds: For all of it.
        queries: Of the run.
        meter: Calls of a program, a line each. With it a third lasts until two more readings are over, however slow
            the machine is.
    """

    def a_third() -> None:
        time.sleep(seconds / 3)
        if meter is not None:
            wanted = calls_of(meter) + 3  # the last of them may still be at work
            deadline = time.monotonic() + 60
            while calls_of(meter) < wanted:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    sampler = EnergySampler(folder, sources)
    with sampler.during():
        a_third()
        begin = time.time()
        a_third()
        end = time.time()
        a_third()
    sampler.finish({"power_begin": stamp(begin), "power_end": stamp(end), "result_query_count": queries})
    found: dict[str, Any] = json.loads((folder / "energy.json").read_text())
    return found


def calls_of(meter: Path) -> int:
    return meter.read_text().count("\n") if meter.exists() else 0


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"energy_{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_sources_have_one_form_and_are_labelled_unofficial(tmp_path: Path) -> None:
    program(tmp_path / "bin", "meter", f'echo x >> "{tmp_path}/calls"; echo 250')
    tree = make_powercap(tmp_path / "powercap")
    argv = (str(tmp_path / "bin/meter"),)
    sources = [settings("rapl", powercap=str(tree)), settings("command", "pdu", argv=argv)]
    found = sampled(tmp_path, sources, meter=tmp_path / "calls")
    assert found["unofficial"] is True
    assert "never part of a submission" in found["note"]
    rapl, pdu = found["sources"]
    assert (rapl["problem"], pdu["problem"]) == (None, None)
    assert rapl["joules"] == 0  # nobody turned the counters
    assert [one["counted"] for one in rapl["domains"]] == [True, True, False]  # psys contains the others
    assert (pdu["average_watts"], pdu["failed_readings"]) == (250.0, 0)
    seconds = found["window"]["duration_seconds"]
    assert pdu["joules"] == pytest.approx(250 * seconds, rel=0.01)
    assert pdu["joules_per_query"] == pdu["joules"] / 10
    assert found["cost"]["cpu_seconds"] > 0
    for name in ("rapl", "pdu"):
        held = rows(tmp_path, name)
        assert list(held[0]) == ["t_utc", "watts", "joules", "source", "domain"]
        assert {one["source"] for one in held} == {name}
        assert all(bool(one["watts"]) != bool(one["joules"]) for one in held)
    assert {one.name for one in tmp_path.glob("energy*")} == {"energy.json", "energy_rapl.csv", "energy_pdu.csv"}


def test_a_missing_source_is_said_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    program(tmp_path / "bin", "meter", f'echo x >> "{tmp_path}/calls"; echo 1')
    argv = (str(tmp_path / "bin/meter"),)
    sources = [settings("rapl", powercap="/none"), settings("command", argv=argv)]
    found = sampled(tmp_path, sources, meter=tmp_path / "calls")
    rapl, meter = found["sources"]
    assert rapl["problem"].startswith("/none has no RAPL zone")
    assert (rapl["joules"], rapl["average_watts"], rapl["joules_per_query"]) == (None, None, None)
    assert rapl["failed_readings"] == 1  # it is not asked again
    assert meter["average_watts"] == 1.0


def test_one_failed_reading_is_counted_and_the_source_goes_on(tmp_path: Path) -> None:
    broken_once = f'if mkdir "{tmp_path}/once" 2>/dev/null; then echo broken; else echo 7; fi'
    program(tmp_path / "bin", "meter", f'echo x >> "{tmp_path}/calls"; {broken_once}')
    sources = [settings("command", argv=(str(tmp_path / "bin/meter"),))]
    found = sampled(tmp_path, sources, meter=tmp_path / "calls")["sources"][0]
    assert (found["failed_readings"], found["average_watts"]) == (1, 7.0)
    assert "printed no number: broken" in found["problem"]


def test_a_source_that_never_answers_right_is_given_up(tmp_path: Path) -> None:
    program(tmp_path / "bin", "meter", f'echo x >> "{tmp_path}/calls"; echo broken')
    sampler = EnergySampler(tmp_path, [settings("command", argv=(str(tmp_path / "bin/meter"),))])
    with sampler.during():
        deadline = time.monotonic() + 60
        while calls_of(tmp_path / "calls") < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)  # for readings that nobody wants
    sampler.finish({})
    found = json.loads((tmp_path / "energy.json").read_text())["sources"][0]
    assert found["failed_readings"] == 5
    assert (tmp_path / "calls").read_text().count("x") == 5


@pytest.mark.parametrize("word", ["inf", "nan", "1e999"])
def test_a_number_that_is_none_never_reaches_the_files(tmp_path: Path, word: str) -> None:
    program(tmp_path / "bin", "meter", f"echo {word}")
    found = sampled(tmp_path, [settings("command", argv=(str(tmp_path / "bin/meter"),))])["sources"][0]
    assert (found["average_watts"], found["problem"]) == (None, "value0 is no finite number")
    assert rows(tmp_path, "command") == []


def test_what_comes_after_the_end_changes_no_file(tmp_path: Path) -> None:
    sampler = EnergySampler(tmp_path, [settings("rapl", timeout_seconds=0.1)])
    entered, goes_on = threading.Event(), threading.Event()

    class Stuck:
        paces_itself, parts = False, frozenset[str]()

        def read(self) -> list[Reading]:
            entered.set()
            goes_on.wait(60)
            return [Reading(1.0, "late", watts=1.0)]

        def stop(self) -> None: ...

        def close(self) -> None: ...

        def child_cpu_seconds(self) -> float:
            return 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(energy_sampler._READERS, "rapl", lambda _: Stuck())
        with sampler.during():
            assert entered.wait(60)
    before = (tmp_path / "energy_rapl.csv").read_text()
    thread = sampler._followed[0].thread
    goes_on.set()
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
    assert (tmp_path / "energy_rapl.csv").read_text() == before
    assert sampler._followed[0].problem == "its last reading did not end in time"


def test_a_slow_source_delays_neither_the_others_nor_the_end(tmp_path: Path) -> None:
    program(tmp_path / "bin", "slow", "exec sleep 60")
    program(tmp_path / "bin", "meter", "echo 1")
    slow = settings("command", "slow", argv=(str(tmp_path / "bin/slow"),), timeout_seconds=30.0)
    began = time.monotonic()
    found = sampled(tmp_path, [slow, settings("command", argv=(str(tmp_path / "bin/meter"),))])
    assert time.monotonic() - began < 20
    assert [one["average_watts"] for one in found["sources"]] == [None, 1.0]
    assert found["sources"][0]["problem"] == "it gave no reading"
    assert not [one for one in threading.enumerate() if one.name.startswith("energy-")]


def test_the_last_reading_of_a_counter_follows_the_end(tmp_path: Path) -> None:
    tree = make_powercap(tmp_path / "powercap", dram=False)
    counter = tree / "intel-rapl:0" / "energy_uj"
    sampler = EnergySampler(tmp_path, [settings("rapl", powercap=str(tree), sample_seconds=30.0)])
    with sampler.during():
        deadline = time.monotonic() + 30
        while not (tmp_path / "energy_rapl.csv").exists() or not rows(tmp_path, "rapl"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        begin = time.time()
        time.sleep(0.2)
        counter.write_text("5000000\n")
        end = time.time()
    sampler.finish({"power_begin": stamp(begin), "power_end": stamp(end)})
    held = [one for one in rows(tmp_path, "rapl") if one["domain"] == "package-0"]
    assert [one["joules"] for one in held] == ["0", "5"]
    found = json.loads((tmp_path / "energy.json").read_text())
    assert 0 < found["sources"][0]["joules"] <= 5
    assert found["sources"][0]["joules_per_query"] is None  # LoadGen stated no count


def test_a_run_without_a_window_keeps_its_readings_and_says_so(tmp_path: Path) -> None:
    program(tmp_path / "bin", "meter", "echo 1")
    sampler = EnergySampler(tmp_path, [settings("command", argv=(str(tmp_path / "bin/meter"),))])
    with sampler.during():
        time.sleep(0.3)
    sampler.finish(None)
    found = json.loads((tmp_path / "energy.json").read_text())["sources"][0]
    assert found["problem"] == "LoadGen's log states no power_begin and power_end"
    assert rows(tmp_path, "command")


def test_without_sources_nothing_runs_and_nothing_is_written(tmp_path: Path) -> None:
    before = threading.active_count()
    sampler = EnergySampler(tmp_path)
    with sampler.during():
        assert threading.active_count() == before
    sampler.finish({})
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_is_a_reason_and_no_failure(tmp_path: Path) -> None:
    program(tmp_path / "bin", "meter", "echo 1")
    (tmp_path / "energy_command.csv").mkdir()
    found = sampled(tmp_path, [settings("command", argv=(str(tmp_path / "bin/meter"),))])["sources"][0]
    assert found["problem"].startswith("its file cannot be written: Is a directory")
