"""What a power director holds: power-dev, PTDaemon, a configuration for each server, a systemd template, udev rules.

Nothing of it starts at boot: a server runs for one measurement. The record (`time_record`) is written before the first
change and removed by revert. Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_store, packages_command, power_software
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_accounts import has_group
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change
from ansible_collections.mlperf_ops.lab.plugins.module_utils.time_record import Record, text_of, write

RECORD = Path("/var/lib/mlperf-ops/power_director.json")
CONFIGURATIONS = Path("/etc/mlperf-power")
UNIT = "mlperf-power@{}.service"
GROUP = "mlperf-meter"  # not the unit's name: systemd makes a user of that for the server
_UNIT_FILE = Path("/etc/systemd/system", UNIT.format(""))
_UDEV_FILE = Path("/etc/udev/rules.d/70-mlperf-power.rules")
_SERIAL_GROUPS = ("dialout", "uucp")  # of /dev/ttyUSB*, by distribution
_SYSTEMD = Path("/run/systemd/system")
_PTD_MODE = 0o750
# PTDaemon needs up to 30 s to find its meter, and the time server up to 5 s before that.
_READY_SECONDS = 90.0
_HEAD = "# Written by mlperf-ops; roles/power_director takes it back.\n"
# SIGINT lets the server put the meter's ranges back and end PTDaemon; SIGTERM would leave PTDaemon behind. `mixed`:
# only the server gets it, and whatever is left after it, however it ended, is killed. No restart: it would lose the
# session.
_UNIT_TEXT = """\
[Unit]
Description=MLPerf power server of %i
After=network.target

