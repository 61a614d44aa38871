"""Whose turn it is: which cells of a host a play runs, in which order, and what follows when one has ended. Pure."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, progress

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import only

# Failures that may not come again: a reboot, a kill, a crash. Others would, such as a missing data set.
_RETRIED = frozenset({"host_rebooted", "killed", "out_of_memory", "crash", "no_log", "incomplete_log"})


class Follows(Enum):
    """What follows the turn of a cell."""

    NEXT = "the turn of the next cell"
    AGAIN = "another turn of the same cell"
    ANEW = "what a new plan says, in which the cell has another target"


@dataclass(frozen=True, slots=True)
class Turn:
    """The cell whose turn it is.

    Attributes:
        at: Its place among the cells of the host.
        place: Its place among those that run, such as "1/3".
        title: How its progress lines begin.
        cell: As planned.
        state: What its host said of it last.
        retries: How many turns more it may have.
    """

    at: int
    place: str
    title: str
    cell: dict[str, Any]
    state: dict[str, Any]
    retries: int

    @property
    def key(self) -> str:
        """The cell's name."""
        return controller.cell_key(self.cell["cell"])


class Turns:
    """The cells of one host, what it said of each, and those whose turn is still to come."""

    def __init__(
        self, name: str, cells: list[dict[str, Any]], states: list[dict[str, Any]], wanted: Sequence[str], retries: int
    ) -> None:
        """Find the cells that have to run.

        Args:
            name: The host's name.
            cells: Those planned on it, in the order in which it runs them.
            states: What it says of each.
            wanted: Patterns of mlperf_only.
            retries: How often each may run again.
        """
        self.cells, self.states = cells, states
        self._name, self._wanted, self._retries = name, wanted, retries
        self._repeated: Counter[int] = Counter()
        needed = (at for at, state in enumerate(states) if state["state"] not in {"good", "lacking"})
        self._all = [at for at in needed if self._is_wanted(at)]
        self._all.sort(key=lambda at: states[at]["state"] != "running")  # a host runs one cell at a time
        self._left = list(self._all)

    def _is_wanted(self, at: int) -> bool:
        return only.chosen(controller.model.Cell(**self.cells[at]["cell"]), self._wanted)

    @property
    def keys(self) -> list[str]:
        """The names of the cells whose turn is still to come."""
        return [controller.cell_key(self.cells[at]["cell"]) for at in self._left]

    def left_out(self, *but: str) -> list[str]:
        """Return the names of the cells that mlperf_only leaves for another time, but those in some states."""
        places = [at for at, state in enumerate(self.states) if state["state"] not in but and not self._is_wanted(at)]
        return [controller.cell_key(self.cells[at]["cell"]) for at in places]

    def turn(self) -> Turn | None:
        """Return the cell whose turn it is; None when all have had theirs."""
        if not self._left:
            return None
        at, total = self._left[0], len(self._all)
        place = f"{total - len(self._left) + 1}/{total}"
        title = f"{self._name}  {place}  {progress.words(self.cells[at])}"
        return Turn(at, place, title, self.cells[at], self.states[at], self._retries - self._repeated[at])

    def over(self) -> None:
        """End the turn of a cell."""
        del self._left[0]

    def again(self) -> None:
        """Give the cell whose turn it is another one."""
        self._repeated[self._left[0]] += 1
        self.states[self._left[0]] = {"state": "needed"}

    def put_first(self, at: int) -> bool:
        """Let a cell have its turn now; tell whether it still had to come."""
        if at not in self._left:
            return False
        self._left.sort(key=lambda one: one != at)
        return True

    def running(self) -> int | None:
        """Return the place of the cell that the host runs."""
        return next((at for at, state in enumerate(self.states) if state["state"] == "running"), None)

    def plan_anew(self, planned: list[dict[str, Any]]) -> list[int]:
        """Take over a new plan, and return the places of the cells of which it wants something else."""
        new = {controller.cell_key(cell["cell"]): cell for cell in planned}
        before = self.cells
        self.cells = [new.get(controller.cell_key(cell["cell"]), cell) for cell in before]
        both = enumerate(zip(before, self.cells, strict=True))
        return [at for at, (old, cell) in both if old["request"] != cell["request"]]

    def go_on(self, changed: Mapping[int, dict[str, Any]]) -> None:
        """Go on after the plan was made anew because of the cell whose turn it is.

        Args:
            changed: Place -> state of the cells that the plan has changed. They have a turn, unless they are good now.
        """
        self._repeated[self._left[0]] += 1
        for at, state in changed.items():
            self.states[at] = state
        self._all += [at for at in changed if at not in self._all and self._is_wanted(at)]
        left = self._left + [at for at in changed if at in self._all and at not in self._left]
        self._left = [at for at in left if self.states[at]["state"] != "good" or at not in changed]


def may_not_come_again(answer: Mapping[str, Any]) -> bool:
    """Tell whether an attempt failed by what may be no fault of its cell, by what its host says of it."""
    return answer.get("kind") in _RETRIED


def retries_of(given: object) -> int:
    """Read how often a cell may run again.

    Raises:
        AnsibleActionFail: It is no number.
    """
    text = str(given).strip()
    if not text.isdigit():
        raise AnsibleActionFail(
            f"retries: expected a whole number from 0, not '{text}' (mlperf_retries of the inventory)"
        )
    return int(text)
