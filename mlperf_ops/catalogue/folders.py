"""Where catalogue entries are: the built-in folder, then those that MLPERF_OPS_CATALOGUE names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlperf_ops.errors import ConfigError, unknown_name

ENVIRONMENT = "MLPERF_OPS_CATALOGUE"
BUILT_IN = Path(__file__).parent
_FOLDERS = (
    *("rounds", "earlier_rounds", "benchmarks", "implementations"),
    *("components", "platforms", "scorers", "durations", "locks"),
)


def more_folders() -> tuple[Path, ...]:
    """Return the folders that the environment names."""
    return tuple(Path(part) for part in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if part)


def all_folders(more: Sequence[Path]) -> Iterator[Path]:
    """Yield the built-in folder and the others.

    Raises:
        ConfigError: One of the others does not exist, or holds what no catalogue holds.
    """
    yield BUILT_IN
    for folder in more:
        if not folder.is_dir():
            raise ConfigError(f"catalogue folder {folder} does not exist", hint=f"check {ENVIRONMENT}")
        _refuse_unknown_folders(folder)
        yield folder


def yaml_files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files of a folder."""
    yield from sorted(path for path in folder.glob("*") if path.suffix in {".yaml", ".yml"})


def lock_files(folder: Path) -> list[Path]:
    """Return the Python locks of a catalogue folder."""
    return sorted((folder / "locks").glob("*.txt"))


def _refuse_unknown_folders(folder: Path) -> None:
    """A mistyped folder would be a catalogue that is silently empty."""
    for path in sorted(folder.iterdir()):
        if path.suffix in {".yaml", ".yml"}:
            raise ConfigError(f"{path}: a catalogue file belongs into one of the folders {', '.join(_FOLDERS)}")
        if path.is_dir() and path.name not in _FOLDERS and not path.name.startswith((".", "_")):
            raise unknown_name("catalogue folder", path.name, _FOLDERS, where=str(folder))
