"""A cell's turn at the things that it holds: queue for one after the other in the order of names, hold, give back.

Equal order for everybody means that nobody can hold what another waits for while waiting for what that one holds.
"""

from __future__ import annotations

import getpass
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlperf_ops.doctor.model import Access
from mlperf_ops.errors import ToolError
from mlperf_ops.lease import book
from mlperf_ops.lease.desk import asked

HEARTBEAT_SECONDS = 15.0
_LOST_SECONDS = 300.0  # an owner that is away this long fails the cell that waits; a cell that runs goes on


@dataclass(frozen=True, slots=True)
class Waiting:
    """On what a cell waits, and behind whom.

    Attributes:
        holder: The claim that holds the thing, as `book.view` shows it; None while nobody does.
        before: How many wait before this one.
    """

    thing: str
    holder: dict[str, Any] | None
    before: int
    problem: str = ""

    @property
    def sentence(self) -> str:
        """In words, for the progress line and for `mlperf-ops status`."""
        if self.problem:
            return f"waits for {self.thing}: {self.problem}"
        text = f"waits for {self.thing}"
        if self.holder is not None:
            text += f" behind {said_of(self.holder)}"
        if self.before:
            text += f" and {self.before} in the queue"
        return text


def said_of(claim: Mapping[str, Any]) -> str:
    """Return who holds or waits, in words."""
    text = f"{claim['host']} ({claim['cell']}, of {claim['controller']})"
    if claim.get("silent"):
        text += f", whose controller is silent for {claim['silent_seconds']:.0f} s"
    return text


def new_claim(host: str, cell: str, where: str, home: str) -> dict[str, Any]:
    """Return what a controller says of itself and its cell."""
    return {
        "id": uuid.uuid4().hex,
        "controller": f"{getpass.getuser()}@{platform.node()}",
        "process": book.this_process(),
        "host": host,
        "cell": cell,
        "purpose": f"cell {cell} on {host}",
        "where": where,
        "home": home,
        "ticket": 0,
    }


@dataclass(slots=True)
class Turn:
    """One cell's turn.

    Attributes:
        owners: Thing -> how its owner is reached.
        claim: Of `new_claim`.
        ended: Tells of a silent holder whether its cell has surely ended.
    """

    owners: Mapping[str, Access]
    claim: dict[str, Any]
    ended: Callable[[Mapping[str, Any]], bool]
    held: list[str] = field(default_factory=list)
    confirmed: bool = False
    _tickets: dict[str, int] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _beat_at: float = 0.0
    _lost_since: float | None = None

    def step(self) -> Waiting | None:
        """Ask once for the next thing; None: all are held.

        Raises:
            ToolError: An owner is away for too long.
        """
        self._keep("ask")
        for thing in sorted(self.owners):
            if thing in self.held:
                continue
            waiting = self._ask(thing)
            if waiting is not None:
                return waiting
            self.held.append(thing)
        return None

    def _ask(self, thing: str) -> Waiting | None:
        claim = {**self.claim, "ticket": self._tickets.get(thing, 0)}
        try:
            seen = self._one(thing, {"verb": "ask", "claim": claim})
            holder = seen["holder"]
            if not seen["held"] and holder and holder["silent"] and self.ended(holder):
                self._one(thing, {"verb": "settle", "id": holder["id"]})
                seen = self._one(thing, {"verb": "ask", "claim": claim})
        except ToolError as error:
            now = time.monotonic()
            self._lost_since = self._lost_since or now
            if now - self._lost_since > _LOST_SECONDS:
                raise
            return Waiting(thing, None, 0, str(error))
        self._lost_since = None
        self._tickets[thing] = seen["ticket"] or 0
        return None if seen["held"] else Waiting(thing, seen["holder"], len(seen["before"]))

    def wait(self) -> None:
        """Let the owners hear that the cell is about to start, when it is time; `confirm` tells what was lost."""
        self._keep("ask")

    def confirm(self) -> str:
        """Say that the cell starts now, or has started; the thing that is not held any more, "" when all are.

        Raises:
            ToolError: An owner cannot be asked.
        """
        self.confirmed = True
        for thing in sorted(self.owners):
            if thing not in self.held or not self._one(thing, {"verb": "confirm", "id": self._id(thing)})["done"]:
                return thing
        self._beat_at = time.monotonic()
        return ""

    def adopt(self) -> tuple[str, ...]:
        """Speak for a cell that runs already; returns a sentence for each thing that it does not hold."""
        told: list[str] = []
        self.confirmed = True
        for thing in sorted(self.owners):
            try:
                seen = self._one(thing, {"verb": "adopt", "claim": self.claim})
            except ToolError as error:
                told.append(str(error))
                continue
            if seen["done"]:
                self._ids[thing] = seen["id"]
                self.held.append(thing)
            else:
                told.append(f"it uses {thing}, which is held by {said_of(seen['holder'])}")
        return tuple(told)

    def beat(self) -> str:
        """Let the owners hear of a running cell, when it is time; the problem in a sentence, "" for none."""
        return self._keep("confirm")

    def _keep(self, verb: str) -> str:
        if time.monotonic() - self._beat_at < HEARTBEAT_SECONDS:
            return ""
        self._beat_at = time.monotonic()
        problem = ""
        for thing in list(self.held):
            try:
                request = {"claim": {**self.claim, "ticket": self._tickets.get(thing, 0)}, "id": self._id(thing)}
                seen = self._one(thing, {"verb": verb, **request})
            except ToolError as error:
                problem = str(error)
                continue
            if not seen["held"] and verb == "ask":
                self.held.remove(thing)  # it was taken away before the cell began: queue again
            elif not seen["held"]:
                problem = f"{thing} is not held any more: somebody broke the lease"
        return problem

    def give_back(self) -> str:
        """Give back what is held and leave every queue; the problem in a sentence, "" for none."""
        problem = ""
        for thing in sorted(set(self.held) | set(self._tickets)):
            try:
                self._one(thing, {"verb": "free", "id": self._id(thing)})
            except ToolError as error:  # noqa: PERF203  # each owner for itself
                problem = f"{error}; another controller finds out by itself that the cell has ended"
        self.held.clear()
        self._tickets.clear()
        return problem

    def _id(self, thing: str) -> str:
        return self._ids.get(thing) or str(self.claim["id"])

    def _one(self, thing: str, request: dict[str, Any]) -> dict[str, Any]:
        return dict(asked(self.owners[thing], [{**request, "thing": thing}])[0])
