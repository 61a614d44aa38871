"""Action: run the cells of the plan that have no good result on this host, one after another."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, leases, tuned

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import only

_MODULE = "mlperf_ops.lab.loadgen_agent"
_STARTING = "starting"
_POLL_SECONDS = 2.0
_SLOW_POLL_SECONDS = 10.0
_SLOW_AFTER_SECONDS = 120.0
_LINE_SECONDS = (5.0, 60.0)  # between two progress lines: a tenth of what is expected, within these
_LAST_LINES = 5
_LOST_POLLS = 30  # in a row, before the host counts as unreachable

# Costs the measuring host two short processes, unlike a module call with its Python interpreter.
_LOOK = (
    "cd {attempt} || exit 1; if test -f result.json; then echo ended; exit; fi; "
    """pid=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' state.json 2>/dev/null); """
    'if test -n "$pid" && test -d "/proc/$pid"; then echo "running $(cat phase 2>/dev/null)"; else echo gone; fi'
)
display = Display()


def look_here(attempt: Path) -> list[str]:
    """Answer as _LOOK does, for an attempt on this machine, by reading files only."""
    if (attempt / "result.json").is_file():
        return ["ended"]
    try:
        pid = json.loads((attempt / "state.json").read_text())["pid"]
    except (OSError, ValueError, KeyError):
        return ["gone"]
    if not Path(f"/proc/{pid}").is_dir():
        return ["gone"]
    try:
        return ["running", *(attempt / "phase").read_text().split()]
    except OSError:
        return ["running"]


