"""Action: run the cells of the plan that have no good result on this host, one after another."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import (
    adjusted,
    controller,
    early,
    fetch,
    launch,
    leases,
    looks,
    power_session,
    progress,
    tuned,
)

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import only, smoke_files

_MODULE = "mlperf_ops.lab.loadgen_agent"
_STARTING = "starting"
_POLL_SECONDS = 2.0
_SLOW_POLL_SECONDS = 12
_STEP_SECONDS = 3  # how late the end of a cell may be seen: the controller has its verdict within 5 s
_SLOW_AFTER_SECONDS = 120.0
_LINE_SECONDS = (5.0, 60.0)  # between two progress lines: a tenth of what is expected, within these
_LAST_LINES = 5
# Failures that may not come again: a reboot, a kill, a crash. Others would, such as a missing data set.
_RETRIED = frozenset({"host_rebooted", "killed", "out_of_memory", "crash", "no_log", "incomplete_log"})

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask the host's agent which cells are needed; start, watch and report each of them."""

    _variables: dict[str, Any]
    _name: str
    _home: str
    _tuning: tuned.CellTuning
    _early: early.EarlyCopies
    _goes_on: Callable[[], None]
    _lost_seconds: float
    _leases: leases.Leases
    _power: power_session.PowerSessions
    _launcher: launch.Launcher
    _run: Path
    _wanted: tuple[str, ...]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run what is needed; a failed cell does not keep the next one from running."""
        self._variables = task_vars or {}
        self._name = self._variables["inventory_hostname"]
        self._goes_on = fetch.play_goes_on()  # a worker of a killed play must not start the next cell
        result: dict[str, Any] = super().run(tmp, self._variables)
        given = controller.plain(self._task.args)
        self._lost_seconds = float(given.get("lost_seconds", 600))
        run = self._run = controller.run_folder(given.get("results", ""), self._variables)
        plan = controller.read_plan(run, check_mode=self._task.check_mode)
        host = controller.host_of(plan, self._name)
        self._home = host["home"]
        cells = controller.in_turn(controller.planned_cells(plan, self._name), host)
        wanted = self._wanted = only.patterns_of(given.get("only") or [])
        beside = {"host_state": host.get("host_state", {}), "unofficial_energy": host.get("unofficial_energy", [])}
        question = {**controller.question(plan, cells), **beside, **power_session.rejected_paths(plan, run, host)}
        try:
            answer = self._ask("status", question)
            if answer.get("failed"):
                return {**result, **answer}
            self._home = answer["home"]
            self._tuning = tuned.CellTuning(self, self._variables, self._home, host, answer.get("tuned"))
            self._launcher = launch.Launcher(self, self._variables, self._ask, given.get("launcher", "auto"))
            states = answer["answer"]["cells"]
            self._tell_lacking(cells, states)
            self._note_left_out(plan, cells, states)
            todo = [index for index, state in enumerate(states) if state["state"] not in {"good", "lacking"}]
            needed = len(todo)
            todo = [index for index in todo if only.chosen(_cell(cells[index]), wanted)]
            if left_out := needed - len(todo):
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
            self._power = power_session.PowerSessions(self._play_context, self._variables, plan, run, self._name)
            tally = progress.Tally(smoke=bool(plan.get("smoke")))
            self._early = early.EarlyCopies(self, self._home, run, plan, host)
            self._all(todo, cells, states, question, tally, _retries(given.get("retries", 1)))
            if told := self._tuning.finish(ran=True):
                tally.failed.append(told)
            self._early.bring_rest()
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do
        return {
            **result,
            **tally.outcome(len(cells), plan["run_style"], keep_going=boolean(given.get("keep_going", False))),
        }

    def _tell_lacking(self, cells: list[dict[str, Any]], states: list[dict[str, Any]]) -> None:
        """Say which cells of a smoke run cannot run; what provisioning has said of their inputs is the reason."""
        lacking = smoke_files.read_lacking(self._run).get(self._name, {})
        told = (
            (progress.words(cell), smoke_files.why_lacking(cell["request"], lacking) or "; ".join(state["reasons"]))
            for cell, state in zip(cells, states, strict=True)
            if state["state"] == "lacking"
        )
        for why, names in smoke_files.grouped(told).items():
            display.display(f"{self._name}  cannot run {', '.join(names)}: {why}", color="red")

    def _note_left_out(self, plan: dict[str, Any], cells: list[dict[str, Any]], states: list[dict[str, Any]]) -> None:
        """Keep for the verdict of a smoke run which cells mlperf_only leaves without a result."""
        if not plan.get("smoke") or self._task.check_mode:
            return
        both = zip((_cell(cell) for cell in cells), states, strict=True)
        keys = [one.key for one, state in both if state["state"] != "good" and not only.chosen(one, self._wanted)]
        with controller.sentences():
            controller.runlock.acquire(self._run)
            smoke_files.note_left_out(self._run, self._name, keys)

    def _all(
        self,
        todo: list[int],
        cells: list[dict[str, Any]],
        states: list[dict[str, Any]],
        question: dict[str, Any],
        tally: progress.Tally,
        retries: int,
    ) -> None:
        """Run cells one after another. Another controller may work on the same plan: its cells are attached to."""
        left, again = list(todo), dict.fromkeys(todo, retries)
        while left:
            index = left[0]
            place = f"{len(todo) - len(left) + 1}/{len(todo)}"
            title = f"{self._name}  {place}  {progress.words(cells[index])}"
            self._leases.begin(cells[index], self._home)
            try:
                if again[index] and self._adjusted_before(title, cells[index], states[index], tally):
                    came_to = "adjusted"
                else:
                    came_to = self._one(title, cells[index], states[index], question, index, tally, again[index])
            except controller.errors.MlperfOpsError as error:
                came_to = str(error)
            finally:
                self._power.end(title, self._leases)
                self._leases.give_back(title)
            if came_to == "again":
                again[index] -= 1
                states[index] = {"state": "needed"}
                self._tuning.forget()  # the host may have rebooted
                continue
            if came_to == "adjusted":
                again[index] -= 1
                changed = self._plan_anew(cells, states, question)
                todo += [at for at in changed if at not in todo and only.chosen(_cell(cells[at]), self._wanted)]
                left += [at for at in changed if at in todo and at not in left]
                again = {**dict.fromkeys(todo, retries), **again}
                left = [at for at in left if states[at]["state"] != "good" or at not in changed]
                continue
            if came_to:  # a sentence why it did not start; somebody else may have been faster
                told = self._ask("status", question)
                states = states if told.get("failed") else told["answer"]["cells"]
                running = [at for at, state in enumerate(states) if state["state"] == "running"]
                if not running:
                    key = controller.cell_key(cells[index]["cell"])
                    tally.failed.append(f"{key}: {came_to}")
                    display.display(f"{title}   failed: {came_to}", color="red")
                elif running[0] in left:
                    left.sort(key=lambda at: at != running[0])
                    continue
                else:  # not of this play's cells: this one's turn comes after it
                    self._watch(f"{self._name}  {place}  waits", states[running[0]]["path"], cells[running[0]])
                    continue
            left.remove(index)

    def _plan_anew(
        self, cells: list[dict[str, Any]], states: list[dict[str, Any]], question: dict[str, Any]
    ) -> list[int]:
        """Take over what a new plan changes of the cells, and what the host says of these; return their places."""
        plan = controller.read_plan(self._run, check_mode=False)
        new = {controller.cell_key(cell["cell"]): cell for cell in controller.planned_cells(plan, self._name)}
        changed = []
        for at, cell in enumerate(cells):
            planned = new.get(controller.cell_key(cell["cell"]), cell)
            if planned["request"] != cell["request"]:
                changed.append(at)
            cells[at] = planned
        question["cells"] = controller.question(plan, cells)["cells"]
        told = self._ask("status", {**question, "cells": [question["cells"][at] for at in changed]})
        for place, at in enumerate(changed):
            states[at] = {"state": "needed"} if told.get("failed") else told["answer"]["cells"][place]
        return changed

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
        tally: progress.Tally,
        retries: int,
    ) -> str:
        """Start a cell, or re-attach to it, and wait for its end.

        Returns:
            "again" where it is to run again, "adjusted" where it is planned again with another target, a sentence where
            it did not start, else "".
        """
        self._goes_on()
        key = controller.cell_key(cell["cell"])
        expected = progress.expected(cell)

        def elsewhere() -> bool:
            """Ask again: another controller may have started, or finished, this very cell meanwhile."""
            nonlocal state
            asked = self._ask("status", {**question, "cells": [question["cells"][index]]})
            if not asked.get("failed"):
                state = asked["answer"]["cells"][0]
            return bool(state["state"] != "needed")

        mine = state["state"] == "running" or self._leases.take(title, elsewhere, self._goes_on)
        if not mine and state["state"] == "good":
            display.display(f"{title}   another controller has run it meanwhile", color="green")
            return ""
        if state["state"] == "running":
            self._leases.adopt(title)
            self._power.adopt(cell)
            path = state["path"]
            self._tuning.forget()
            display.display(f"{title}   re-attached to {state['attempt']}, expected {expected}")
        else:
            display.display(f"{title}   {_STARTING}, expected {expected}")
            with self._leases.kept():
                told = self._made_ready(title, cell)
            if told:
                return told
            if lost := self._leases.confirm():
                return f"its lease of {lost} ended before it began (run again)"
            started = self._launcher.start(title, {**question, "cells": [], "cell": question["cells"][index]})
            if started.get("failed"):
                return str(started["msg"])
            path, state = started["answer"]["path"], started["answer"]
            if state["state"] == "started":
                self._stop_without_lease(title, int(state["pid"]))
            else:
                display.display(f"{title}   another controller has started it: {state['attempt']}")
        self._watch(title, path, cell, attached=state["state"] == "running")
        answer = self._ask("poll", {"path": path})
        if answer.get("failed"):
            tally.ran += 1
            tally.failed.append(f"{key}: {answer['msg']}")
            return ""
        self._leases.ended = answer["answer"]["state"] != "running"
        if retries and (how := self._again(title, cell, path, answer["answer"], tally, retries)):
            return how
        tally.ran += 1
        if tally.note(title, key, answer["answer"]) == "failed":
            self._show_last_lines(path)
        if answer["answer"]["state"] == "ended":
            self._early.bring(key, path)
            tally.invalid += self._power.judge(title, cell, path, answer["answer"]["verdict"])
        return ""

    def _made_ready(self, title: str, cell: dict[str, Any]) -> str:
        """Give a cell the host and the analyzer that it needs; return why that failed, or ""."""
        return self._tuning.prepare(cell["request"]) or self._power.start(title, cell)

    def _again(
        self,
        title: str,
        cell: dict[str, Any],
        path: str,
        answer: dict[str, Any],
        tally: progress.Tally,
        retries: int,
    ) -> str:
        """Tell whether an attempt that has ended is followed by another one, and how: "again", "adjusted" or ""."""
        if answer.get("kind") in _RETRIED:
            why = "; ".join(answer["reasons"])
            tally.retried.append(f"{controller.cell_key(cell['cell'])}: {why}")
            display.display(f"{title}   failed: {why}; it runs again ({retries} left)", color="yellow")
            return "again"
        return "adjusted" if self._adjusted(title, cell, path, answer, tally) else ""

    def _adjusted_before(self, title: str, cell: dict[str, Any], state: dict[str, Any], tally: progress.Tally) -> bool:
        """Take what an attempt of an earlier play says of the target, instead of missing it once more."""
        if not cell.get("adjustable") or state["state"] != "needed" or state.get("verdict") != "invalid":
            return False
        told = self._ask("poll", {"path": state["path"]})
        return not told.get("failed") and self._adjusted(title, cell, state["path"], told["answer"], tally)

    def _adjusted(
        self, title: str, cell: dict[str, Any], path: str, answer: dict[str, Any], tally: progress.Tally
    ) -> bool:
        """Plan a cell again with the target that its INVALID attempt suggests; tell whether it was."""
        value = adjusted.next_target(cell, answer)
        if isinstance(value, str):
            if value:
                display.display(f"{title}   its target is not adjusted: {value}")
            return False
        key, may = controller.cell_key(cell["cell"]), cell["adjustable"]
        why = "; ".join(answer["reasons"])
        self._early.bring(key, path)
        try:
            adjusted.plan_again(self._run, self._variables, cell, path, answer, value)
        except AnsibleActionFail as error:  # the other cells can do without
            display.display(f"{title}   its target is not adjusted: {error.message}", color="red")
            return False
        tally.adjusted.append(f"{key}: {may['key']} {value:g} instead of {may['target']:g}: {why}")
        told = f"it runs again with {may['key']} {value:g} instead of {may['target']:g}"
        display.display(f"{title}   invalid: {why}; {told}", color="yellow")
        return True

    def _stop_without_lease(self, title: str, pid: int) -> None:
        """Stop a cell that began after its lease was lost, as after a controller's sleep; it becomes a failed one."""
        with contextlib.suppress(controller.errors.ToolError):  # an owner that is away now: the heartbeats go on trying
            if lost := self._leases.confirm():
                display.display(f"{title}   stopped: its lease of {lost} ended while it was started", color="red")
                self._low_level_execute_command(f"kill -TERM {pid}")

    def _watch(self, title: str, path: str, cell: dict[str, Any], *, attached: bool = True) -> None:
        """Wait until an attempt has ended, with a progress line now and then."""
        attempt = Path(self._home, path)
        quick, slow = looks.script(attempt), looks.script(attempt, _SLOW_POLL_SECONDS, _STEP_SECONDS)
        low, high = _LINE_SECONDS
        line_seconds = min(max((cell["expected"] or {}).get("high", 0.0) / 10, low), high)
        began = shown_at = time.monotonic()
        shown_phase = _STARTING
        elapsed_before = self._elapsed(path) if attached else 0.0
        lost_at: float | None = None
        elapsed = elapsed_before
        while True:
            self._goes_on()
            late, looked_at = elapsed >= _SLOW_AFTER_SECONDS, time.monotonic()
            words, lost_at = self._look(slow if late else quick, attempt, lost_at)
            self._leases.beat(title)
            if words[:1] != ["running"] and lost_at is None:
                return
            elapsed = elapsed_before + time.monotonic() - began
            phase = words[1] if len(words) > 1 else ("no answer" if lost_at else _STARTING)
            if phase != shown_phase or time.monotonic() - shown_at >= line_seconds:
                display.display(f"{title}   {phase}  {progress.so_far(elapsed, cell)}")
                shown_at, shown_phase = time.monotonic(), phase
            waits = _STEP_SECONDS if self._connection.transport == "local" else _SLOW_POLL_SECONDS
            pause = waits if late else _POLL_SECONDS
            time.sleep(max(looked_at + pause - time.monotonic(), 0.0))

    def _elapsed(self, path: str) -> float:
        """Ask how long an attempt has been running when this play found it."""
        return float(self._ask("poll", {"path": path}).get("answer", {}).get("elapsed_seconds", 0.0))

    def _look(self, look: str, attempt: Path, lost_at: float | None) -> tuple[list[str], float | None]:
        """Look once; a lost connection is looked over for a while, because the cell does not need it."""
        if self._connection.transport == "local":
            # Controller and SUT share their cores: even two short processes would show in a 99th percentile.
            return looks.here(attempt), None
        asked_at = time.monotonic()
        try:
            return str(self._low_level_execute_command(look)["stdout"]).split(), None
        except AnsibleConnectionFailure:
            lost_at = asked_at if lost_at is None else lost_at
            silent_seconds = time.monotonic() - lost_at
            if silent_seconds >= self._lost_seconds:
                raise AnsibleConnectionFailure(
                    f"the host has not answered for {silent_seconds:.0f} s while it ran a cell; if it is alive "
                    "the cell goes on there (start the plan again: it takes the result, or runs what was lost)"
                ) from None
            self._connection.reset()
            return [], lost_at

    def _show_last_lines(self, path: str) -> None:
        """Show what the cell's process said last; a log's control characters must not reach the terminal."""
        log = shlex.quote(f"{self._home}/{path}/console.log")
        said = str(self._low_level_execute_command(f"tail -n {_LAST_LINES} {log}")["stdout"])
        for line in said.splitlines():
            display.display("    " + "".join(letter if letter.isprintable() else " " for letter in line))


def _cell(planned: dict[str, Any]) -> Any:  # noqa: ANN401  # mlperf_ops.model.Cell, which may not be installed
    return controller.model.Cell(**planned["cell"])


def _retries(given: object) -> int:
    """Read how often a cell may run again."""
    text = str(given).strip()
    if not text.isdigit():
        raise AnsibleActionFail(
            f"retries: expected a whole number from 0, not '{text}' (mlperf_retries of the inventory)"
        )
    return int(text)


def _left_out(count: int) -> str:
    """Say how many cells mlperf_only leaves for another time."""
    return f"mlperf_only leaves out {count} cell{'' if count == 1 else 's'} without a good result"
