"""Where in the inventory's files a variable was written. Reads files, never runs anything.

Ansible hands over resolved values and forgets their origin. The origin is found again by comparing: the most specific
file that holds this very value (or a template) at this key path. A value of the command line is in no file, and then no
file is blamed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.files import Json
from mlperf_ops.lab_problems import value_at
from mlperf_ops.yamlfile import KeyPath, Locate, load_yaml_with_lines

_SUFFIXES = {".yml", ".yaml", ".json"}
_INVENTORY_SUFFIXES = _SUFFIXES | {".ini"}
_VARS_FOLDERS = ("host_vars", "group_vars")
_VAULT = b"$ANSIBLE_VAULT"


@dataclass(frozen=True, slots=True)
class _Variables:
    """A mapping of variables inside a file."""

    path: Path
    locate: Locate
    prefix: tuple[str, ...]  # where in the file the mapping stands
    values: dict[str, Json]
    host: str | None  # the only host they are for
    group: str | None


@dataclass(slots=True)
class InventorySource:
    """The YAML files of an inventory, read once, when the first place is asked for or `check` is called."""

    folder: Path  # Ansible's inventory_dir
    shown: str  # the inventory as the user wrote it: this folder, or a file in it
    _found: list[_Variables] | None = field(default=None, init=False)

    def check(self) -> None:
        """Read all YAML files of the inventory.

        Raises:
            ConfigError: One of them is not YAML, or gives a key twice, of which Ansible would silently take the last.
        """
        self._variables()

    def locate(self, host: str, key_path: KeyPath, value: Json) -> str:
        """Return "file:line" of a host's value, or "" when no file holds it."""
        if not key_path:
            return ""
        for one in self._for_host(host):
            if key_path[0] in one.values and _may_be(one.values, key_path, value):
                return f"{self._shown(one.path)}:{one.locate([*one.prefix, *key_path])}"
        return ""

    def literal(self, name: str) -> Json:
        """Return a variable's value as some file of the inventory writes it; None when none does, or as a template."""
        for one in self._variables():
            value = one.values.get(name)
            if value is not None and not (isinstance(value, str) and "{{" in value):
                return value
        return None

    def _shown(self, path: Path) -> str:
        shown = Path(self.shown)
        base = shown.parent if shown.suffix in _INVENTORY_SUFFIXES else shown
        return str(base / path.relative_to(self.folder))

    def _for_host(self, host: str) -> list[_Variables]:
        """Return the variables that may be this host's, the most specific first."""

        def rank(one: _Variables) -> tuple[int, str]:
            return (0 if one.host == host else 1 if one.group != "all" else 2, str(one.path))

        return sorted((one for one in self._variables() if one.host in {None, host}), key=rank)

    def _variables(self) -> list[_Variables]:
        if self._found is None:
            self._found = list(self._read())
        return self._found

    def _read(self) -> Iterator[_Variables]:
        for path in _yaml_files(self.folder, deep=False):
            yield from _inventory_file(path)
        for kind in _VARS_FOLDERS:
            base = self.folder / kind
            for path in _yaml_files(base, deep=True):
                name = path.stem if path.parent == base and path.suffix else path.relative_to(base).parts[0]
                data, locate = load_yaml_with_lines(path)
                if isinstance(data, dict):
                    host, group = (name, None) if kind == "host_vars" else (None, name)
                    yield _Variables(path, locate, (), data, host, group)


def _yaml_files(folder: Path, *, deep: bool) -> list[Path]:
    """List YAML files; vars folders also hold files without suffix. Encrypted files are Ansible's to read."""
    if not folder.is_dir():
        return []
    suffixes = _SUFFIXES | {""} if deep else _SUFFIXES
    found = folder.rglob("*") if deep else folder.glob("*")
    return sorted(path for path in found if path.is_file() and path.suffix in suffixes and not _is_encrypted(path))


def _is_encrypted(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_VAULT)) == _VAULT
    except OSError:
        return True  # Ansible has reported it already, if it needed the file


def _inventory_file(path: Path) -> Iterator[_Variables]:
    """Walk the groups of a YAML inventory for `vars` and for the variables of hosts."""
    data, locate = load_yaml_with_lines(path)
    pending: list[tuple[str, tuple[str, ...], Json]] = []
    if isinstance(data, dict):
        pending = [(name, (name,), group) for name, group in data.items()]
    while pending:
        name, prefix, group = pending.pop()
        if not isinstance(group, dict):
            continue
        variables, hosts, children = group.get("vars"), group.get("hosts"), group.get("children")
        if isinstance(variables, dict):
            yield _Variables(path, locate, (*prefix, "vars"), variables, None, name)
        if isinstance(hosts, dict):
            for host, values in hosts.items():
                if isinstance(values, dict):
                    yield _Variables(path, locate, (*prefix, "hosts", host), values, host, None)
        if isinstance(children, dict):
            pending += [(child, (*prefix, "children", child), inner) for child, inner in children.items()]


def _may_be(values: dict[str, Json], key_path: KeyPath, value: Json) -> bool:
    """Tell whether a file's variable can have become this value."""
    held = value_at(values, key_path)
    if held == value:
        return True
    # A template anywhere on the way hides what stands at the end of it.
    return any(
        isinstance(part := value_at(values, key_path[:length]), str) and "{{" in part
        for length in range(1, len(key_path) + 1)
    )
