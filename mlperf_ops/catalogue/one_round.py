"""One round without the rest of the catalogue, which takes ten times as long to read: for the checker."""

from __future__ import annotations

from mlperf_ops.catalogue.folders import all_folders, lock_files, more_folders, yaml_files
from mlperf_ops.catalogue.problems import validate
from mlperf_ops.catalogue.round import Round
from mlperf_ops.catalogue.round_references import of_round
from mlperf_ops.yamlfile import load_yaml_with_lines


def load_round(name: str, where: str = "") -> Round:
    """Return a round of the catalogue, as `load_catalogue().round` does; mistakes in other entries are not seen.

    Args:
        name: Its name.
        where: Where the name was written.

    Raises:
        ConfigError: There is no such round, or a mistake in it.
    """
    folders = list(all_folders(more_folders()))
    paths = [path for folder in folders for path in yaml_files(folder / "rounds") if path.stem == name]
    if len(paths) == 1:
        data, locate = load_yaml_with_lines(paths[0])
        found = validate(Round, data, paths[0], locate)
        locks = {path.name for folder in folders for path in lock_files(folder)}
        if found.name == name and all(reference.name in reference.known for reference in of_round(found, locks)):
            return found
    from mlperf_ops.catalogue.loader import load_catalogue  # noqa: PLC0415  # imports the schemas of everything

    return load_catalogue().round(name, where)  # says what is wrong
