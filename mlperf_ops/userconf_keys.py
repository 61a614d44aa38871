"""Keys and values that a user sets in user.conf: what the division allows and LoadGen's parser reads right. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json
from mlperf_ops.model import Division, Scenario
from mlperf_ops.userconf_numbers import value_problem

if TYPE_CHECKING:
    from mlperf_ops.catalogue.userconf_rules import UserConfRules

_MS_SUFFIX = "_ms"
# LoadGen reads these as unsigned integers and would silently cut a fraction off.
_WHOLE_MS = {("Server", "target_latency"), ("Server", "ttft_latency"), ("Server", "tpot_latency")}


def checked_keys(
    given: Mapping[str, Json], scenario: Scenario, division: Division, rules: UserConfRules, where: str
) -> dict[str, str]:
    """Return a user's keys under LoadGen's names with their values as text.

    Times may be written with their unit (`target_latency_ms`), as the inventory does.

    Raises:
        ConfigError: Names the key, and the division where it is the division that forbids it.
    """
    prefix = f"{where}: " if where else ""
    made: dict[str, str] = {}
    for name, value in given.items():
        key = name
        if key not in rules.keys and name.endswith(_MS_SUFFIX):
            key = name.removesuffix(_MS_SUFFIX)
        problem = rules.problem(key, scenario, division)
        if problem is not None:
            raise ConfigError(prefix + problem)
        if key in made:
            raise ConfigError(f"{prefix}user.conf key '{key}' is given twice, with and without its unit")
        run_as = "Server" if scenario == "Interactive" else scenario
        kind = next(rule.value for rule in rules.keys[key] if run_as in rule.scenarios)
        kind = "int" if (run_as, key) in _WHOLE_MS else kind
        made[key] = _value_text(key, value, kind, prefix)
        if (wrong := value_problem(key, made[key], kind)) is not None:
            raise ConfigError(f"{prefix}{key}: expected {wrong[0]}, found {value!r}")
    return made


def _value_text(key: str, value: Json, kind: str, prefix: str) -> str:
    expected = {"int": "a whole number, 0 or more", "float": "a number above 0", "bool": "true or false"}[kind]
    number = value
    if kind == "bool" and isinstance(value, str) and value.lower() in {"true", "false"}:
        number = value.lower() == "true"
    elif isinstance(value, str):
        try:
            number = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            number = None
    if kind == "bool" and (isinstance(number, bool) or number in (0, 1)):
        return str(int(bool(number)))
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ConfigError(f"{prefix}{key}: expected {expected}, found {value!r}")
    if kind == "int" and number >= 0 and (isinstance(number, int) or number.is_integer()):
        return str(int(number))
    if kind == "float" and 0 < number < float("inf"):
        return as_text(number)
    raise ConfigError(f"{prefix}{key}: expected {expected}, found {value!r}")


def as_text(value: float) -> str:
    """Write a number so that LoadGen's parser reads it back: no exponent, a float with its point."""
    if isinstance(value, int):
        return str(value)
    # Nine digits hide the binary noise of a product such as 123.4 x 1.01.
    rounded = float(f"{value:.9g}")
    text = repr(rounded)
    return text if "e" not in text else f"{rounded:.12f}".rstrip("0")
