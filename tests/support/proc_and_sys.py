"""A machine out of plain files: proc and sys as a server shows them, below a folder of the test."""

from __future__ import annotations

from pathlib import Path

_PRESSURE = """\
some avg10=1.50 avg60=1.00 avg300=0.50 total=1
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
_FILES = {
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    "proc/uptime": "1000.25 3000.5\n",
    "proc/loadavg": "0.50 0.40 0.30 1/200 4242\n",
    "proc/stat": "cpu  1000 50 200 8000 30 5 15 40 0 0\ncpu0 1000 50 200 8000 30 5 15 40 0 0\n",
    "proc/meminfo": "MemTotal:       16000000 kB\nMemAvailable:   12000000 kB\n",
    "proc/vmstat": "nr_free_pages 1\npswpin 7\npswpout 9\noom_kill 0\n",
    "proc/pressure/cpu": _PRESSURE,
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/devices/system/cpu/cpufreq/boost": "1\n",
    "sys/class/hwmon/hwmon0/name": "coretemp\n",
    "sys/class/hwmon/hwmon0/temp1_label": "Package id 0\n",
    "sys/class/hwmon/hwmon0/temp1_input": "45000\n",
    "sys/class/hwmon/hwmon0/temp2_input": "-273150\n",
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone0/temp": "46000\n",
    "sys/class/thermal/cooling_device0/type": "Processor\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device1/type": "Fan\n",
    "sys/class/thermal/cooling_device1/cur_state": "3\n",
}


def make_server(root: Path, cpus: int = 4, packages: int = 2) -> Path:
    """Write a server with acpi-cpufreq, a policy for each CPU, and throttling counters."""
    files = dict(_FILES)
    for cpu in range(cpus):
        policy, folder = f"sys/devices/system/cpu/cpufreq/policy{cpu}", f"sys/devices/system/cpu/cpu{cpu}"
        files |= {
            f"{policy}/scaling_driver": "acpi-cpufreq\n",
            f"{policy}/scaling_governor": "performance\n",
            f"{policy}/scaling_cur_freq": f"{3_700_000 - cpu * 1000}\n",
            f"{policy}/scaling_min_freq": "1500000\n",
            f"{policy}/scaling_max_freq": "3700000\n",
            f"{folder}/thermal_throttle/core_throttle_count": "1\n",
            f"{folder}/thermal_throttle/package_throttle_count": "5\n",
            f"{folder}/topology/physical_package_id": f"{cpu * packages // cpus}\n",
        }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def governor(root: Path, policy: int) -> Path:
    """Return the file of a policy's governor."""
    return root / f"sys/devices/system/cpu/cpufreq/policy{policy}/scaling_governor"
