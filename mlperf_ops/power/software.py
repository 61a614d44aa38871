"""The measuring software of a round: its checkout, and whether its files are those that the checker accepts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mlperf_ops.catalogue import Catalogue, GitSource
from mlperf_ops.checkout import obtain
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.package_files import Mirror

VARIABLE = "mlperf_power_checkout"
_CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache"}  # that the software itself leaves out


def software(
    catalogue: Catalogue, round_name: str, cache: Path, *, given: str = "", mirror: Mirror | None = None
) -> Path:
    """Return the folder of the software's sources, fetched where need be, with accepted files and no others.

    Args:
        catalogue: Names component and files.
        round_name: The round.
        cache: Folder for fetched checkouts.
        given: The user's checkout, or the URL of a repository; empty for neither.
        mirror: May hold the commit.

    Raises:
        ConfigError: A file is not what the round's checker accepts, or what the user gave is no checkout.
        ToolError: It can be had nowhere.
    """
    rules = catalogue.round(round_name).power
    component = catalogue.component(rules.software)
    source = component.source
    if not isinstance(source, GitSource):
        raise ConfigError(f"component '{component.name}' is no git checkout")
    found = obtain(component, cache, given=given, mirror=mirror, variable=VARIABLE, what=f"{source.repository}")
    if found.path is None:
        raise ToolError(
            found.note,
            hint=f"{VARIABLE}: a checkout of {source.repository} at commit {source.commit[:12]}, or a URL of it",
        )
    folder = found.path / source.folder
    problem = source_problem(source_sums(folder), rules.sources)
    if problem:
        raise ConfigError(
            f"{folder}: {problem}, and the official checker rejects every result that it measures",
            hint=f"check out commit {source.commit[:12]} of {source.repository} anew, without line-end conversion",
        )
    return folder


def source_sums(folder: Path) -> dict[str, str]:
    """Return name -> sha1 of all Python files below a folder, as the software itself lists them."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in sorted(folder.rglob("*.py"))
        if not _CACHES & set(path.relative_to(folder).parts)
    }


def source_problem(found: Mapping[str, str], accepted: tuple[dict[str, str], ...]) -> str:
    """Say which file is not as accepted; empty when a whole set is. Of several sets the nearest is compared."""
    if dict(found) in accepted:
        return ""
    wanted = min(accepted, key=lambda one: len(set(one.items()) ^ set(found.items())))
    for name in sorted({*wanted, *found}):
        if name not in found:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is not part of the software"
        if found[name] != wanted[name]:
            return f"{name} was changed"
    return "it is empty"
