"""Wait beside a cell that runs on its host: a look every few seconds, a progress line now and then."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import looks, progress

STARTING = "starting"
_POLL_SECONDS = 2.0
_SLOW_POLL_SECONDS = 12
_STEP_SECONDS = 3  # how late the end of a cell may be seen: the controller has its verdict within 5 s
_SLOW_AFTER_SECONDS = 120.0
_LINE_SECONDS = (5.0, 60.0)  # between two progress lines: a tenth of what is expected, within these
_LAST_LINES = 5
display = Display()


class Watch:
    """Watches the cells of one host over its action's connection, which may be lost for a while."""

    def __init__(
        self,
        action: ActionBase,
        home: str,
        lost_seconds: float,
        goes_on: Callable[[], None],
        beat: Callable[[str], None],
    ) -> None:
        """Keep how the host is reached.

        Args:
            action: Its connection is used.
            home: mlperf_home of the host, absolute.
            lost_seconds: How long the host may be silent.
            goes_on: Fails when nobody wants the cells any more.
            beat: Called after each look with the title of the cell.
        """
        self._action, self._home, self._lost_seconds = action, home, lost_seconds
        self._goes_on, self._beat = goes_on, beat
        self._lost_at: float | None = None
        # A look at an attempt here reads files: it has nothing to wait for.
        self._slow_seconds = _STEP_SECONDS if self._is_here else _SLOW_POLL_SECONDS

    @property
    def _is_here(self) -> bool:
        return bool(self._action._connection.transport == "local")  # noqa: SLF001  # as Ansible's own actions do

    def until_end(self, title: str, path: str, cell: Mapping[str, Any], elapsed_before: float = 0.0) -> None:
        """Wait until an attempt has ended, or is gone.

        Args:
            title: Of the cell, in progress lines.
            path: The attempt's folder below mlperf_home.
            cell: As planned.
            elapsed_before: Seconds that it has been running when this play found it.

        Raises:
            AnsibleConnectionFailure: The host has been silent for too long.
        """
        attempt = Path(self._home, path)
        line_seconds = _line_seconds(cell)
        began = shown_at = time.monotonic()
        shown_phase, elapsed = STARTING, elapsed_before
        self._lost_at = None
        while True:
            self._goes_on()
            late, looked_at = elapsed >= _SLOW_AFTER_SECONDS, time.monotonic()
            said = self._look(attempt, _SLOW_POLL_SECONDS if late else 0)
            self._beat(title)
            if said is not None and said[:1] != ["running"]:
                return
            elapsed = elapsed_before + time.monotonic() - began
            phase = "no answer" if said is None else said[1] if len(said) > 1 else STARTING
            if phase != shown_phase or time.monotonic() - shown_at >= line_seconds:
                display.display(f"{title}   {phase}  {progress.so_far(elapsed, cell)}")
                shown_at, shown_phase = time.monotonic(), phase
            pause = self._slow_seconds if late else _POLL_SECONDS
            time.sleep(max(looked_at + pause - time.monotonic(), 0.0))

    def _look(self, attempt: Path, wait_seconds: int) -> list[str] | None:
        """Look once; None: the connection is lost, which is looked over for a while, because no cell needs it."""
        if self._is_here:
            # Controller and SUT share their cores: even two short processes would show in a 99th percentile.
            return looks.here(attempt)
        asked_at = time.monotonic()
        try:
            said = self._on_host(looks.script(attempt, wait_seconds, _STEP_SECONDS))
        except AnsibleConnectionFailure:
            self._lost_at = asked_at if self._lost_at is None else self._lost_at
            silent_seconds = time.monotonic() - self._lost_at
            if silent_seconds >= self._lost_seconds:
                raise AnsibleConnectionFailure(
                    f"the host has not answered for {silent_seconds:.0f} s while it ran a cell; if it is alive "
                    "the cell goes on there (start the plan again: it takes the result, or runs what was lost)"
                ) from None
            self._action._connection.reset()  # noqa: SLF001
            return None
        self._lost_at = None
        return said.split()

    def show_last_lines(self, path: str) -> None:
        """Show what a cell's process said last; a log's control characters must not reach the terminal."""
        log = shlex.quote(f"{self._home}/{path}/console.log")
        for line in self._on_host(f"tail -n {_LAST_LINES} {log}").splitlines():
            display.display("    " + "".join(letter if letter.isprintable() else " " for letter in line))

    def _on_host(self, command: str) -> str:
        return str(self._action._low_level_execute_command(command)["stdout"])  # noqa: SLF001


def _line_seconds(cell: Mapping[str, Any]) -> float:
    """Return how often a progress line is due although nothing has changed."""
    low, high = _LINE_SECONDS
    expected = float((cell["expected"] or {}).get("high", 0.0))
    return min(max(expected / 10, low), high)
