"""chrony on a host: what it should be, what it is, and how to put back what was there before.

The record (`time_record`) is written before the first change and removed by revert.
Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import packages_command
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_apt import CONFIG_FILES, INSTALLED
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change
from ansible_collections.mlperf_ops.lab.plugins.module_utils.time_record import text_of, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_family import Manager
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.time_record import Record

PACKAGE = "chrony"
_HEADER = "# Written by the role time_sync of mlperf-ops, whose revert removes it.\n"
# minpoll and maxpoll as in the MLPerf power instructions' practice: a fresh offset at least every 64 s.
_SERVER_OPTIONS = "iburst minpoll 4 maxpoll 6 prefer"
_NO_CLOCK_CONTROL = "-x"
_SYSTEMD = Path("/run/systemd/system")
_VALID_STRATA = range(1, 16)


class Family(NamedTuple):
    """Where a distribution family keeps chrony's parts."""

    unit: str
    configuration: str
    folder: str  # of drop-ins
    environment: str
    variable: str  # the daemon's options in the environment file


# Debian and Ubuntu: package chrony 4.3. RHEL and SUSE: their packages' units and documentation; not run by a test.
FAMILIES: Mapping[str, Family] = {
    "Debian": Family(
        "chrony.service", "/etc/chrony/chrony.conf", "/etc/chrony/conf.d", "/etc/default/chrony", "DAEMON_OPTS"
    ),
    "RedHat": Family("chronyd.service", "/etc/chrony.conf", "/etc/chrony.d", "/etc/sysconfig/chronyd", "OPTIONS"),
    "Suse": Family("chronyd.service", "/etc/chrony.conf", "/etc/chrony.d", "/etc/sysconfig/chronyd", "OPTIONS"),
}


class Wanted(NamedTuple):
    """What the inventory asks for."""

    servers: tuple[str, ...]
    allow: tuple[str, ...]
    local_stratum: int  # 0: a host without a source serves no time
    options: str


def check(wanted: Wanted) -> None:
    """Refuse what would break chrony's configuration.

    Raises:
        HostError: A value is no line of a configuration file; names the variable.
    """
    for name, values in (("servers", wanted.servers), ("allow", wanted.allow), ("chronyd_options", (wanted.options,))):
        for value in values:
            if "\n" in value or (name != "chronyd_options" and not re.match(r"[0-9A-Za-z:]", value)):
                raise HostError(f"time_sync_{name}: '{value}' is no name or address", "correct it in the inventory")
    if wanted.local_stratum and wanted.local_stratum not in _VALID_STRATA:
        raise HostError(
            f"time_sync_local_stratum is {wanted.local_stratum}; expected 0 for none, or 1 to 15", "10 is usual"
        )


class Service:
    """A unit of systemd."""

    def __init__(self, unit: str) -> None:
        """Read how it is."""
        self.unit = unit
        shown = packages_command.run(["systemctl", "show", unit, "-p", "UnitFileState", "-p", "ActiveState"]).out
        fields = dict(line.partition("=")[::2] for line in shown.splitlines())
        self.enabled = fields.get("UnitFileState", "") in {"enabled", "enabled-runtime"}
        self.active = fields.get("ActiveState", "") in {"active", "activating", "reloading"}

    def do(self, verb: str) -> None:
        """Run systemctl with a verb.

        Raises:
            HostError: It failed; carries the last line of the unit's journal, too.
        """
        done = packages_command.run(["systemctl", "--quiet", verb, self.unit])
        if done.code != 0:
            journal = packages_command.run(["journalctl", "--unit", self.unit, "--lines", "1", "--output", "cat"])
            told = "; ".join(text for text in (packages_command.last_error(done), journal.out.strip()) if text)
            raise HostError(f"cannot {verb} {self.unit}: {told}", f"see 'systemctl status {self.unit}' on the host")


