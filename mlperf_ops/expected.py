"""What was expected instead of a wrong value, in our own words: the one place that knows pydantic's kinds of errors.

Inventory, catalogue, import maps, scorers' parameters and options of the command line all come through here, so that
none shows pydantic's wording, which speaks of inputs, instances and types of Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from pydantic_core import ErrorDetails

from mlperf_ops.patterns import PATTERN_SENTENCES

_FOUND_CHARACTERS = 80
Context: TypeAlias = Mapping[str, Any]


def _at_least(context: Context, what: str) -> str:
    least = context.get("min_length", 1)
    return f"{what} that is not empty" if least == 1 else f"{what} of at least {least}"


def _choice(context: Context) -> str:
    names = re.findall(r"'[^']*'|[^',\s]+", str(context.get("expected", "")).replace(" or ", ", "))
    plain = [name.strip("'") for name in names]
    return ", ".join(plain[:-1]) + (" or " if len(plain) > 1 else "") + "".join(plain[-1:])


def _one(context: Context) -> bool:
    return bool(context.get("min_length", 1) == 1)


def _collection(context: Context) -> str:
    return "a mapping" if str(context.get("field_type", "")).startswith("Dict") else "a list"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# Kind of error -> what was expected. Kinds that share a beginning and a meaning stand below.
_WORDS: dict[str, Callable[[Context], str]] = {
    "none_required": lambda _: "nothing (null)",
    "finite_number": lambda _: "a finite number",
    "greater_than": lambda context: f"a number above {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"{_number(context['ge'])} or more",
    "less_than": lambda context: f"a number below {_number(context['lt'])}",
    "less_than_equal": lambda context: f"{_number(context['le'])} or less",
    "multiple_of": lambda context: f"a multiple of {_number(context['multiple_of'])}",
    "string_too_short": lambda context: _at_least(context, "text") + ("" if _one(context) else " characters"),
    "string_too_long": lambda context: f"text of at most {context['max_length']} characters",
    "string_pattern_mismatch": lambda context: PATTERN_SENTENCES.get(
        context["pattern"], f"text of the form {context['pattern']}"
    ),
    "too_short": lambda context: _at_least(context, _collection(context)) + ("" if _one(context) else " items"),
    "too_long": lambda context: f"{_collection(context)} of at most {context['max_length']} items",
    "literal_error": _choice,
    "enum": _choice,
    "invalid_key": lambda _: "a key that is text",
    "missing": lambda _: "a value",
    "extra_forbidden": lambda _: "no such key",
}
_BY_BEGINNING: tuple[tuple[str, str], ...] = (
    ("bool", "true or false"),
    ("int", "a whole number"),
    ("float", "a number"),
    ("decimal", "a number"),
    ("complex", "a number"),
    ("string", "text"),
    ("bytes", "text"),
    ("list", "a list"),
    ("tuple", "a list"),
    ("set", "a list"),
    ("frozen_set", "a list"),
    ("iter", "a list"),
    ("generator", "a list"),
    ("dict", "a mapping"),
    ("mapping", "a mapping"),
    ("model", "a mapping"),
    ("dataclass", "a mapping"),
    ("arguments", "a mapping"),
    ("json", "JSON"),
    ("date", "a date"),
    ("time", "a time"),
    ("timezone", "a time zone"),
    ("url", "an address"),
    ("uuid", "a UUID"),
)
_OWN = {"value_error", "assertion_error"}  # the sentence is ours already
_PREFIX = re.compile(r"^(Value|Assertion) error, ")


def expected(detail: ErrorDetails) -> str:
    """Return what was expected, such as "a whole number"; empty when the error states a sentence of its own.

    Args:
        detail: One of pydantic's errors.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _OWN:
        return ""
    if kind in _WORDS:
        return _WORDS[kind](context)
    return next((words for start, words in _BY_BEGINNING if kind.startswith(start)), "another value")


def sentence_of(details: Iterable[ErrorDetails]) -> str:
    """Say what was expected and what was found.

    Args:
        details: Errors of one value: of a union one for each of its branches, any of which would do.
    """
    told = list(details)
    for detail in told:
        if detail["type"] in _OWN:
            return _PREFIX.sub("", detail["msg"])
    found = found_value(told[0]["input"])
    return f"expected {' or '.join(dict.fromkeys(expected(detail) for detail in told))}, found {found}"


def found_value(value: object) -> str:
    """Write a value as it would stand in YAML, shortened."""
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return shown if len(shown) <= _FOUND_CHARACTERS else shown[:_FOUND_CHARACTERS] + "…"


def choices(detail: ErrorDetails) -> list[str]:
    """Return the values that an error of a closed list names."""
    return re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