[Service]
ExecStart={python} -B -u {server} -c {configurations}/%i.conf
Environment=TZ=UTC
KillSignal=SIGINT
KillMode=mixed
TimeoutStopSec=60
Restart=no
DynamicUser=yes
SupplementaryGroups={groups}
{network}"""


class Wanted(NamedTuple):
    """What the inventory asks for."""

    folder: Path
    software_sha256: str
    ptd_sha256: str
    ptd_path: str  # the user's own on this host; "" where it is brought
    configurations: dict[str, str]  # instance -> text
    ports: dict[str, list[int]]  # instance -> its ports, that of the server first
    usb_vendors: list[str]
    allow: list[str]  # networks that may talk to the servers; empty: all


class Director:
    """The director on this host."""

    def __init__(self, wanted: Wanted, python: power_software.Python, record: Record) -> None:
        """Set what it should be."""
        self.wanted = wanted
        self.python = python
        self.record = record
        self.software = wanted.folder / "software" / wanted.software_sha256[:12]
        self.ptd = Path(wanted.ptd_path or ptd_path(str(wanted.folder), wanted.ptd_sha256))

    # --- compare ------------------------------------------------------------------------------------------------------

    def missing(self) -> list[str]:
        """Name what has to be brought.

        Raises:
            HostError: The user's own PTDaemon is not there, or another one.
        """
        found = [] if power_software.is_whole(self.software, self.wanted.software_sha256) else ["software"]
        if self.wanted.ptd_path:
            self._check_own_ptd()
        elif not self.ptd.is_file() or host_store.sha256_file(self.ptd) != self.wanted.ptd_sha256:
            found.append("ptd")
        return found

    def _check_own_ptd(self) -> None:
        if not self.ptd.is_file():
            raise HostError(f"there is no PTDaemon at {self.ptd}", "put it there or correct power_director_ptdaemon")
        found = host_store.sha256_file(self.ptd)
        if found != self.wanted.ptd_sha256:
            raise HostError(
                f"PTDaemon at {self.ptd} has sha256 {found}, the inventory pins {self.wanted.ptd_sha256}",
                "correct the file or power_director_ptdaemon_sha256",
            )
        if not self.ptd.stat().st_mode & 0o001:
            raise HostError(
                f"PTDaemon at {self.ptd} is not executable for the server, which runs without rights",
                "chmod o+rx, or let it be brought: power_director_ptdaemon_on: controller",
            )

    def texts(self) -> dict[Path, str | None]:
        """Return what our files should hold; None: a configuration of ours that is not wanted any more."""
        made: dict[Path, str | None] = {
            Path(name): None for name in self.record.files if Path(name).parent == CONFIGURATIONS
        }
        made.update({CONFIGURATIONS / f"{name}.conf": text for name, text in self.wanted.configurations.items()})
        made[_UNIT_FILE] = self._unit_text()
        rules = [
            f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{one}", GROUP="{GROUP}", MODE="0660"\n'
            f'SUBSYSTEM=="usbmisc", KERNEL=="usbtmc*", ATTRS{{idVendor}}=="{one}", GROUP="{GROUP}", MODE="0660"\n'
            for one in self.wanted.usb_vendors
        ]
        made[_UDEV_FILE] = _HEAD + "".join(rules) if rules else None
        return made

    def _unit_text(self) -> str:
        network = ""
        if self.wanted.allow:
            network = f"IPAddressDeny=any\nIPAddressAllow=localhost {' '.join(self.wanted.allow)}\n"
        return _HEAD + _UNIT_TEXT.format(
            python=self.python.path,
            server=self.software / power_software.PACKAGE / "server.py",
            configurations=CONFIGURATIONS,
            groups=" ".join([GROUP, *(name for name in _SERIAL_GROUPS if has_group(name))]),
            network=network,
        )

    def file_changes(self) -> dict[Path, tuple[str | None, str | None]]:
        """Return path -> (text now, text wanted) of the files that differ."""
        found = {}
        for path, text in self.texts().items():
            now = text_of(path)
            after = self.record.files.get(str(path)) if text is None else text
            if now != after:
                found[path] = (now, after)
        return found

    def changes(self, missing: list[str]) -> list[Change]:
        """Return what would have to be done."""
        words = {"software": f"power-dev in {self.software}", "ptd": f"PTDaemon at {self.ptd}"}
        found = [Change(words[name], "absent", "present") for name in missing]
        if not has_group(GROUP):
            found.append(Change(f"group {GROUP}", "absent", "present"))
        elif "ptd" not in missing and not self.wanted.ptd_path and not self._ptd_is_guarded():
            found.append(Change(f"owner and mode of {self.ptd}", "other", f"root:{GROUP} {_PTD_MODE:04o}"))
        return found + [Change(str(path), now or "", after or "") for path, (now, after) in self.file_changes().items()]

    def _ptd_is_guarded(self) -> bool:
        stat = self.ptd.stat()
        return (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777) == (0, grp.getgrnam(GROUP).gr_gid, _PTD_MODE)

    # --- apply --------------------------------------------------------------------------------------------------------

    def apply(self, staged: dict[str, Any], missing: list[str]) -> None:
        """Bring, write and reload; each thing is recorded before.

        Raises:
            HostError: A step failed; what was done so far is in the record.
        """
        changes = self.file_changes()
        for path in (*changes, self.software, *([] if self.wanted.ptd_path else [self.ptd])):
            folders = [str(folder) for folder in path.parents if not folder.exists()]
            self.record.folders += [folder for folder in folders if folder not in self.record.folders]
        for path, (now, _) in changes.items():
            self.record.files.setdefault(str(path), now)
        self.record.service.setdefault("group_made", not has_group(GROUP))
        brought = {str(self.software), *([] if self.wanted.ptd_path else [str(self.ptd.parent)])}
        self.record.service["brought"] = sorted({*self.record.service.get("brought", []), *brought})
        self.record.save()
        if not has_group(GROUP):
            done = packages_command.run(["groupadd", "--system", GROUP])
            if done.code != 0:
                raise HostError(f"cannot make the group {GROUP}: {packages_command.last_error(done)}")
        for name in missing:
            self._bring(name, Path(staged[name]))
        if not self.wanted.ptd_path:
            os.chmod(str(self.ptd), _PTD_MODE)
            os.chown(str(self.ptd), 0, grp.getgrnam(GROUP).gr_gid)
        write(changes)
        if _UDEV_FILE in changes:
            _reload_udev()

    def _bring(self, name: str, archive: Path) -> None:
        if name == "software":
            host_store.install(archive, self.software, "", self.wanted.software_sha256)
        else:
            host_store.install(archive, self.ptd.parent, self.ptd.name, self.wanted.ptd_sha256)

    # --- verify -------------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Say what would keep a server from starting, without starting one."""
        told = power_software.start_problem(self.python, self.software, "server.py")
        found = [f"the server does not start: {told}"] if told else []
        if not running():
            every = sorted({port for ports in self.wanted.ports.values() for port in ports})
            found += [f"another program listens on port {port}" for port in power_software.listening(every)]
        return found

    def try_server(self, instance: str) -> str:
        """Start a server, wait until it listens, which it does after its meter has answered, and stop it again.

        Returns:
            What it said at its end; empty when it was ready.
        """
        unit = UNIT.format(instance)
        own = self.wanted.ports[instance]
        since = time.time()
        _systemctl("reset-failed", unit)
        code, said = _systemctl("start", unit)
        if code != 0:
            return said
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while own[0] not in power_software.listening(own):
                if not running():
                    return f"{unit} ended: {_last_words(unit, since)}"
                if time.monotonic() > deadline:
                    return f"{unit} is not ready after {_READY_SECONDS:.0f} s: {_last_words(unit, since)}"
                time.sleep(0.2)
        finally:
            code, said = _systemctl("stop", unit)
        left = power_software.listening(own)
        return f"after its stop somebody still listens on {', '.join(map(str, left))}" if left else ""


