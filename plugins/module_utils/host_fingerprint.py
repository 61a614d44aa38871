"""What tells that somebody touched a host: cheap to read, as an ordinary user, and nothing is changed by it.

A fingerprint is a text for each part of the host. What cannot be read, or is not as the roles leave it, raises `Doubt`:
then the roles look for themselves. Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import (
    host_measuring,
    host_python,
    host_store,
    time_measure,
    tuning_plan,
    tuning_store,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, Ledger
from ansible_collections.mlperf_ops.lab.plugins.module_utils.time_chrony import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine

STAMP = "complete.json"
_CLOCK_STATE = "time_sync.json"  # every look writes its measurement there, so that only its being there counts
_RECORDS = "/var/lib/mlperf-ops"
_TUNING_RECORD = "tuning.json"
_PACKAGE_DATABASES = (
    "/var/lib/dpkg/status",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
)
_ACCOUNTS = ("/etc/passwd", "/etc/group")
_ONLINE_CPUS = "/sys/devices/system/cpu/online"


class Doubt(Exception):  # noqa: N818  # no error: the answer to the question
    """Why nobody can say that the host is as it was, in one sentence."""


class Asked:
    """What the controller says of a host."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take the module's options."""
        self.home = host_store.expand(parameters["home"])
        self.run_id: str = parameters["run_id"]
        self.settings: dict[str, Any] = parameters["settings"]
        self.folders: list[str] = parameters["folders"]
        self.keeps_clock: bool = parameters["keeps_clock"]
        self.clock_limit_ms: int = parameters["clock_limit_ms"]  # 0: the clock may be off


def _touched(path: Path) -> str:
    """Return what changes when anybody touches a file or folder. Nobody can set the time of change back."""
    try:
        stat = os.lstat(path)
    except FileNotFoundError:
        return "absent"
    times = f"{stat.st_mtime_ns} {stat.st_ctime_ns}"
    return f"{stat.st_mode:o} {stat.st_uid} {stat.st_gid} {stat.st_size} {stat.st_ino} {times}"


