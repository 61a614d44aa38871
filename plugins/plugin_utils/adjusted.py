"""Plan a cell again with a better target, where mlperf_adjust_targets allows it and its log says which."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, early, planning, progress

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import adjusted_files, adjusting

_LOCK = ".adjusting.lock"
display = Display()


class Targets:
    """The targets of a host's cells, where the play may adjust them."""

    def __init__(
        self, run: Path, variables: Mapping[str, Any], copies: early.EarlyCopies, tally: progress.Tally
    ) -> None:
        """Keep the results folder, the variables of any host, and who brings and who counts the attempts."""
        self._run, self._variables, self._copies, self._tally = run, variables, copies, tally

    def adjust(self, title: str, planned: Mapping[str, Any], path: str, answer: Mapping[str, Any]) -> bool:
        """Plan a cell again with the target that its INVALID attempt suggests; tell whether it was.

        Args:
            title: Of the cell, in progress lines.
            planned: The cell of the plan.
            path: The attempt's folder below mlperf_home.
            answer: What the host says of the attempt.
        """
        value = next_target(planned, answer)
        if isinstance(value, str):
            if value:
                display.display(f"{title}   its target is not adjusted: {value}")
            return False
        key, may = controller.cell_key(planned["cell"]), planned["adjustable"]
        self._copies.bring(key, path)
        try:
            plan_again(self._run, self._variables, planned, path, answer, value)
        except AnsibleActionFail as error:  # the other cells can do without
            display.display(f"{title}   its target is not adjusted: {error.message}", color="red")
            return False
        self._tally.note_adjusted(title, key, f"{may['key']} {value:g} instead of {may['target']:g}", answer)
        return True


def was_missed(planned: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Tell whether an attempt of an earlier play may say what to adjust, so that it is not missed once more."""
    return bool(planned.get("adjustable")) and state["state"] == "needed" and state.get("verdict") == "invalid"


def next_target(planned: Mapping[str, Any], answer: Mapping[str, Any]) -> float | str:
    """Return the target that a cell may be tried with next, or why there is none; "" where nothing was asked.

    Args:
        planned: The cell of the plan.
        answer: What the host says of the attempt that has ended.
    """
    may, told = planned.get("adjustable"), answer.get("target")
    if not may or answer["verdict"] != "invalid" or not told:
        return ""
    if answer.get("tainted"):
        return "its host drifted, so that its figures are not to be trusted"
    if told["key"] is None:
        return str(told["why"])
    if told["key"] != may["key"] or told["value"] == may["target"]:
        return "no better target follows from its log"
    return float(told["value"])


def plan_again(
    run: Path,
    variables: Mapping[str, Any],
    planned: Mapping[str, Any],
    path: str,
    answer: Mapping[str, Any],
    value: float,
) -> None:
    """Record the target of a cell and write the plan that uses it.

    Hosts do this one after another: a plan that was made before another host's record would take that one back.

    Raises:
        AnsibleActionFail: The plan cannot be made, in one sentence.
    """
    cell, may = planned["cell"], planned["adjustable"]
    adjustment = adjusting.Adjustment(
        benchmark=cell["benchmark"],
        scenario=cell["scenario"],
        run_style=planned["request"]["run_style"],
        key=may["key"],
        basis=may["basis"],
        was=may["target"],
        value=value,
        attempt=path,
        reason="; ".join(answer["reasons"]),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    with controller.sentences(), _alone(run):
        adjusted_files.add(run, planned["host"], adjustment)
        controller.mlperf_ops(["plan", "--vars=-", f"--results={run}"], stdin=planning.lab(variables))


@contextlib.contextmanager
def _alone(run: Path) -> Iterator[None]:
    controller.runlock.acquire(run)
    with (run / _LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