@dataclass(slots=True)
class _Tally:
    """What became of the cells of a host."""

    ran: int = 0
    invalid: list[str] = field(default_factory=list)
    tainted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask the host's agent which cells are needed; start, watch and report each of them."""

    _variables: dict[str, Any]
    _name: str
    _home: str
    _tuning: tuned.CellTuning
    _leases: leases.Leases

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run what is needed; a failed cell does not keep the next one from running."""
        self._variables = task_vars or {}
        self._name = self._variables["inventory_hostname"]
        result: dict[str, Any] = super().run(tmp, self._variables)
        given = controller.plain(self._task.args)
        run = controller.run_folder(given.get("results", ""), self._variables)
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        host = controller.host_of(plan, self._name)
        self._home = host["home"]
        cells = controller.in_turn(controller.planned_cells(plan, self._name), host)
        wanted = only.patterns_of(given.get("only") or [])
        question = {**controller.question(plan, cells), "host_state": host.get("host_state", {})}
        try:
            answer = self._ask("status", question)
            if answer.get("failed"):
                return {**result, **answer}
            self._home = answer["home"]
            self._tuning = tuned.CellTuning(self, self._variables, self._home, host, answer.get("tuned"))
            states = answer["answer"]["cells"]
            todo = [index for index, state in enumerate(states) if state["state"] != "good"]
            needed = len(todo)
            todo = [index for index in todo if only.chosen(_cell(cells[index]), wanted)]
            left_out = needed - len(todo)
            if left_out:
                display.display(f"{self._name}  {_left_out(left_out)}")
            todo.sort(key=lambda index: states[index]["state"] != "running")  # a host runs one cell at a time
            result["cells"] = len(cells)
            if self._task.check_mode or not todo:
                names = [controller.cell_key(cells[index]["cell"]) for index in todo]
                told = "" if self._task.check_mode else self._tuning.finish(ran=False)
                if told:
                    return {**result, "failed": True, "msg": told}
                message = f"{len(todo)} of {len(cells)} cells {'would' if self._task.check_mode else 'have to'} run"
                if todo:
                    display.display(f"{self._name}  {message}")
                diff = {"before": "", "after": "".join(f"{name}\n" for name in names)}
                return {**result, "changed": bool(todo), "msg": message, "diff": diff}
            self._leases = leases.Leases(self._play_context, self._variables, plan, run, self._name)
            tally = _Tally()
            for place, index in enumerate(todo, start=1):
                self._leases.begin(cells[index], self._home)
                title = f"{self._name}  {place}/{len(todo)}  {_words(cells[index])}"
                try:
                    self._one(title, cells[index], states[index], question, index, tally)
                except controller.errors.MlperfOpsError as error:
                    self._not_started(title, cells[index], str(error), tally)
                finally:
                    self._leases.give_back(title)
            if told := self._tuning.finish(ran=True):
                tally.failed.append(told)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        return {**result, **_outcome(tally, len(cells), plan["run_style"], keep_going=bool(given.get("keep_going")))}

    def _ask(self, verb: str, question: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE,
            module_args={"home": self._home, "verb": verb, "question": question},
            task_vars=self._variables,
            wrap_async=False,
        )
        return answer

    def _one(
        self,
        title: str,
        cell: dict[str, Any],
        state: dict[str, Any],
        question: dict[str, Any],
        index: int,
        tally: _Tally,
    ) -> None:
        """Start a cell, or re-attach to it, and wait for its end."""
        key = controller.cell_key(cell["cell"])
        expected = _expected(cell)

        def elsewhere() -> bool:
            """Ask again: another controller may have started, or finished, this very cell meanwhile."""
            nonlocal state
            asked = self._ask("status", {**question, "cells": [question["cells"][index]]})
            if not asked.get("failed"):
                state = asked["answer"]["cells"][0]
            return bool(state["state"] != "needed")

        if state["state"] != "running" and not self._leases.take(title, elsewhere) and state["state"] == "good":
            display.display(f"{title}   another controller has run it meanwhile", color="green")
            return
        if state["state"] == "running":
            self._leases.adopt(title)
            path = state["path"]
            self._tuning.forget()
            display.display(f"{title}   re-attached to {state['attempt']}, expected {expected}")
        else:
            display.display(f"{title}   {_STARTING}, expected {expected}")
            if told := self._tuning.prepare(cell["request"]):
                self._not_started(title, cell, told, tally)
                return
            if lost := self._leases.confirm():
                self._not_started(title, cell, f"its lease of {lost} ended before it began (run again)", tally)
                return
            started = self._ask("start", {**question, "cells": [], "cell": question["cells"][index]})
            if started.get("failed"):
                self._not_started(title, cell, started["msg"], tally)
                return
            path = started["answer"]["path"]
            self._stop_without_lease(title, int(started["answer"]["pid"]))
        tally.ran += 1
        self._watch(title, path, cell, attached=state["state"] == "running")
        answer = self._ask("poll", {"path": path})
        if answer.get("failed"):
            tally.failed.append(f"{key}: {answer['msg']}")
            return
        if answer["answer"]["state"] != "running":
            self._leases.ended = True
        if self._note(title, key, answer["answer"], tally) == "failed":
            self._show_last_lines(path)

    def _not_started(self, title: str, cell: dict[str, Any], told: str, tally: _Tally) -> None:
        tally.failed.append(f"{controller.cell_key(cell['cell'])}: {told}")
        display.display(f"{title}   failed: {told}", color="red")

    def _stop_without_lease(self, title: str, pid: int) -> None:
        """Stop a cell that began after its lease was lost, as after a controller's sleep; it becomes a failed one."""
        with contextlib.suppress(controller.errors.ToolError):  # an owner that is away now: the heartbeats go on trying
            if lost := self._leases.confirm():
                display.display(f"{title}   stopped: its lease of {lost} ended while it was started", color="red")
                self._low_level_execute_command(f"kill -TERM {pid}")

    def _watch(self, title: str, path: str, cell: dict[str, Any], *, attached: bool) -> None:
        """Wait until an attempt has ended, with a progress line now and then."""
        expected = _expected(cell)
        attempt = Path(self._home, path)
        look = _LOOK.format(attempt=shlex.quote(str(attempt)))
        low, high = _LINE_SECONDS
        line_seconds = min(max((cell["expected"] or {}).get("high", 0.0) / 10, low), high)
        began = shown_at = time.monotonic()
        shown_phase = _STARTING
        elapsed_before = self._elapsed(path) if attached else 0.0
        lost = 0
        while True:
            words, lost = self._look(look, attempt, lost)
            self._leases.beat(title)
            if words[:1] != ["running"] and not lost:
                return
            elapsed = elapsed_before + time.monotonic() - began
            phase = words[1] if len(words) > 1 else ("connection lost" if lost else _STARTING)
            if phase != shown_phase or time.monotonic() - shown_at >= line_seconds:
                display.display(f"{title}   {phase}  {_so_far(elapsed, cell, expected)}")
                shown_at, shown_phase = time.monotonic(), phase
            time.sleep(_POLL_SECONDS if elapsed < _SLOW_AFTER_SECONDS else _SLOW_POLL_SECONDS)

    def _elapsed(self, path: str) -> float:
        """Ask how long an attempt has been running when this play found it."""
        return float(self._ask("poll", {"path": path}).get("answer", {}).get("elapsed_seconds", 0.0))

    def _look(self, look: str, attempt: Path, lost: int) -> tuple[list[str], int]:
        """Look once; a lost connection is looked over for a while, because the cell does not need it."""
        if self._connection.transport == "local":
            # Controller and SUT share their cores: even two short processes would show in a 99th percentile.
            return look_here(attempt), 0
        try:
            return str(self._low_level_execute_command(look)["stdout"]).split(), 0
        except AnsibleConnectionFailure:
            if lost >= _LOST_POLLS:
                raise
            self._connection.reset()
            return [], lost + 1

    def _show_last_lines(self, path: str) -> None:
        """Show what the cell's process said last; a log's control characters must not reach the terminal."""
        log = shlex.quote(f"{self._home}/{path}/console.log")
        said = str(self._low_level_execute_command(f"tail -n {_LAST_LINES} {log}")["stdout"])
        for line in said.splitlines():
            display.display("    " + "".join(letter if letter.isprintable() else " " for letter in line))

    def _note(self, title: str, key: str, answer: dict[str, Any], tally: _Tally) -> str:
        """Show how a cell ended, keep what went wrong, and return the verdict."""
        if answer["state"] != "ended":
            sentence = "the run vanished: the host was restarted or its processes were killed (start the plan again)"
            answer = {**answer, "verdict": "failed", "reasons": [sentence]}
        verdict, reasons = str(answer["verdict"]), "; ".join(answer["reasons"])
        if answer.get("hint"):
            reasons += f" ({answer['hint']})"
        figure = f"  {answer['summary']}" if answer.get("summary") else ""
        elapsed = f"  ({answer['elapsed_seconds']:.0f} s)"
        if tainted := "; ".join(answer.get("tainted") or []):
            tally.tainted.append(f"{key}: {tainted}")
            if verdict == "valid":
                display.display(f"{title}   valid but tainted{figure}{elapsed}: {tainted}", color="yellow")
                return verdict
            reasons += f"; tainted: {tainted}"
        if verdict == "valid":
            display.display(f"{title}   valid{figure}{elapsed}", color="green")
            return verdict
        color = "red" if verdict == "failed" else "yellow"
        display.display(f"{title}   {verdict}{figure}{elapsed}: {reasons}", color=color)
        (tally.failed if verdict == "failed" else tally.invalid).append(f"{key}: {reasons}")
        return verdict


