"""What a play says of the cells that a smoke run cannot run, and what it keeps of those that it is not to run."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, progress, turns

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops import smoke_files

display = Display()


def tell_lacking(run: Path, name: str, cells: turns.Turns) -> None:
    """Say which cells of a host cannot run; what provisioning has said of their inputs is the reason."""
    with controller.sentences():
        lacking = smoke_files.read_lacking(run).get(name, {})
    told = (
        (progress.words(cell), smoke_files.why_lacking(cell["request"], lacking) or "; ".join(state["reasons"]))
        for cell, state in zip(cells.cells, cells.states, strict=True)
        if state["state"] == "lacking"
    )
    for why, names in smoke_files.grouped(told).items():
        display.display(f"{name}  cannot run {', '.join(names)}: {why}", color="red")


def note_left_out(run: Path, name: str, cells: turns.Turns) -> None:
    """Keep for the verdict of a smoke run which cells mlperf_only leaves without a result."""
    with controller.sentences():
        controller.runlock.acquire(run)
        smoke_files.note_left_out(run, name, cells.left_out("good"))