class Chrony:
    """The chrony of this host."""

    def __init__(self, family: Family, wanted: Wanted) -> None:
        """Set what it should be."""
        self.family = family
        self.wanted = wanted
        unit_folder = f"/etc/systemd/system/{family.unit}.d"
        self.drop_in = Path(family.folder, "mlperf-ops.conf")
        self.unit_drop_in = Path(unit_folder, "mlperf-ops.conf")
        self.environment = Path(unit_folder, "mlperf-ops.env")

    def texts(self) -> dict[Path, str | None]:
        """Return what our files should hold; None: there should be none of ours."""
        wanted = self.wanted
        lines = [f"server {one if ' ' in one else f'{one} {_SERVER_OPTIONS}'}" for one in wanted.servers]
        lines += [f"allow {one}" for one in wanted.allow]
        if wanted.local_stratum:
            lines.append(f"local stratum {wanted.local_stratum}")
        made: dict[Path, str | None] = {
            self.drop_in: _HEADER + "".join(f"{line}\n" for line in lines) if lines else None,
            self.unit_drop_in: self._unit_text() if wanted.options else None,
            self.environment: self._environment_text() if wanted.options else None,
        }
        configuration = Path(self.family.configuration)
        text = text_of(configuration)
        if lines and text is not None and not self._includes(text):
            made[configuration] = f"{text.rstrip()}\n\n{_HEADER}include {self.family.folder}/*.conf\n"
        return made

    def _includes(self, text: str) -> bool:
        folder = re.escape(self.family.folder)
        return re.search(rf"^\s*(confdir\b.*\s{folder}/?(\s|$)|include\s+{folder}/)", text, re.MULTILINE) is not None

    def _unit_text(self) -> str:
        condition = ""
        if _NO_CLOCK_CONTROL in shlex.split(self.wanted.options):
            # Without control of the clock chronyd needs no right to set it, for which the unit asks.
            condition = "[Unit]\nConditionCapability=\n\n"
        return f"{_HEADER}{condition}[Service]\nEnvironmentFile={self.environment}\n"

    def _environment_text(self) -> str:
        """The distribution's own options and then ours: a later EnvironmentFile wins."""
        given = re.search(rf"^{self.family.variable}=(.*)$", text_of(Path(self.family.environment)) or "", re.MULTILINE)
        own = given[1].strip().strip("\"'") if given else ""
        return f'{_HEADER}{self.family.variable}="{f"{own} {self.wanted.options}".strip()}"\n'

    def file_changes(self, record: Record) -> dict[Path, tuple[str | None, str | None]]:
        """Return path -> (text now, text wanted) of the files that differ.

        A file of ours that is not wanted any more goes back to what it was before our first change.
        """
        found = {}
        for path, text in self.texts().items():
            now = text_of(path)
            after = record.files.get(str(path)) if text is None else text
            if now != after:
                found[path] = (now, after)
        return found

    def changes(self, manager: Manager, record: Record) -> list[Change]:
        """Return what would have to be done."""
        found = []
        if not self.installed(manager):
            found.append(Change(f"package {PACKAGE}", "absent", INSTALLED))
        found += [Change(str(path), now or "", after or "") for path, (now, after) in self.file_changes(record).items()]
        service = Service(self.family.unit)
        found += self._service_changes(service)
        return found

    @staticmethod
    def _service_changes(service: Service) -> list[Change]:
        found = []
        if not service.enabled:
            found.append(Change(f"{service.unit} at boot", "disabled", "enabled"))
        if not service.active:
            found.append(Change(service.unit, "stopped", "running"))
        return found

    @staticmethod
    def installed(manager: Manager) -> bool:
        """Tell whether the package is there."""
        return manager.states([PACKAGE]).get(PACKAGE) == INSTALLED

    def apply(self, manager: Manager, record: Record) -> None:
        """Install, configure, enable and start.

        Raises:
            HostError: A step failed. What was done so far is in the record, so that revert puts it back.
        """
        if not record.exists:
            service = Service(self.family.unit)
            record.service = {"enabled": service.enabled, "active": service.active}
        if not self.installed(manager):
            self._install(manager, record)
        changes = self.file_changes(record)
        for path, (now, _) in changes.items():
            record.files.setdefault(str(path), now)
            missing = [str(folder) for folder in path.parents if not folder.exists()]
            record.folders += [folder for folder in missing if folder not in record.folders]
        record.save()
        write(changes)
        service = Service(self.family.unit)
        if not service.enabled:
            service.do("enable")
        if changes or not service.active:
            service.do("restart")

    def _install(self, manager: Manager, record: Record) -> None:
        states = manager.states([PACKAGE])
        unknown = manager.unknown([PACKAGE], may_refresh=True)
        if unknown:
            raise HostError(f"this distribution has no package {PACKAGE}", "install a time daemon yourself")
        # Other packages are never removed for it, such as systemd-timesyncd: the manager refuses that.
        new = manager.plan([PACKAGE]).new
        kept = [name for name in new if states.get(name) == CONFIG_FILES]
        record.packages = sorted({*record.packages, *new} - set(kept))
        record.save()
        manager.install([PACKAGE])

    def revert(self, manager: Manager, record: Record) -> list[str]:
        """Put back what was there before the first change; return what could not be removed and why.

        Raises:
            HostError: A step failed; the record stays, so that revert can be tried again.
        """
        service = Service(self.family.unit)
        gone = PACKAGE in record.packages
        if service.active and (gone or not record.service.get("active")):
            service.do("stop")
        if gone and service.enabled:
            service.do("disable")
        write({Path(path): (text_of(Path(path)), before) for path, before in record.files.items()})
        notes: list[str] = []
        if record.packages:
            removable, needed = manager.removable(
                name for name in record.packages if manager.states([name]).get(name) == INSTALLED
            )
            notes = [f"package {name} stays, because {by} needs it" for name, by in needed.items()]
            manager.remove(removable, [])
        for folder in record.folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if not gone:
            self._restore_service(record)
        record.remove()
        return notes

    def _restore_service(self, record: Record) -> None:
        service = Service(self.family.unit)
        for verb, wanted, now in (
            ("enable" if record.service.get("enabled") else "disable", record.service.get("enabled"), service.enabled),
            ("restart" if record.service.get("active") else "stop", record.service.get("active"), None),
        ):
            if bool(wanted) != now:
                service.do(verb)

    def planned_revert(self, record: Record) -> list[Change]:
        """Return what revert would do."""
        found = [Change(f"package {name}", INSTALLED, "absent") for name in record.packages]
        found += [
            Change(path, now or "", before or "")
            for path, before in record.files.items()
            if (now := text_of(Path(path))) != before
        ]
        service = Service(self.family.unit)
        if service.active and not record.service.get("active"):
            found.append(Change(service.unit, "running", "stopped"))
        if service.enabled and not record.service.get("enabled"):
            found.append(Change(f"{service.unit} at boot", "enabled", "disabled"))
        return found


def has_systemd() -> bool:
    """Tell whether systemd runs this host."""
    return _SYSTEMD.is_dir()
