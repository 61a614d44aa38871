"""The leases of a host's cells: taken before a cell that holds something starts, given back after it has ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import access, controller

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.campaign import waiting
    from mlperf_ops.doctor.model import Access
    from mlperf_ops.errors import unknown_name
    from mlperf_ops.lease import desk, turn

_POLL_SECONDS = 2.0
_SLOW_POLL_SECONDS = 10.0
_SLOW_AFTER_SECONDS = 60.0
_LINE_SECONDS = 60.0
_METERS = "mlperf_power_analyzers"
display = Display()


def owner_names(suts: Mapping[str, Any]) -> list[str]:
    """Return the hosts that keep a lease, by the variables of the SUTs."""
    found: set[str] = set()
    for name, values in suts.items():
        with contextlib.suppress(AnsibleActionFail):  # the plan says what is wrong with it
            shared = controller.value(name, values, "mlperf_shared") if "mlperf_shared" in values else {}
            found |= {str(one["owner"]) for one in _mappings(shared) if one.get("owner")}
            meters = controller.value(name, values, _METERS) if _METERS in values else {}
            found |= {str(one["director"]) for one in _mappings(meters) if one.get("director")}
    return sorted(found)


def _mappings(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # any JSON value
    return [one for one in value.values() if isinstance(one, dict)] if isinstance(value, dict) else []


class Leases:
    """What the cells of one host hold, and how everybody concerned is reached."""

    def __init__(self, play: Any, variables: Mapping[str, Any], plan: Mapping[str, Any], run: Path, name: str) -> None:  # noqa: ANN401  # PlayContext
        """Resolve how the owners of the host's things are reached.

        Raises:
            AnsibleActionFail: An owner is no host of the inventory.
        """
        self._play, self._hostvars, self._run, self._name = play, variables["hostvars"], run, name
        self._suts = controller.sut_variables(variables)
        owners = {one["thing"]: one["host"] for one in plan.get("owners", [])}
        held = sorted({thing for cell in controller.planned_cells(plan, name) for thing in cell.get("holds", [])})
        self._owners = {thing: self._owner(thing, owners.get(thing, "")) for thing in held}
        self._turn: Any = None
        self._told = ""
        self.ended = False  # the cell that was confirmed or adopted has surely ended

    def _owner(self, thing: str, host: str) -> Any:  # noqa: ANN401  # Access
        if not host:
            return desk.THIS_MACHINE
        if host not in self._hostvars:
            with controller.sentences():
                raise unknown_name("host", host, self._hostvars, where=f"mlperf_shared.{thing}.owner")
        return self._access(host, self._hostvars[host])

    def _access(self, name: str, values: Any) -> Any:  # noqa: ANN401  # HostVars, Access
        return controller.typed.load(Access, access.of(name, values, self._play), f"access of {name}")

    def begin(self, cell: Mapping[str, Any], home: str) -> None:
        """Turn to a cell."""
        things = cell.get("holds", [])
        self._turn = None
        self._told, self.ended = "", False
        if things:
            key = controller.cell_key(cell["cell"])
            where = desk.where_of(self._access(self._name, self._suts[self._name]))
            owners = {thing: self._owners[thing] for thing in things}
            self._turn = turn.Turn(owners, turn.new_claim(self._name, key, where, home), self._ended)

    def take(self, title: str, done_elsewhere: Callable[[], bool], goes_on: Callable[[], None]) -> bool:
        """Wait until the cell holds what it needs; False: meanwhile it was run, or is run, by another controller.

        Args:
            title: Of the cell, in progress lines.
            done_elsewhere: Tells whether another controller runs the cell, or has run it.
            goes_on: Fails when nobody wants the cell any more.

        Raises:
            ToolError: An owner cannot be asked.
        """
        if self._turn is None:
            return True
        began = shown_at = time.monotonic()
        shown = ""
        key = self._turn.claim["cell"]
        try:
            while (stands := self._turn.step()) is not None:
                goes_on()
                holder = stands.holder or {}
                if holder.get("cell") == key and holder.get("where") == self._turn.claim["where"] and done_elsewhere():
                    return False
                words = f"{stands.thing} {holder.get('id')} {stands.before}"
                if words != shown or time.monotonic() - shown_at >= _LINE_SECONDS:
                    display.display(f"{title}   {stands.sentence}, since {time.monotonic() - began:.0f} s")
                    waiting.note(self._run, self._name, key, stands.sentence)
                    shown, shown_at = words, time.monotonic()
                slow = time.monotonic() - began > _SLOW_AFTER_SECONDS
                time.sleep(_SLOW_POLL_SECONDS if slow else _POLL_SECONDS)
        finally:
            waiting.note(self._run, self._name, key, "")
        return not (shown and done_elsewhere())

    def confirm(self) -> str:
        """Say that the cell starts now, or has; returns what it lost meanwhile, "" for nothing.

        Raises:
            ToolError: An owner cannot be asked.
        """
        return "" if self._turn is None else str(self._turn.confirm())

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let the owners hear of a cell that is about to start, while something that may take minutes goes on."""
        if self._turn is None:
            yield
            return
        end = threading.Event()
        turn = self._turn

        def beats() -> None:
            while not end.wait(_POLL_SECONDS):
                turn.wait()

        thread = threading.Thread(target=beats, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def adopt(self, title: str) -> None:
        """Speak for a cell that runs already."""
        for sentence in () if self._turn is None else self._turn.adopt():
            display.display(f"{title}   {sentence}", color="yellow")

    def beat(self, title: str) -> None:
        """Let the owners hear of the running cell, when it is time."""
        told = "" if self._turn is None else self._turn.beat()
        if told and told != self._told:
            display.display(f"{title}   {told}", color="yellow")
        self._told = told

    @property
    def still_used(self) -> bool:
        """Whether the cell that was confirmed or adopted may still run: nobody can tell that it has ended."""
        turn = self._turn
        return turn is not None and turn.confirmed and not self.ended and self._runs(turn.claim) is not False

    def give_back(self, title: str) -> None:
        """Give back all and leave every queue; what a cell may still use is kept."""
        if self._turn is None:
            return
        if self.still_used:
            things = ", ".join(self._turn.held)
            told = f"the lease of {things} stays until the cell has ended: this play cannot tell whether it has"
        else:
            told = self._turn.give_back()
        self._turn = None
        if told:
            display.display(f"{title}   {told}", color="yellow")

    def _runs(self, claim: Mapping[str, Any]) -> bool | None:
        """Whether this host runs the cell of a claim; None: nobody can tell."""
        reached = self._access(self._name, self._suts[self._name])
        answer: bool | None = desk.evidence(reached, claim["home"], claim["cell"])
        return answer

    def _ended(self, holder: Mapping[str, Any]) -> bool:
        """Whether a silent holder's cell has surely ended: its own host, if it is ours too, is asked."""
        for name, values in self._suts.items():
            with contextlib.suppress(AnsibleActionFail):
                reached = self._access(name, values)
                if desk.where_of(reached) == holder["where"]:
                    return desk.evidence(reached, str(holder["home"]), str(holder["cell"])) is False
        return False
