"""Which cell somebody means. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mlperf_ops.campaign.model import CellStatus
from mlperf_ops.errors import ConfigError, unknown_name

_SHOWN = 6


def find_cell(cells: Sequence[CellStatus], name: str, host: str | None = None) -> CellStatus:
    """Return the cell of a name as every screen prints it, or of an end of it that only one cell has.

    Raises:
        ConfigError: No cell, or several; names the nearest.
    """
    hosts = {cell.host for cell in cells}
    if host is not None and host not in hosts:
        raise unknown_name("host", host, hosts, where="--host")
    mine = [cell for cell in cells if host in {None, cell.host}]
    wanted = name.strip("/").casefold()
    found = [cell for cell in mine if cell.key.casefold() == wanted]
    if not found:
        found = [cell for cell in mine if f"/{cell.key}".casefold().endswith(f"/{wanted}")]
    if not found:
        raise unknown_name("cell", name, {cell.key for cell in mine})
    if len(found) == 1:
        return found[0]
    keys = list(dict.fromkeys(cell.key for cell in found))
    if len(keys) == 1:
        names = ", ".join(cell.host for cell in found)
        raise ConfigError(f"several hosts measure {keys[0]}: {names}", hint="name one with --host")
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    raise ConfigError(f"'{name}' stands for several cells: {', '.join(keys[:_SHOWN])}{more}", hint="write more of it")
