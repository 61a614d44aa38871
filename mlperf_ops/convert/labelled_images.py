"""Images whose file names hold their labels: a folder with the files and a label file in LoadGen's form."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import Json


def convert(members: tuple[Path, ...], options: Mapping[str, Json], folder: Path, name: str) -> Path:
    """Copy the files, sorted by name, and write the label file with one line "<file name> <class index>" each.

    Args:
        members: The images.
        options: `pattern`, a regular expression with the group `label` that every file name matches, and `label_file`.
        folder: Where to write; it is the result.
        name: Of the component, for messages.

    Raises:
        ConfigError: An option is missing, unknown or not a usable pattern.
        ToolError: A file name does not match.
    """
    pattern, label_file = _options(options, name)
    lines: list[str] = []
    for path in sorted(members, key=lambda member: member.name):
        found = pattern.search(path.name)
        if found is None:
            raise ToolError(f"component '{name}': the file name '{path.name}' does not match {pattern.pattern}")
        shutil.copyfile(path, folder / path.name)
        lines.append(f"{path.name} {int(found['label'])}\n")
    (folder / label_file).write_text("".join(lines))
    return folder


def _options(options: Mapping[str, Json], name: str) -> tuple[re.Pattern[str], str]:
    pattern, label_file = options.get("pattern"), options.get("label_file")
    if set(options) != {"pattern", "label_file"} or not isinstance(pattern, str) or not isinstance(label_file, str):
        raise ConfigError(f"component '{name}': convert.options of labelled_file_names are pattern and label_file")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"component '{name}': convert.options.pattern is not a regular expression: {error}"
        ) from error
    if "label" not in compiled.groupindex:
        raise ConfigError(f"component '{name}': convert.options.pattern lacks the group (?P<label>…)")
    return compiled, label_file
