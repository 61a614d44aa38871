"""Measurements that the rules rejected as soon as they were here: `results/<run>/hosts/<host>/rejected_power.json`.

LoadGen's verdict of such an attempt is valid and its files stay as they are; the note lets the next run measure its
cell again. Whoever wants to keep an attempt all the same removes the note.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from mlperf_ops.errors import MlperfOpsError
from mlperf_ops.files import Json, read_json, write_json

NOTE = "rejected_power.json"


def note(host: Path, place: str, reasons: list[str]) -> None:
    """Note that an attempt's measurement was rejected.

    Args:
        host: results/<run>/hosts/<host>.
        place: The attempt's folder below it.
        reasons: One sentence each.

    Raises:
        ToolError: The note cannot be written.
    """
    attempts = {**rejected(host), place: reasons}
    write_json(host / NOTE, {"schema": 1, "attempts": cast("Json", attempts)})


def rejected(host: Path) -> dict[str, list[str]]:
    """Return the rejected attempts of a host, by their folders below it; a damaged note rejects nothing."""
    try:
        attempts = read_json(host / NOTE).get("attempts") if (host / NOTE).is_file() else None
    except MlperfOpsError:
        return {}
    found = attempts.items() if isinstance(attempts, dict) else ()
    return {place: [str(reason) for reason in reasons] for place, reasons in found if isinstance(reasons, list)}
