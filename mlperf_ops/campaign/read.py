"""Find the results folder of a campaign and read the controller's files of it. Only reads."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlperf_ops.campaign.model import Play
from mlperf_ops.errors import ConfigError, ResultError
from mlperf_ops.lab_source import InventorySource
from mlperf_ops.lab_vars import PREFIX
from mlperf_ops.plan_model import SMOKE_SUFFIX, Plan, run_name
from mlperf_ops.run_plan import IMPORTS, PLAN, read_plan
from mlperf_ops.runlock import OWNER_FILE, is_alive, read_owner
from mlperf_ops.wording import utc

_SHOWN = 6


def find_run(inventory: str | None, results: Path | None) -> Path:
    """Return the results folder that the user means: the one given, that of the inventory, or the only one there is.

    Of several the one is meant that a play works on, and a smoke run is not.

    Raises:
        ConfigError: There is no such folder, or several.
    """
    if results is not None:
        return _with_plan(results, f"mlperf-ops plan --results {results} -i INVENTORY")
    if inventory is not None:
        path = Path(inventory)
        if not path.exists():
            raise ConfigError(
                f"there is no inventory at {inventory}", hint="start from inventory/local or inventory/lab"
            )
        return _with_plan(Path("results", run_id(path)), f"mlperf-ops plan -i {inventory}")
    found = sorted({path.parent for name in (PLAN, IMPORTS) for path in Path("results").glob(f"*/{name}")})
    # Of several, the one that a play works on is meant, or else the one that is no smoke run.
    meant = [run for run in found if (owner := read_owner(run)) is not None and is_alive(owner)]
    meant = meant or [run for run in found if not run.name.endswith(SMOKE_SUFFIX)] or found
    if len(meant) == 1:
        return meant[0]
    if not found:
        raise ConfigError("there is no plan below results/", hint="mlperf-ops plan -i INVENTORY makes one")
    names = ", ".join(folder.name for folder in meant[:_SHOWN])
    raise ConfigError(f"results/ holds several runs: {names}", hint="name one by --inventory or --results")


def run_id(inventory: Path) -> str:
    """Return the run id as the plan finds it, where the inventory writes it out."""
    folder = inventory if inventory.is_dir() else inventory.parent
    source = InventorySource(folder, str(inventory))
    given = source.literal(f"{PREFIX}run_id")
    name = str(given) if given is not None else folder.resolve().name
    return run_name(name, smoke=source.literal(f"{PREFIX}smoke"))


def flags_of(run: Path, inventory: str, given: Path | None) -> tuple[str, ...]:
    """Return the words that let a command of an inventory find a run: none where the inventory alone does.

    Args:
        run: The results folder.
        inventory: As the commands name it.
        given: The results folder as the user wrote it; None: it was found.
    """
    if given is not None:
        return ("--results", str(given))
    path = Path(inventory)
    alone = path.exists() and Path("results", run_id(path)) == run
    return () if alone else ("--results", str(run))


def _with_plan(run: Path, how: str) -> Path:
    if any((run / name).is_file() for name in (PLAN, IMPORTS)):
        return run
    smoke = run.with_name(run.name + SMOKE_SUFFIX)
    there = f"; its smoke run is shown by --results {smoke}" if (smoke / PLAN).is_file() else ""
    raise ConfigError(f"there is no plan in {run}", hint=f"{how} makes it{there}")


def plan_and_play(run: Path) -> tuple[Plan, Play | None]:
    """Return the plan of a results folder, and who works on it now.

    Raises:
        ResultError: The plan cannot be read.
    """
    owner = read_owner(run)
    play = None
    if owner is not None and is_alive(owner):
        with contextlib.suppress(FileNotFoundError):  # it has ended just now
            play = Play(owner.pid, owner.command, utc((run / OWNER_FILE).stat().st_mtime))
    try:
        return read_plan(run), play
    except ResultError as error:
        raise ResultError(error.message, hint=error.hint or "plan again: mlperf-ops plan -i INVENTORY") from error