def ptd_path(folder: str, sha256: str) -> str:
    """Return where PTDaemon is on a director that was brought it; server.conf names it."""
    return f"{folder}/ptd/{sha256[:12]}/ptd"


def planned_revert(record: Record) -> list[Change]:
    """Return what revert would do."""
    found = [Change(path, "present", "absent") for path in record.service.get("brought", []) if os.path.lexists(path)]
    found += [
        Change(path, now or "", before or "")
        for path, before in record.files.items()
        if (now := text_of(Path(path))) != before
    ]
    if record.service.get("group_made") and has_group(GROUP):
        found.append(Change(f"group {GROUP}", "present", "absent"))
    return found


def revert(record: Record) -> None:
    """Put back what was there before the first change.

    Raises:
        HostError: A server runs, or a step failed; the record stays, so that revert can be tried again.
    """
    active = running()
    if active:
        raise HostError(
            f"{active[0]} runs, so a measurement may be going on",
            f"wait until it has ended, or end it: systemctl stop '{active[0]}'",
        )
    for path in record.service.get("brought", []):
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            host_store.listing_path(Path(path)).unlink()
    write({Path(path): (text_of(Path(path)), before) for path, before in record.files.items()})
    if str(_UDEV_FILE) in record.files:
        _reload_udev()
    if record.service.get("group_made") and has_group(GROUP):
        done = packages_command.run(["groupdel", GROUP])
        if done.code != 0:
            raise HostError(f"cannot remove the group {GROUP}: {packages_command.last_error(done)}")
    for folder in sorted(record.folders, key=len, reverse=True):
        with contextlib.suppress(OSError):  # gone already, or somebody else's file is in it
            os.rmdir(folder)
    record.remove()


def running() -> list[str]:
    """Return the servers that run, start or stop."""
    argv = ["systemctl", "list-units", "--plain", "--no-legend", "--all", UNIT.format("*")]
    lines = packages_command.run(argv).out.splitlines()
    return [line.split()[0] for line in lines if line.split()[2] in {"active", "activating", "deactivating"}]


def why_not_manageable() -> str:
    """Say why nothing can be changed here; empty when it can."""
    if os.geteuid() != 0:
        return "this needs root (mlperf_become: true)"
    return "" if _SYSTEMD.is_dir() else "systemd does not run this host"


def _systemctl(verb: str, unit: str) -> tuple[int, str]:
    done = packages_command.run(["systemctl", "--quiet", verb, unit], timeout_seconds=_READY_SECONDS)
    return done.code, packages_command.last_error(done)


def _last_words(unit: str, since: float) -> str:
    argv = ["journalctl", "--unit", unit, "--since", f"@{int(since)}", "--output", "cat", "--no-pager"]
    lines = [line.strip() for line in packages_command.run(argv).out.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith((unit, "Started ", "Stopping ", "Stopped "))]
    telling = [line for line in own if any(word in line for word in ("ERROR", "CRITICAL", "FATAL", "Error:"))]
    return "; ".join((telling or own or lines)[-2:]) or "it said nothing"


def _reload_udev() -> None:
    """Let udev read its rules again and apply them to what is plugged in; without udev there is nothing to do."""
    if os.path.exists("/run/udev/control"):
        packages_command.run(["udevadm", "control", "--reload"])
        packages_command.run(["udevadm", "trigger", "--action=change", "--subsystem-match=usb"])
        packages_command.run(["udevadm", "trigger", "--action=change", "--subsystem-match=usbmisc"])
