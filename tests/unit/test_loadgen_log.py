"""The detail-log reader on logs of real LoadGen runs, whole and damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import ForeignLineError, read_detail, read_summary
from mlperf_ops.model import Mode, Scenario
from tests.support.attempts import RealLogs

MARKER = ":::MLLOG "
ALL_SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Server", "Offline")


def every_message(path: Path) -> Iterator[JsonObject]:
    """The slow and simple reader that the fast one has to agree with."""
    for line in path.read_text().splitlines():
        assert line.startswith(MARKER)
        yield json.loads(line.removeprefix(MARKER))


def message(key: str, value: object, *, is_error: bool = False, is_warning: bool = False) -> str:
    metadata = {"is_error": is_error, "is_warning": is_warning, "file": "x.cc", "line_no": 1, "pid": 1, "tid": 1}
    return MARKER + json.dumps({"key": key, "value": value, "time_ms": 0.1, "metadata": metadata}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mlperf_log_detail.txt"


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
@pytest.mark.parametrize("scenario", ALL_SCENARIOS)
def test_the_reader_agrees_with_decoding_every_line(scenario: Scenario, mode: Mode, real_logs: RealLogs) -> None:
    path = real_logs.get(scenario, mode, 20) / "mlperf_log_detail.txt"
    first: JsonObject = {}
    errors = 0
    for entry in every_message(path):
        first.setdefault(str(entry["key"]), entry["value"])
        errors += json.dumps(entry).count('"is_error": true')
    read = read_detail(path)
    del first["loaded_qsl_set"]
    assert read.values == first
    assert read.error_count == len(read.errors) == errors
    assert read.complete


def test_only_the_wanted_keys_come_back(real_logs: RealLogs) -> None:
    path = real_logs.get("Offline", "performance", 20) / "mlperf_log_detail.txt"
    read = read_detail(path, frozenset({"effective_scenario", "effective_schedule_rng_seed", "no_such_key"}))
    assert read.values == {"effective_scenario": "Offline", "effective_schedule_rng_seed": 16159082839903944936}
    assert read.complete  # also judged by keys that were not wanted


def test_the_index_list_comes_back_when_it_is_wanted(real_logs: RealLogs) -> None:
    path = real_logs.get("Offline", "accuracy", 20) / "mlperf_log_detail.txt"
    indices = read_detail(path, frozenset({"loaded_qsl_set"})).values["loaded_qsl_set"]
    assert isinstance(indices, list)
    assert sorted(str(index) for index in indices) == sorted(str(index) for index in range(20))


def test_of_a_repeated_key_the_first_value_counts(log: Path) -> None:
    log.write_text(message("power_begin", "first") + message("power_begin", "second"))
    assert read_detail(log).values["power_begin"] == "first"


def test_an_early_end_of_a_real_server_run_is_an_error_with_its_message(real_logs: RealLogs) -> None:
    read = read_detail(real_logs.get("Server", "performance", 20) / "mlperf_log_detail.txt")
    assert read.error_count == 1
    assert "Max query count reached" in read.errors[0]


def test_errors_and_warnings_are_counted_and_errors_quoted(log: Path) -> None:
    log.write_text(
        message("error_runtime", "sample completed twice", is_error=True)
        + message("warning_generic_message", "slow", is_warning=True)
        + message("generic_message", 'quotes "is_error": true as text')
    )
    read = read_detail(log)
    assert read.errors == ("error_runtime: sample completed twice",)
    assert read.error_count == 1
    assert read.warnings == 1


def test_of_many_errors_all_are_counted_and_a_hundred_kept(log: Path) -> None:
    log.write_text("".join(message("error_runtime", f"error {i}", is_error=True) for i in range(250)))
    read = read_detail(log)
    assert read.error_count == 250
    assert read.errors == tuple(f"error_runtime: error {i}" for i in range(100))


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
def test_a_run_that_was_killed_at_any_point_is_not_complete(mode: Mode, real_logs: RealLogs, log: Path) -> None:
    whole = (real_logs.get("Offline", mode, 20) / "mlperf_log_detail.txt").read_bytes()
    assert whole.endswith(b"}}\n")
    # The last line without its line feed still says all.
    for length in [*range(1, len(whole) - 2, 997), len(whole) - 200, len(whole) - 3]:
        log.write_bytes(whole[:length])
        assert not read_detail(log).complete, length
    log.write_bytes(whole[:-1])
    assert read_detail(log).complete


def test_an_accuracy_run_is_complete_only_after_its_last_sample_set(log: Path) -> None:
    head = message("effective_test_mode", "AccuracyOnly") + message("effective_performance_sample_count", 8)
    head += message("effective_accuracy_sample_count", 20) + message("qsl_reported_total_count", 20)
    one_set = message("loaded_qsl_set", [1, 2]) + message("power_begin", "t") + message("power_end", "t")
    log.write_text(head + one_set * 2)
    assert not read_detail(log).complete
    log.write_text(head + one_set * 3)
    assert read_detail(log).complete


def test_an_empty_log_is_a_sentence(log: Path) -> None:
    log.touch()
    with pytest.raises(ResultError, match="is empty"):
        read_detail(log)


def test_a_missing_log_is_a_sentence(log: Path) -> None:
    with pytest.raises(ResultError, match=f"cannot read {log}: No such file"):
        read_detail(log)


def test_a_damaged_line_is_named_by_file_and_line(log: Path) -> None:
    log.write_text(message("a", 1) + message("b", 2)[:40] + "\n" + message("c", 3))
    with pytest.raises(ResultError, match=f"{log}:2: not a LoadGen message") as caught:
        read_detail(log)
    assert not isinstance(caught.value, ForeignLineError)


def test_a_wanted_line_that_is_not_json_is_named(log: Path) -> None:
    log.write_text(message("a", 1) + MARKER + '{"key": "sut_name", "value": "my "SUT"", "metadata": {}}\n')
    with pytest.raises(ResultError, match=f"{log}:2: the LoadGen message is not JSON"):
        read_detail(log)


def test_a_line_of_another_program_is_told_from_a_damaged_one(log: Path) -> None:
    log.write_text(message("a", 1) + "Killed\n" + message("c", 3))
    with pytest.raises(ForeignLineError, match=f"{log}:2: "):
        read_detail(log)
    log.write_text("Killed\n" + message("c", 3))
    with pytest.raises(ResultError, match=f"{log}:1: ") as caught:
        read_detail(log)
    assert not isinstance(caught.value, ForeignLineError)


def test_windows_line_ends_and_empty_lines_do_no_harm(real_logs: RealLogs, log: Path) -> None:
    original = real_logs.get("SingleStream", "performance", 20) / "mlperf_log_detail.txt"
    log.write_bytes(original.read_bytes().replace(b"\n", b"\r\n").replace(b"\r\n", b"\r\n\r\n", 1))
    assert read_detail(log) == read_detail(original)


def test_lines_longer_than_a_block_are_read_whole(log: Path) -> None:
    indices = list(range(400_000))
    text = message("before", 1) + message("loaded_qsl_set", indices) + message("after", 2)
    log.write_text(text * 2 + message("last", 3))
    assert log.stat().st_size > 4 << 20
    read = read_detail(log, frozenset({"before", "after", "last", "loaded_qsl_set"}))
    assert read.values == {"before": 1, "loaded_qsl_set": indices, "after": 2, "last": 3}


def test_memory_is_that_of_a_block_not_of_the_file(log: Path) -> None:
    with log.open("w") as stream:
        for _ in range(60):
            stream.write(message("loaded_qsl_set", list(range(200_000))))
    assert log.stat().st_size > 80 << 20
    program = (
        "import resource, sys; from pathlib import Path; from mlperf_ops.loadgen_log import read_detail\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); read_detail(Path(sys.argv[1])); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(log)], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 16 << 10  # KiB


def test_a_file_without_line_ends_is_refused_before_it_fills_the_memory(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlperf_ops.loadgen_log._LONGEST_LINE_BYTES", 4 << 20)
    log.write_bytes(b"x" * (8 << 20))
    with pytest.raises(ResultError, match="a line is longer than 4 MiB"):
        read_detail(log)


def test_the_summary_is_read_by_its_own_names(real_logs: RealLogs) -> None:
    summary = read_summary(real_logs.get("SingleStream", "performance", 20) / "mlperf_log_summary.txt")
    assert summary["Scenario"] == "SingleStream"
    assert summary["Result is"] in {"VALID", "INVALID"}
    assert float(summary["90.00 percentile latency (ns)"]) > 0
    assert summary["qsl_rng_seed"] == "2085463073848966840"


def test_a_missing_summary_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot read"):
        read_summary(tmp_path / "mlperf_log_summary.txt")


def test_the_module_needs_the_standard_library_only() -> None:
    program = (
        "import sys; import mlperf_ops.loadgen_log\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('pydantic', 'numpy', 'rich', 'typer')])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("keys", [None, frozenset({"result_validity"})])
def test_warnings_after_the_last_result_do_not_make_a_log_incomplete(
    keys: frozenset[str] | None, real_logs: RealLogs, log: Path
) -> None:
    lines = (
        (real_logs.get("Offline", "performance", 20) / "mlperf_log_detail.txt").read_text().splitlines(keepends=True)
    )
    late = next(line for line in lines if '"key": "test_datetime"' in line).replace("test_datetime", "warning_generic")
    log.write_text("".join([*lines, late]))
    assert read_detail(log, keys).complete
    log.write_text("".join([*lines[: len(lines) // 2], late]))
    assert not read_detail(log, keys).complete


def test_a_block_with_one_odd_line_gives_what_all_lines_give(real_logs: RealLogs, log: Path) -> None:
    lines = (
        (real_logs.get("SingleStream", "performance", 20) / "mlperf_log_detail.txt")
        .read_text()
        .splitlines(keepends=True)
    )
    wanted = frozenset({"effective_scenario", "result_validity", "early_stopping_latency_ss"})
    log.write_text("".join(lines))
    sound = read_detail(log, wanted)
    assert set(sound.values) == wanted
    log.write_text("".join([*lines[:9], "\n", *lines[9:]]))
    assert read_detail(log, wanted) == sound


def test_two_messages_on_one_line_are_not_taken_for_one(real_logs: RealLogs, log: Path) -> None:
    lines = (
        (real_logs.get("Offline", "performance", 20) / "mlperf_log_detail.txt").read_text().splitlines(keepends=True)
    )
    number = next(n for n, line in enumerate(lines) if '"key": "result_validity"' in line)
    lines[number] = lines[number].rstrip("\n") + ', {"value": "VALID"}\n'
    log.write_text("".join(lines))
    with pytest.raises(ResultError, match=rf":{number + 1}: the LoadGen message is not JSON"):
        read_detail(log, frozenset({"result_validity"}))


def test_warnings_are_counted_only_where_they_are_asked_for(real_logs: RealLogs, log: Path) -> None:
    text = (real_logs.get("Offline", "performance", 20) / "mlperf_log_detail.txt").read_text()
    log.write_text(text.replace('"is_warning": false', '"is_warning": true', 3))
    assert read_detail(log, frozenset({"result_validity"})).warnings == 3
    assert read_detail(log, frozenset({"result_validity"}), count_warnings=False).warnings == 0


@pytest.mark.parametrize("key", ["loadgen_version", "effective_scenario"])
def test_a_message_that_is_nested_too_deeply_is_named(key: str, real_logs: RealLogs, log: Path) -> None:
    lines = (
        (real_logs.get("Offline", "performance", 20) / "mlperf_log_detail.txt").read_text().splitlines(keepends=True)
    )
    number = next(n for n, line in enumerate(lines) if f'"key": "{key}"' in line)
    nested = "[" * 50_000 + "]" * 50_000
    lines[number] = f':::MLLOG {{"key": "{key}", "value": {nested}, "metadata": {{"is_error": false}}}}\n'
    log.write_text("".join(lines))
    with pytest.raises(ResultError, match=rf":{number + 1}: the LoadGen message is nested too deeply"):
        read_detail(log, frozenset({key}))
