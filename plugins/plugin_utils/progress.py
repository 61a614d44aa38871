"""What a play says of its cells: progress lines, verdicts, and the outcome of a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.utils.display import Display

display = Display()


@dataclass(slots=True)
class Tally:
    """What became of the cells of a host; in a smoke run they need not be valid, only run."""

    smoke: bool = False

    ran: int = 0
    invalid: list[str] = field(default_factory=list)
    tainted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)

    def note(self, title: str, key: str, answer: dict[str, Any]) -> str:
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
            self.tainted.append(f"{key}: {tainted}")
            if verdict == "valid":
                display.display(f"{title}   valid but tainted{figure}{elapsed}: {tainted}", color="yellow")
                return verdict
            reasons += f"; tainted: {tainted}"
        if verdict == "valid":
            display.display(f"{title}   {'runs' if self.smoke else 'valid'}{figure}{elapsed}", color="green")
            return verdict
        color = "red" if verdict == "failed" else "yellow"
        display.display(f"{title}   {verdict}{figure}{elapsed}: {reasons}", color=color)
        (self.failed if verdict == "failed" else self.invalid).append(f"{key}: {reasons}")
        return verdict

    def note_lost(self, title: str, key: str, why: str) -> None:
        """Show and keep why a cell did not start."""
        self.failed.append(f"{key}: {why}")
        display.display(f"{title}   failed: {why}", color="red")

    def note_retried(self, title: str, key: str, answer: Mapping[str, Any], retries: int) -> None:
        """Show and keep why a cell runs again after a failure, and how often it may."""
        why = "; ".join(answer["reasons"])
        self.retried.append(f"{key}: {why}")
        display.display(f"{title}   failed: {why}; it runs again ({retries} left)", color="yellow")

    def note_adjusted(self, title: str, key: str, change: str, answer: Mapping[str, Any]) -> None:
        """Show and keep why a cell runs again with another target."""
        why = "; ".join(answer["reasons"])
        self.adjusted.append(f"{key}: {change}: {why}")
        display.display(f"{title}   invalid: {why}; it runs again with {change}", color="yellow")

    def outcome(self, planned: int, run_style: str, *, keep_going: bool) -> dict[str, Any]:
        """Say what the task returns: failed cells fail the host, invalid ones only where runs are meant to be valid."""
        bad = self.failed + (self.invalid if run_style == "valid" else [])
        summary = f"{self.ran} of {planned} cells ran, {len(self.invalid)} invalid, {len(self.failed)} failed"
        if self.retried:
            summary += f", {len(self.retried)} run again after a failure"
        if self.adjusted:
            summary += f", {len(self.adjusted)} run again with another target"
        if self.tainted:
            summary += f", {len(self.tainted)} tainted"
        told: dict[str, Any] = {
            "changed": bool(self.ran),
            "invalid": self.invalid,
            "failed_cells": self.failed,
            "tainted": self.tainted,
            "retried": self.retried,
            "adjusted": self.adjusted,
        }
        if bad and not keep_going:
            return {**told, "failed": True, "msg": f"{summary}: " + "; ".join(bad)}
        return {**told, "msg": summary}


def words(cell: Mapping[str, Any]) -> str:
    """Return a cell in the words of the progress lines."""
    return " ".join(cell["cell"][part] for part in ("benchmark", "scenario", "mode"))


def expected(cell: Mapping[str, Any]) -> str:
    """Return the plan's expectation in words."""
    seconds = cell["expected"]
    if not seconds:
        return "unknown duration"
    if guess := seconds.get("guess"):
        return f"a duration that the size of your {guess['dataset']} decides"
    low, high = round(seconds["low"]), max(1, round(seconds["high"]))
    return f"about {high} s" if low >= high - 1 else f"{low} to {high} s"


def so_far(elapsed: float, cell: Mapping[str, Any]) -> str:
    """Return the elapsed time beside the expectation, also when it was wrong; alone where that is a guess."""
    if cell["expected"] and cell["expected"].get("guess"):
        return f"{elapsed:.0f} s"
    late = cell["expected"] and elapsed > cell["expected"]["high"]
    words = expected(cell)
    return f"{elapsed:.0f} s, longer than expected ({words})" if late else f"{elapsed:.0f} s of {words}"