def _digest(rows: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _all_touched(paths: Iterable[Path]) -> str:
    return _digest(f"{path} {_touched(path)}" for path in sorted(set(paths)))


def _children(folder: Path) -> list[Path]:
    return [folder, *(folder / name for name in os.listdir(folder))] if folder.is_dir() else [folder]


def _system_files(asked: Asked) -> dict[str, list[Path]]:
    """Return the files outside of mlperf_home that roles look at."""
    found = {
        "package database": [Path(name) for name in _PACKAGE_DATABASES],
        "accounts": [Path(name) for name in _ACCOUNTS],
        "records": [path for path in _children(Path(_RECORDS)) if path.name.endswith(".json")],
        "files of host_packages": [],
        "clock configuration": [],
    }
    for folder in (Path(_RECORDS), asked.home / "state"):
        record = folder / "host_packages.json"
        if os.path.lexists(record):
            held = json.loads(record.read_text(encoding="utf-8"))
            found["files of host_packages"] += [Path(name) for name in held["files"]]
            asked.folders = [*asked.folders, *held["folders"]]
    if asked.keeps_clock:
        for family in FAMILIES.values():
            units = Path("/etc/systemd/system")
            found["clock configuration"] += [Path(family.configuration), Path(family.environment)]
            found["clock configuration"] += [units / "multi-user.target.wants" / family.unit]
            found["clock configuration"] += _children(Path(family.folder)) + _children(units / f"{family.unit}.d")
    return found


def _folders(asked: Asked) -> str:
    """Say whose the work directories are; what lies in them changes all the time."""
    rows = []
    for path in sorted({asked.home, *(host_store.expand(name) for name in asked.folders)}):
        stat = os.stat(path) if path.exists() else None
        rows.append(f"{path} {(stat.st_mode, stat.st_uid, stat.st_gid) if stat else 'absent'}")
    return _digest(rows)


def _clock(asked: Asked) -> str:
    if asked.clock_limit_ms:
        problem = time_measure.judge(time_measure.measure(), asked.clock_limit_ms)
        if problem:
            raise Doubt(problem)
    return " ".join(time_measure.running_daemons()) if asked.keeps_clock else ""


def _state(home: Path) -> str:
    folder = home / "state"
    names = [path for path in _children(folder) if path != folder and not path.name.startswith(".")]
    if not (folder / _CLOCK_STATE).is_file():
        raise Doubt(f"there is no {folder / _CLOCK_STATE}")
    return _all_touched(path for path in names if path.name not in {STAMP, _CLOCK_STATE})


def _store(home: Path) -> str:
    """Make sure that all that state/provision.json names was read in this boot and not touched since."""
    ledger = Ledger(home)
    state = json.loads((home / "state" / "provision.json").read_text(encoding="utf-8"))
    environment = Path(state["python"]["path"]).parent.parent
    wanted = [Path(state["harness"]["path"]), *(Path(one["path"]) for one in state["components"].values())]
    if environment.parent == home / "python":
        wanted.append(environment)
        if not host_python.is_whole(environment):
            raise Doubt(f"{environment} is not whole")
    rows, held = [], ledger.paths()
    for place in wanted:
        # What was read is the place itself, or the label file in a data set of the user's own.
        entries = [one for one in held if one == place] or [one for one in held if place in one.parents]
        if not entries:
            raise Doubt(f"{place} has not been read in this boot")
        for path in entries:
            now = host_store.signature(host_python.marker_path(path) if path == environment else path)
            if ledger.known(path, now) is None:
                raise Doubt(f"{path} was touched since it was read")
            rows.append(f"{path} {now}")
    return _digest(sorted(rows))


def _tuning(asked: Asked, machine: Machine) -> str:
    """Compare every knob as the role does; a tool is asked only for knobs that have no file, such as those of GPUs."""
    now = host_measuring.measuring(asked.home)
    if now is not None:
        raise Doubt(f"{now.cell} is being measured")
    state = tuning_store.tuned(asked.home, machine)
    if asked.settings != (state or {}).get("settings", {}):
        raise Doubt("the host is not tuned to what the plan says")
    found = tuning_plan.survey(machine, asked.settings, tuning_store.Backup(machine))
    refused = {one["key"] for one in (state or {}).get("refused", [])}
    works = [work for work in found.works if work.restore or work.knob.key not in refused]
    if works:
        raise Doubt(f"{works[0].knob.explain} is '{works[0].before}' instead of '{works[0].wanted}'")
    if found.settled:
        raise Doubt(f"the record of {found.settled[0]} is not needed any more")
    skipped = sorted(f"{one.setting} {one.knob} {one.reason}" for one in found.skips)
    online = machine.read(_ONLINE_CPUS) if machine.has(_ONLINE_CPUS) else ""
    return _digest([online, *(sorted(step.knob.key for step in found.steps)), *skipped])


def _results(asked: Asked) -> str:
    """Name every attempt of the run, with what identifies its result."""
    attempts = (asked.home / "runs" / asked.run_id).glob("*/*/*/*/*/attempt_*")
    names = [attempt / name for attempt in attempts for name in ("", "result.json", "manifest.json")]
    return _digest(f"{path} {_touched(path) if path.suffix else ''}" for path in sorted(names))


def fingerprint(asked: Asked, machine: Machine) -> dict[str, str]:
    """Read a host; return part -> what it is like.

    Raises:
        Doubt: Something is not as the roles leave it, or cannot be read.
    """
    try:
        boot = host_store.boot_id()
        if not boot:
            raise Doubt("the kernel does not name the boot")
        parts = {name: _all_touched(paths) for name, paths in _system_files(asked).items()}
        return {
            "boot": boot,
            "account": str(os.geteuid()),
            **parts,
            "folders": _folders(asked),
            "time daemons": _clock(asked),
            "state": _state(asked.home),
            "store": _store(asked.home),
            "tuning": _tuning(asked, machine),
            "results": _results(asked),
        }
    except OSError as error:
        raise Doubt(f"{error.filename or asked.home}: {error.strerror or error}") from error
    except HostError as error:
        raise Doubt(str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Doubt(f"a file of this host is damaged: {error}") from error


def touched_since_the_look(asked: Asked) -> str:
    """Return a system file that changed after the roles looked at it, "" when there is none.

    The role time_sync looks last of those that look at them, and then writes its measurement.
    """
    looked = (asked.home / "state" / _CLOCK_STATE).stat().st_mtime_ns
    for paths in _system_files(asked).values():
        for path in paths:
            tuning = path == Path(_RECORDS, _TUNING_RECORD)  # written by the tuning, which comes later
            if not tuning and os.path.lexists(path) and os.lstat(path).st_ctime_ns > looked:
                return str(path)
    return ""
