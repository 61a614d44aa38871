"""Tables of questions and answers: JSON, JSON lines and pandas' pickles, which are read without trusting them."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

from mlperf_ops.accuracy.model import library
from mlperf_ops.errors import ConfigError, nearest

_SUFFIX_PICKLE = (".pkl", ".pickle", ".pkl.gz")
# What a pickle of numpy arrays or of a pandas table names; anything else is refused before it runs.
_ALLOWED: dict[str, frozenset[str]] = {
    "builtins": frozenset({"slice", "list", "dict", "tuple", "set", "int", "float", "str", "bytearray"}),
    "__builtin__": frozenset({"slice"}),
    "collections": frozenset({"OrderedDict"}),
    "_codecs": frozenset({"encode"}),
    "numpy": frozenset({"ndarray", "dtype", "float64", "int64", "str_", "bool_"}),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "pandas": frozenset({"DataFrame", "Series", "Index", "RangeIndex", "StringDtype", "Int64Dtype"}),
    "pandas.arrays": frozenset({"IntegerArray", "StringArray"}),
    "pandas.core.frame": frozenset({"DataFrame"}),
    "pandas.core.series": frozenset({"Series"}),
    "pandas.core.indexes.base": frozenset({"Index", "_new_Index"}),
    "pandas.core.indexes.range": frozenset({"RangeIndex"}),
    "pandas.core.internals.managers": frozenset({"BlockManager", "SingleBlockManager"}),
    "pandas.core.internals.blocks": frozenset({"new_block"}),
    "pandas._libs.internals": frozenset({"_unpickle_block", "BlockManager"}),
    "pandas._libs.arrays": frozenset({"__pyx_unpickle_NDArrayBacked"}),
    "pandas.core.arrays.string_": frozenset({"StringArray", "StringDtype"}),
    "pandas.core.dtypes.dtypes": frozenset({"StringDtype"}),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # pickle's signature
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a table has no need of")
        return super().find_class(module, name)


def read_pickle(path: Path) -> object:
    """Read a pickle that may hold plain values, numpy arrays and pandas tables, and nothing that runs code.

    Raises:
        ConfigError: The file cannot be read, or names anything else.
    """
    try:
        raw = path.read_bytes()
        return _Unpickler(io.BytesIO(gzip.decompress(raw) if path.suffix == ".gz" else raw)).load()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ConfigError(
            f"{path} is not a table that can be read safely: {error}", hint="write it as JSON with its own pandas"
        ) from error


def read_columns(path: Path, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Read columns of a table, in the order of its rows, which is LoadGen's sample order.

    Args:
        path: JSON (a list of objects, or an object of columns), JSON lines, or a pickle of a pandas table.
        names: Wanted columns.

    Raises:
        ConfigError: The file cannot be read or lacks a column; names the line where there is one.
    """
    if path.name.endswith(_SUFFIX_PICKLE):
        library("pandas", "pandas")  # unpickling would only say that a name cannot be imported
        table: Any = read_pickle(path)
        known = [str(name) for name in getattr(table, "columns", table if isinstance(table, dict) else ())]
        _demand(path, names, known)
        return {name: list(table[name]) for name in names}
    rows = _rows(path)
    if isinstance(rows, dict):
        _demand(path, names, list(rows))
        return {name: list(rows[name].values() if isinstance(rows[name], dict) else rows[name]) for name in names}
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path} holds no list of rows")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: row {number} is no object")
        _demand(f"{path}: row {number}", names, list(row))
    return {name: [row[name] for row in rows] for name in names}


def _demand(where: Path | str, names: tuple[str, ...], known: list[str]) -> None:
    for name in names:
        if name not in known:
            guess = nearest(name, known)
            raise ConfigError(
                f"{where} has no column '{name}'; it has {', '.join(known) or 'none'}",
                hint=f"did you mean '{guess}'?" if guess else None,
            )


def _rows(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not JSON: it is not text") from error
    if path.suffix != ".jsonl":
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
    return [_row(line, f"{path}:{number}") for number, line in enumerate(text.splitlines(), start=1)]


def _row(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
