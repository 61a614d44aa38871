"""Action: run the cells of the plan that have no good result on this host, one after another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import (
    adjusted,
    busy,
    controller,
    early,
    fetch,
    launch,
    leases,
    power_session,
    progress,
    smoke,
    tuned,
    turns,
    watch,
)

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import only

_MODULE = "mlperf_ops.lab.loadgen_agent"
_AGAIN_SECONDS = 5.0

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """Ask the host's agent which cells are needed; start, watch and report each of them."""

    _variables: dict[str, Any]
    _name: str
    _home: str
    _run: Path
    _question: dict[str, Any]
    _goes_on: Callable[[], None]
    _lost_seconds = 0.0  # how long the host may be silent; before any cell of it has its turn, not at all
    _tuning: tuned.CellTuning
    _launcher: launch.Launcher
    _leases: leases.Leases
    _power: power_session.PowerSessions
    _early: early.EarlyCopies
    _watch: watch.Watch
    _targets: adjusted.Targets
    _tally: progress.Tally

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run what is needed; a failed cell does not keep the next one from running."""
        self._variables = task_vars or {}
        self._name = self._variables["inventory_hostname"]
        self._goes_on = fetch.play_goes_on()  # a worker of a killed play must not start the next cell
        result: dict[str, Any] = super().run(tmp, self._variables)
        given = controller.plain(self._task.args)
        self._run = controller.run_folder(given.get("results", ""), self._variables)
        plan = controller.read_plan(self._run, check_mode=self._task.check_mode)
        try:
            return {**result, **self._ran(plan, controller.host_of(plan, self._name), given)}
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001  # as Ansible's own actions do

    def _ran(self, plan: dict[str, Any], host: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Run what is needed of the plan, and return what the task says of it."""
        cells = controller.in_turn(controller.planned_cells(plan, self._name), host)
        wanted, retries = only.patterns_of(given.get("only") or []), turns.retries_of(given.get("retries", 1))
        beside = {"host_state": host.get("host_state", {}), "unofficial_energy": host.get("unofficial_energy", [])}
        rejected = power_session.rejected_paths(plan, self._run, host)
        self._question = {**controller.question(plan, cells), **beside, **rejected}
        self._home = host["home"]
        answer = self._ask("status", self._question)
        if answer.get("failed"):
            return answer
        self._home = answer["home"]
        self._tuning = tuned.CellTuning(self, self._variables, self._home, host, answer.get("tuned"))
        self._launcher = launch.Launcher(self, self._variables, self._ask, given.get("launcher", "auto"))
        todo = turns.Turns(self._name, cells, answer["answer"]["cells"], wanted, retries)
        self._tell_what_does_not_run(todo, smoke_run=bool(plan.get("smoke")))
        if self._task.check_mode or not todo.keys:
            return {"cells": len(cells), **self._nothing_ran(todo)}
        self._prepare(plan, host, float(given.get("lost_seconds", 600)))
        self._all(todo)
        if told := self._tuning.finish(ran=True):
            self._tally.failed.append(told)
        self._early.bring_rest()
        keep_going = boolean(given.get("keep_going", False))
        return {"cells": len(cells), **self._tally.outcome(len(cells), plan["run_style"], keep_going=keep_going)}

    def _prepare(self, plan: dict[str, Any], host: dict[str, Any], lost_seconds: float) -> None:
        """Make ready what cells need beside their host."""
        of_plan = (self._play_context, self._variables, plan, self._run, self._name)
        self._lost_seconds = lost_seconds
        self._leases, self._power = leases.Leases(*of_plan), power_session.PowerSessions(*of_plan)
        self._tally = progress.Tally(smoke=bool(plan.get("smoke")))
        self._early = early.EarlyCopies(self, self._home, self._run, plan, host)
        self._targets = adjusted.Targets(self._run, self._variables, self._early, self._tally)
        self._watch = watch.Watch(self, self._home, lost_seconds, self._goes_on, self._leases.beat)

    def _tell_what_does_not_run(self, todo: turns.Turns, *, smoke_run: bool) -> None:
        """Say which cells cannot run, and how many are not to."""
        smoke.tell_lacking(self._run, self._name, todo)
        if smoke_run and not self._task.check_mode:
            smoke.note_left_out(self._run, self._name, todo)
        if count := len(todo.left_out("good", "lacking")):
            cells = f"{count} cell{'' if count == 1 else 's'}"
            display.display(f"{self._name}  mlperf_only leaves out {cells} without a good result")

    def _nothing_ran(self, todo: turns.Turns) -> dict[str, Any]:
        """Return what the task says in check mode, and where no cell has to run."""
        count, check_mode = len(todo.keys), self._task.check_mode
        if told := "" if check_mode else self._tuning.finish(ran=False):
            return {"failed": True, "msg": told}
        message = f"{count} of {len(todo.cells)} cells {'would' if check_mode else 'have to'} run"
        if count:
            display.display(f"{self._name}  {message}")
        diff = {"before": "", "after": "".join(f"{key}\n" for key in todo.keys)}
        return {"changed": bool(count), "msg": message, "diff": diff}

    def _ask(self, verb: str, question: dict[str, Any]) -> dict[str, Any]:
        """Ask the agent; what is asked twice does no harm.

        Raises:
            AnsibleConnectionFailure: The host is away; once its cells have their turns, for as long as beside a cell.
        """
        arguments = {"home": self._home, "verb": verb, "question": question}
        began = time.monotonic()
        while True:
            self._goes_on()
            try:
                return dict(
                    self._execute_module(
                        module_name=_MODULE, module_args=arguments, task_vars=self._variables, wrap_async=False
                    )
                )
            except AnsibleConnectionFailure:
                if time.monotonic() - began >= self._lost_seconds:
                    raise
                self._connection.reset()
                time.sleep(_AGAIN_SECONDS)

    def _states(self, places: Iterable[int]) -> list[dict[str, Any]]:
        """Ask what the host says of some cells; [] when it cannot tell."""
        cells = [self._question["cells"][at] for at in places]
        told = self._ask("status", {**self._question, "cells": cells})
        return [] if told.get("failed") else list(told["answer"]["cells"])

    def _all(self, todo: turns.Turns) -> None:
        """Run cells one after another. Another controller may work on the same plan: its cells are attached to."""
        while turn := todo.turn():
            self._leases.begin(turn.cell, self._home)
            try:
                follows, why_not = self._one(turn), None
            except controller.errors.MlperfOpsError as error:
                follows, why_not = turns.Follows.NEXT, error
            finally:
                self._power.end(turn.title, self._leases)
                self._leases.give_back(turn.title)
            if why_not:
                self._did_not_start(todo, turn, why_not)
            elif follows is turns.Follows.AGAIN:
                todo.again()
                self._tuning.forget()  # the host may have rebooted
            elif follows is turns.Follows.ANEW:
                self._plan_anew(todo)
            else:
                todo.over()

    def _did_not_start(self, todo: turns.Turns, turn: turns.Turn, why: Exception) -> None:
        """Give the turn to what the host runs already: another controller may have been faster, or another run."""
        todo.states = self._states(range(len(todo.cells))) or todo.states
        running = todo.running()
        if running is None and isinstance(why, controller.errors.BusyError):
            title = f"{self._name}  {turn.place}"
            busy.until_free(self, title, self._home, self._goes_on, lost_seconds=self._lost_seconds)
            # The other run may have tuned the host meanwhile.
            self._tuning.told(self._ask("status", {**self._question, "cells": []}).get("tuned"))
        elif running is None:
            self._tally.note_lost(turn.title, turn.key, str(why))
            todo.over()
        elif not todo.put_first(running):  # not of this play's cells: this one's turn comes after it
            title, path = f"{self._name}  {turn.place}  waits", todo.states[running]["path"]
            self._watch.until_end(title, path, todo.cells[running], self._elapsed(path))

    def _plan_anew(self, todo: turns.Turns) -> None:
        """Take over what a new plan changes of the cells, and what the host says of these."""
        plan = controller.read_plan(self._run, check_mode=False)
        changed = todo.plan_anew(controller.planned_cells(plan, self._name))
        self._question["cells"] = controller.question(plan, todo.cells)["cells"]
        states = self._states(changed) or [{"state": "needed"} for _ in changed]
        todo.go_on(dict(zip(changed, states, strict=True)))

    def _one(self, turn: turns.Turn) -> turns.Follows:
        """Start a cell, or re-attach to it, and wait for its end.

        Raises:
            MlperfOpsError: Why it did not start.
        """
        if turn.retries and self._adjusted_before(turn):
            return turns.Follows.ANEW
        self._goes_on()
        state = self._begun(turn)
        if state is None:
            return turns.Follows.NEXT
        path = state["path"]
        elapsed = self._elapsed(path) if state["state"] == "running" else 0.0
        self._watch.until_end(turn.title, path, turn.cell, elapsed)
        return self._ended(turn, path)

    def _adjusted_before(self, turn: turns.Turn) -> bool:
        """Take what an attempt of an earlier play says of the target; tell whether the plan is another one now."""
        if not adjusted.was_missed(turn.cell, turn.state):
            return False
        path = turn.state["path"]
        told = self._ask("poll", {"path": path})
        return not told.get("failed") and self._targets.adjust(turn.title, turn.cell, path, told["answer"])

    def _begun(self, turn: turns.Turn) -> dict[str, Any] | None:
        """Start a cell, or re-attach to it; return its state, None where another controller has run it meanwhile."""
        state, expected = turn.state, progress.expected(turn.cell)

        def elsewhere() -> bool:
            """Ask again: another controller may have started, or finished, this very cell meanwhile."""
            nonlocal state
            state = (self._states([turn.at]) or [state])[0]
            return bool(state["state"] != "needed")

        mine = state["state"] == "running" or self._leases.take(turn.title, elsewhere, self._goes_on)
        if not mine and state["state"] == "good":
            display.display(f"{turn.title}   another controller has run it meanwhile", color="green")
            return None
        if state["state"] == "running":
            self._leases.adopt(turn.title)
            self._power.adopt(turn.cell)
            self._tuning.forget()
            display.display(f"{turn.title}   re-attached to {state['attempt']}, expected {expected}")
            return state
        display.display(f"{turn.title}   {watch.STARTING}, expected {expected}")
        return self._started(turn)

    def _started(self, turn: turns.Turn) -> dict[str, Any]:
        """Start a cell on a host that is as it needs it; return its state."""
        with self._leases.kept():
            told = self._tuning.prepare(turn.cell["request"]) or self._power.start(turn.title, turn.cell)
        if told:
            raise controller.errors.ToolError(told)
        if lost := self._leases.confirm():
            raise controller.errors.ToolError(f"its lease of {lost} ended before it began (run again)")
        question = {**self._question, "cells": [], "cell": self._question["cells"][turn.at]}
        started = self._launcher.start(turn.title, question)
        if started.get("failed"):
            kind = controller.errors.BusyError if started.get("busy") else controller.errors.ToolError
            raise kind(str(started["msg"]))
        state: dict[str, Any] = started["answer"]
        if state["state"] == "started":
            self._stop_without_lease(turn.title, int(state["pid"]))
        else:
            display.display(f"{turn.title}   another controller has started it: {state['attempt']}")
        return state

    def _stop_without_lease(self, title: str, pid: int) -> None:
        """Stop a cell that began after its lease was lost, as after a controller's sleep; it becomes a failed one."""
        with contextlib.suppress(controller.errors.ToolError):  # an owner that is away now: the heartbeats go on trying
            if lost := self._leases.confirm():
                display.display(f"{title}   stopped: its lease of {lost} ended while it was started", color="red")
                self._low_level_execute_command(f"kill -TERM {pid}")

    def _elapsed(self, path: str) -> float:
        """Ask how long an attempt has been running when this play found it."""
        return float(self._ask("poll", {"path": path}).get("answer", {}).get("elapsed_seconds", 0.0))

    def _ended(self, turn: turns.Turn, path: str) -> turns.Follows:
        """Report an attempt that has ended, and say what follows."""
        told = self._ask("poll", {"path": path})
        if told.get("failed"):
            self._tally.ran += 1
            self._tally.failed.append(f"{turn.key}: {told['msg']}")
            return turns.Follows.NEXT
        answer = told["answer"]
        self._leases.ended = answer["state"] != "running"
        if turn.retries and turns.may_not_come_again(answer):
            self._tally.note_retried(turn.title, turn.key, answer, turn.retries)
            return turns.Follows.AGAIN
        if turn.retries and self._targets.adjust(turn.title, turn.cell, path, answer):
            return turns.Follows.ANEW
        self._tally.ran += 1
        if self._tally.note(turn.title, turn.key, answer) == "failed":
            self._watch.show_last_lines(path)
        if answer["state"] == "ended":
            self._early.bring(turn.key, path)
            self._tally.invalid += self._power.judge(turn.title, turn.cell, path, answer["verdict"])
        return turns.Follows.NEXT
