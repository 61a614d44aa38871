"""YAML that a person may have typed: plain data plus the line of every key.

One parser for data and lines (PyYAML, libyaml's when it is there), so the two cannot disagree, and the same YAML 1.1
reading as Ansible's. Differences from `yaml.safe_load`: a key given twice is an error, a date stays text, and Ansible's
`!vault` and `!unsafe` read as the text behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import yaml

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json

KeyPath: TypeAlias = Sequence[str | int]
Locate: TypeAlias = Callable[[KeyPath], int]

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_ANSIBLE_TAGS = ("!vault", "!vault-encrypted", "!unsafe")


class _Loader(_Base):
    """SafeLoader without dates (JSON has none) and with Ansible's text tags."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


def _text_behind_tag(loader: _Loader, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        return str(loader.construct_scalar(node))
    raise yaml.constructor.ConstructorError(None, None, f"tag {node.tag} belongs before a text", node.start_mark)


for _tag in _ANSIBLE_TAGS:
    _Loader.add_constructor(_tag, _text_behind_tag)


def load_yaml_with_lines(path: Path) -> tuple[Json, Locate]:
    """Read one YAML document and a function that tells where a key stands.

    Args:
        path: The file, UTF-8.

    Returns:
        The data (None for an empty file) and `locate(key_path)`: the 1-based line of the deepest part of the path that
        the file has, so that a missing key is reported at the mapping that lacks it.

    Raises:
        ConfigError: The file cannot be read, is not one YAML document, or gives a key twice; names file and line.
    """
    text = _read(path)
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, lambda _key_path: 1
        _refuse_duplicate_keys(path, root, (), {})
        data: Json = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(path, text, error) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: character {error.character!r} is not allowed here") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not usable: nested too deeply") from error
    except ValueError as error:  # such as the out-of-range parts of an explicitly tagged number
        raise ConfigError(f"{path}: not YAML: {error}") from error
    finally:
        loader.dispose()
    return data, lambda key_path: _line_of(root, key_path)


def show_key_path(key_path: KeyPath) -> str:
    """Spell a key path as people do: `models.resnet.suites.edge.required[1]`."""
    shown = ""
    for part in key_path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error


def _syntax_error(path: Path, text: str, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    problem = error.problem or "malformed document"
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    hint = 'put quotes around a value that starts with "{{"' if "{{" in written else None
    if "\t" in written[: len(written) - len(written.lstrip())]:
        hint = "indent with spaces, not with tabs"
    return ConfigError(f"{path}:{line}: not YAML: {problem}", hint=hint)


def _refuse_duplicate_keys(path: Path, node: yaml.Node, key_path: tuple[str | int, ...], done: dict[int, bool]) -> None:
    """Refuse a key given twice, and an alias to something that contains it.

    Args:
        path: The file.
        node: Where to look.
        key_path: Of the node.
        done: Nodes by identity: False while inside, True afterwards.
    """
    finished = done.get(id(node))
    if finished is False:
        line = node.start_mark.line + 1
        raise ConfigError(f"{path}:{line}: {show_key_path(key_path)}: an alias stands inside what it stands for")
    if finished:
        return
    done[id(node)] = False
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _refuse_duplicate_keys(path, item, (*key_path, index), done)
    elif isinstance(node, yaml.MappingNode):
        first_lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            here = (*key_path, str(key.value))
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                before = first_lines.get((key.tag, key.value))
                if before is not None:
                    where = f"{path}:{line}: {show_key_path(here)}"
                    raise ConfigError(f"{where}: key '{key.value}' is given twice, first in line {before}")
                first_lines[key.tag, key.value] = line
            _refuse_duplicate_keys(path, value, here, done)
    done[id(node)] = True


def _line_of(root: yaml.Node, key_path: KeyPath) -> int:
    node, line = root, root.start_mark.line
    for part in key_path:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return int(line) + 1


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line, item
    if isinstance(node, yaml.MappingNode):
        # Merged keys ("<<") were put first when the data was built: the last one is the one that counts.
        for key, value in reversed(node.value):
            if key.value == str(part):
                return key.start_mark.line, value
    return None
