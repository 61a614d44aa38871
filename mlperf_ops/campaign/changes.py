"""What differs between the request of a plan and the spec that was run. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mlperf_ops.files import Json

_FILLED_BY_HOST = {("packages",)}


def changes(wanted: Json, ran: Json) -> list[str]:
    """Name the keys that differ, without what the host fills in: "backend.max_batch", "loadgen.user_conf"."""
    return sorted({".".join(path[:2]) for path in _differences(wanted, ran, ())})


def _differences(wanted: Json, ran: Json, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    if path in _FILLED_BY_HOST or (path and path[-1] in {"path", "sha256"} and wanted == ""):
        return []
    if isinstance(wanted, Mapping) and isinstance(ran, Mapping):
        keys = sorted({*wanted, *ran})
        return [one for key in keys for one in _differences(wanted.get(key), ran.get(key), (*path, key))]
    if isinstance(wanted, list | tuple) and isinstance(ran, list | tuple):
        return [] if list(wanted) == list(ran) else [path]
    return [] if wanted == ran else [path]
