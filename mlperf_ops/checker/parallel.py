"""Judge units on all cores: forked processes, in the order of the tree; the end of a process does not end the check."""

from __future__ import annotations

import dataclasses
import multiprocessing
import operator
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeAlias

from mlperf_ops.checker.model import CheckedResult, Finding
from mlperf_ops.checker.rules import Family
from mlperf_ops.checker.subjects import Submission
from mlperf_ops.checker.units import Outcome, Unit, broken_unit, run_unit

_CHUNK = 24  # units; a few dozen logs
_WORTH_A_PROCESS = 48  # units; below, a fork costs more than it saves

# An outcome as it is sent: values alone, which is quicker than objects.
_Plain: TypeAlias = tuple[list[tuple[Any, ...]], tuple[Any, ...] | None, tuple[str, ...], tuple[str, ...], Any]
_of_finding = operator.attrgetter(*(field.name for field in dataclasses.fields(Finding)))
_of_row = operator.attrgetter(*(field.name for field in dataclasses.fields(CheckedResult)))

# What forked processes inherit instead of receiving it.
_inherited: tuple[Submission, tuple[Family, ...]] | None = None


def judge(
    submission: Submission, families: tuple[Family, ...], units: Sequence[Unit], processes: int | None = None
) -> Iterator[Outcome]:
    """Yield the outcome of each unit, in order.

    Args:
        submission: The tree and the round.
        families: Rules to apply.
        units: What to judge.
        processes: How many processes; None: one a core where that is worth it.
    """
    wanted = processes or (cores() if len(units) >= _WORTH_A_PROCESS else 1)
    if wanted < 2 or not can_fork():  # noqa: PLR2004  # one process is this one
        for unit in units:
            yield run_unit(submission, families, unit)
        return
    global _inherited  # noqa: PLW0603  # the fork copies it; nothing else reads it
    _inherited = (submission, families)
    chunks = [units[start : start + _CHUNK] for start in range(0, len(units), _CHUNK)]
    try:
        yield from _forked(chunks, wanted)
    finally:
        _inherited = None


def can_fork() -> bool:
    """Whether forking is possible, safe and of use: a fork of a process with threads may hang."""
    return "fork" in multiprocessing.get_all_start_methods() and _threads() == 1 and cores() > 1


def _threads() -> int:
    """Return how many threads this process has, those of libraries included where the system tells."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forked(chunks: Sequence[Sequence[Unit]], processes: int) -> Iterator[Outcome]:
    broken: list[int] = []
    done: dict[int, list[Outcome]] = {}
    texts: dict[Any, Any] = {}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        futures: dict[int, Future[list[_Plain]]] = {}
        for number in range(len(chunks)):
            try:
                for later in range(number, len(chunks)) if number not in futures else ():
                    futures[later] = pool.submit(_run, chunks[later])
                # What was sent is let go of: it would be held twice until the end.
                outcomes = [_told(plain, texts) for plain in futures.pop(number).result()]
            except BrokenProcessPool:  # a process was killed, such as for its memory
                broken.append(number)
                continue
            if broken:
                done[number] = outcomes
            else:
                yield from outcomes
    for number in range(broken[0], len(chunks)) if broken else ():
        yield from done[number] if number in done else _one_by_one(chunks[number])


def _one_by_one(chunk: Sequence[Unit]) -> Iterator[Outcome]:
    """Judge each unit in a process of its own, after one of them ended a shared one."""
    for unit in chunk:
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
            try:
                yield from [_told(plain, {}) for plain in pool.submit(_run, [unit]).result()]
            except BrokenProcessPool:
                yield broken_unit(unit, "the process that judged it was ended, perhaps for want of memory")


def _told(plain: _Plain, texts: dict[Any, Any]) -> Outcome:
    """Return an outcome that was sent; `texts` has each text once, as most findings say what others say."""
    findings, row, *rest = plain
    same: list[list[Any]] = [[texts.setdefault(value, value) for value in one] for one in findings]
    made = tuple([Finding(*values) for values in same])
    if row is None:
        return Outcome(made, None, *rest)
    values: list[Any] = [texts.setdefault(value, value) if isinstance(value, str) else value for value in row]
    return Outcome(made, CheckedResult(*values), *rest)


def _run(units: Sequence[Unit]) -> list[_Plain]:
    if _inherited is None:
        raise RuntimeError("only forked processes of `judge` run this")
    submission, families = _inherited
    return [_plain(run_unit(submission, families, unit)) for unit in units]


def _plain(outcome: Outcome) -> _Plain:
    row = None if outcome.row is None else _of_row(outcome.row)
    return [_of_finding(finding) for finding in outcome.findings], row, outcome.folders, outcome.files, outcome.facts
