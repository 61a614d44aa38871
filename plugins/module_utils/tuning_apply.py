"""Set knobs and put them back: keep what was, write, prove by reading, record.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_measuring, tuning_plan, tuning_store
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import MissingError, RefusedError, Skip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Knob, Machine
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_plan import Survey, Work


class Change(NamedTuple):
    """A knob that has another value now, or would have."""

    setting: str
    knob: str
    before: str
    after: str
    restored: bool  # it has the value from before the tuning again


class Outcome(NamedTuple):
    """What was done, or would be done."""

    changes: list[Change]
    skips: list[Skip]
    failures: list[str]
    waits_for: str = ""  # the cell that is measured now; nothing was touched
    reset: int = 0  # knobs that a reboot had put back already


class Tuner:
    """One host, what is asked of it and what it remembers."""

    def __init__(self, machine: Machine, settings: Mapping[str, Any], home: Path | None) -> None:
        """Read the backup and what was refused before; raises HostError."""
        self.machine = machine
        self.settings = {name: value for name, value in settings.items() if name not in tuning_plan.NO_STATES}
        self.home = home
        self.backup = tuning_store.Backup(machine)
        self._refused: dict[str, Skip] = {}
        before = tuning_store.tuned(home, machine) if home is not None else None
        if before is not None and before["settings"] == self.settings and before["uid"] == os.geteuid():
            # Asked the same in the same boot, the kernel refuses again: a run that changes nothing must write nothing.
            self._refused = {one["key"]: Skip(one["setting"], one["knob"], one["reason"]) for one in before["refused"]}

    def look(self, *, to_write: bool) -> Outcome:
        """Say what would be done, or (without `to_write`) what is not as it should be; changes nothing."""
        found, skips = self._survey(to_write=to_write)
        return Outcome([_change(work, work.wanted) for work in found.works], skips, [])

    def apply(self) -> Outcome:
        """Set what is asked, put back what is not asked any more, prove both.

        Raises:
            HostError: Another play is tuning this host, or the values from before cannot be kept.
        """
        found, skips = self._survey()
        if not found.works and not found.settled:
            self._record(found, skips)
            return Outcome([], skips, [])
        now = host_measuring.measuring(self.home) if self.home is not None else None
        if now is not None:
            return Outcome([], skips, [], waits_for=now.cell)
        with tuning_store.held(self.machine):
            self.backup = tuning_store.Backup(self.machine)  # another play may have written it meanwhile
            return self._apply()

    def _apply(self) -> Outcome:
        found, _ = self._survey()
        before = {work.knob.key: work for work in found.works}
        self._keep(found)
        asked = {step.knob.key for step in found.steps}
        failures: list[str] = []
        for rank in range(tuning_plan.LAST_RANK + 1) if found.works else ():
            there = tuning_plan.survey(self.machine, self.settings, self.backup, rank=rank, known=asked)
            asked |= {step.knob.key for step in there.steps}
            works = [work for work in there.works if work.knob.key not in self._refused]
            for work in works:
                before.setdefault(work.knob.key, work)
            self._keep(there)
            for work in tuning_plan.in_order(works):
                self._write(work, failures)
        return self._prove(before, failures)

    def _survey(self, *, to_write: bool = True) -> tuple[Survey, list[Skip]]:
        """Compare, and leave out what cannot be done."""
        found = tuning_plan.survey(self.machine, self.settings, self.backup)
        skips, works = list(found.skips), []
        kept = (
            ""
            if not to_write or _writable(self.backup.path)
            else f"needs root: {self.backup.path.parent} cannot be written"
        )
        for work in found.works:
            if not work.restore and work.knob.key in self._refused:
                skips.append(self._refused[work.knob.key])
            elif kept:
                skips.append(Skip(work.setting, work.knob.explain, kept))
            else:
                works.append(work)
        return found._replace(works=works, settled=[] if kept else found.settled), skips

    def _keep(self, found: Survey) -> None:
        """Bring the present values to the disk, with those of the knobs that the kernel moves along."""
        touched = {work.setting for work in found.works if not work.restore}
        changing = {work.knob.key: work for work in found.works if not work.restore}
        for step in found.steps:
            key = step.knob.key
            if key in changing:
                value: str | None = changing[key].before
            else:
                value = self._read(step.knob) if step.wanted is None and step.setting in touched else None
            if value is not None:
                self.backup.keep(key, step.setting, value, lasts_over_boots=step.knob.lasts_over_boots)
        try:
            self.backup.save()
        except OSError as error:
            message = f"{self.backup.path} cannot be written, so no knob was touched: {error.strerror}"
            raise HostError(message, "the values from before have to be kept first") from error

    def _read(self, knob: Knob) -> str | None:
        """Return a knob's value, None where it is gone, as with a CPU that is offline now."""
        try:
            return tuning_plan.value_of(knob, self.backup)
        except MissingError:
            return None

    def _write(self, work: Work, failures: list[str]) -> None:
        there = self._read(work.knob)
        if there is not None and work.knob.same(work.wanted, there):
            return  # moved along with another knob, as the boost of a policy with that of all
        try:
            work.knob.write(work.wanted)
        except (RefusedError, MissingError) as error:
            if work.restore:
                failures.append(f"{work.knob.explain} could not be put back to '{work.wanted}': {error}")
            else:
                self._refused[work.knob.key] = Skip(work.setting, work.knob.explain, str(error))
            return
        if not work.knob.readable:
            self.backup.note(work.knob.key, work.wanted)

    def _prove(self, before: dict[str, Work], failures: list[str]) -> Outcome:
        """Read everything once more; what is not as it was written did not take."""
        found, skips = self._survey()
        changes = []
        for key, work in before.items():
            after = self._read(work.knob)
            if after is None:
                continue
            if not work.knob.same(work.before, after):
                changes.append(_change(work, after))
            if key in self._refused and self.backup.entries.get(key, {}).get("value") == after:
                del self.backup.entries[key]  # never changed, so there is nothing to put back
        for left in found.works:
            word = "put back to" if left.restore else "set to"
            told = f"{left.knob.explain} was {word} '{left.wanted}', but the host has '{left.before}'"
            if not any(one.startswith(f"{left.knob.explain} could not be put back") for one in failures):
                failures.append(told)
        reset = 0
        for key in found.settled:
            entry = self.backup.entries.pop(key)
            reset += key not in before and entry["boot_id"] != self.backup.boot_id
        self.backup.save()
        self._record(found, skips)
        return Outcome(changes, skips, failures, reset=reset)

    def _record(self, found: Survey, skips: list[Skip]) -> None:
        """Write state/tuning.json, when different, for whoever runs cells or reports."""
        if self.home is None:
            return
        if not self.settings:
            tuning_store.write_state(self.home, None)
            return
        knobs = {}
        for step in found.steps:
            if step.wanted is None or step.knob.key in self._refused:
                continue
            value = self._read(step.knob)
            if value is not None:
                knobs[step.knob.explain] = {"setting": step.setting, "path": step.knob.path, "value": value}
        tuning_store.write_state(
            self.home,
            {
                "boot_id": self.backup.boot_id,
                "uid": os.geteuid(),
                "settings": self.settings,
                "knobs": knobs,
                "skipped": [one._asdict() for one in skips],
                "refused": [{"key": key, **one._asdict()} for key, one in sorted(self._refused.items())],
            },
        )


def _change(work: Work, after: str) -> Change:
    return Change(work.setting, work.knob.explain, work.before, after, work.restore)


def _writable(path: Path) -> bool:
    there = path.parent
    while not there.exists() and there != there.parent:
        there = there.parent
    return os.access(there, os.W_OK | os.X_OK)
