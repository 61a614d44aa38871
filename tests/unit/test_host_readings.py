"""What a host shows of its state, and nothing that it does not show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlperf_ops.files import write_json
from mlperf_ops.harness.host_readings import HostReader, Knob, Throttling, busy_seconds, setting, tuned_knobs
from mlperf_ops.typed import dump, load
from tests.support.proc_and_sys import governor, make_server


def reader(root: Path, home: Path | None = None) -> HostReader:
    return HostReader(home, root=str(root))


def test_a_server_is_read_on_simulated_cpufreq(tmp_path: Path) -> None:
    found = reader(make_server(tmp_path)).snapshot()
    assert found.policies["policy0"] == {
        "driver": "acpi-cpufreq",
        "governor": "performance",
        "current_khz": 3_700_000,
        "min_khz": 1_500_000,
        "max_khz": 3_700_000,
    }
    assert list(found.policies) == ["policy0", "policy1", "policy2", "policy3"]
    assert found.switches == {
        "/sys/devices/system/cpu/cpufreq/boost": "1",
        "/sys/kernel/mm/transparent_hugepage/enabled": "madvise",
    }
    assert found.temperatures_celsius == {"hwmon0 coretemp Package id 0": 45.0, "thermal_zone0 x86_pkg_temp": 46.0}
    assert found.load == (0.5, 0.4, 0.3)
    assert found.pressure == {"cpu": {"some": 1.5, "full": 0.0}}
    assert (found.memory_available_bytes, found.swap_in_pages, found.swap_out_pages) == (12_288_000_000, 7, 9)
    assert found.cpu_seconds["user"] == 1000 / os.sysconf("SC_CLK_TCK")
    assert type(found)(**{name: getattr(found, name) for name in dump(found)}) == found


def test_a_packages_counter_is_counted_once_although_every_cpu_repeats_it(tmp_path: Path) -> None:
    assert reader(make_server(tmp_path, cpus=4, packages=2)).throttling() == Throttling(4, 10, 0, 0)


def test_the_firmware_of_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    word = make_server(tmp_path) / "sys/devices/platform/soc/soc:firmware/get_throttled"
    word.parent.mkdir(parents=True)
    word.write_text("50005\n")
    assert reader(tmp_path).throttling().firmware == 0x50005


def test_a_host_that_shows_nothing_is_read_without_a_guess(tmp_path: Path) -> None:
    found = reader(tmp_path).snapshot()
    assert (found.policies, found.switches, found.temperatures_celsius, found.pressure) == ({}, {}, {}, {})
    assert (found.memory_available_bytes, found.swap_out_pages, found.clock) == (None, None, None)
    assert (found.boot_id, found.load, found.cpu_seconds, found.knobs) == ("", (), {}, {})


def test_this_very_machine_is_read(tmp_path: Path) -> None:
    before = HostReader(tmp_path)
    first = before.snapshot()
    again = load(type(first), dump(first), "snapshot")
    assert again == first
    assert first.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < busy_seconds(first.cpu_seconds) <= sum(first.cpu_seconds.values())
    assert first.uptime_seconds > 0
    own = before.processes()
    assert any(pid == os.getpid() for pid, _ in own)


def test_the_cpu_time_of_a_tree_includes_its_children() -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    inner = f"{burn}print(1, flush=True)\ninput()"
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    process = subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert HostReader().tree_cpu_seconds(process.pid) >= 0.3
    process.communicate(b"\n")
    assert HostReader().tree_cpu_seconds(process.pid) == 0.0


def test_tuned_knobs_are_those_that_a_file_shows(tmp_path: Path) -> None:
    home, root = tmp_path / "home", make_server(tmp_path / "root")
    path = str(governor(root, 0))
    knobs = {
        "governor.policy0": {"path": path, "value": "performance"},
        "gpu0.power_limit": {"value": "250"},
        "thp": {"path": str(root / "sys/kernel/mm/transparent_hugepage/enabled"), "value": "madvise"},
        "gone": {"path": str(root / "sys/nowhere"), "value": "1"},
    }
    write_json(home / "state" / "tuning.json", {"schema": 1, "settings": {}, "skipped": {}, "knobs": knobs})
    assert tuned_knobs(home)[1] == Knob("governor.policy0", path, "performance")
    assert reader(root, home).knob_values() == {"governor.policy0": "performance", "thp": "madvise", "gone": None}


def test_a_host_without_tuning_or_with_a_damaged_record_has_no_tuned_knobs(tmp_path: Path) -> None:
    assert tuned_knobs(None) == ()
    assert tuned_knobs(tmp_path) == ()
    for damaged in ("{", "[]", '{"knobs": []}', '{"knobs": {"a": "b"}}'):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / "tuning.json").write_text(damaged)
        assert tuned_knobs(tmp_path) == ()


def test_a_setting_is_the_chosen_word_or_the_words_themselves() -> None:
    assert setting("always [madvise] never\n") == "madvise"
    assert setting("4096\t131072   6291456\n") == "4096 131072 6291456"