def _cell(planned: dict[str, Any]) -> Any:  # noqa: ANN401  # mlperf_ops.model.Cell, which may not be installed
    return controller.model.Cell(**planned["cell"])


def _words(cell: dict[str, Any]) -> str:
    """Return a cell in the words of the progress lines."""
    return " ".join(cell["cell"][part] for part in ("benchmark", "scenario", "mode"))


def _left_out(count: int) -> str:
    """Say how many cells mlperf_only leaves for another time."""
    return f"mlperf_only leaves out {count} cell{'' if count == 1 else 's'} without a good result"


def _expected(cell: dict[str, Any]) -> str:
    """Return the plan's expectation in words."""
    expected = cell["expected"]
    if not expected:
        return "unknown duration"
    low, high = round(expected["low"]), max(1, round(expected["high"]))
    return f"about {high} s" if low >= high - 1 else f"{low} to {high} s"


def _so_far(elapsed: float, cell: dict[str, Any], expected: str) -> str:
    """Return the elapsed time beside the expectation, also when it was wrong."""
    late = cell["expected"] and elapsed > cell["expected"]["high"]
    return f"{elapsed:.0f} s, longer than expected ({expected})" if late else f"{elapsed:.0f} s of {expected}"


def _outcome(tally: _Tally, planned: int, run_style: str, *, keep_going: bool) -> dict[str, Any]:
    """Say what the task returns: failed cells fail the host, invalid ones only where the run is meant to be valid."""
    bad = tally.failed + (tally.invalid if run_style == "valid" else [])
    summary = f"{tally.ran} of {planned} cells ran, {len(tally.invalid)} invalid, {len(tally.failed)} failed"
    if tally.tainted:
        summary += f", {len(tally.tainted)} tainted"
    told: dict[str, Any] = {
        "changed": bool(tally.ran),
        "invalid": tally.invalid,
        "failed_cells": tally.failed,
        "tainted": tally.tainted,
    }
    if bad and not keep_going:
        return {**told, "failed": True, "msg": f"{summary}: " + "; ".join(bad)}
    return {**told, "msg": summary}
