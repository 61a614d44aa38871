"""user.conf as LoadGen's parser reads it, with the line of each setting. Pure.

The parser (mlcommons/inference, loadgen/test_settings_internal.cc) splits at white space: a key, `=`, a number. One
line that it cannot read makes it drop the whole file with an error in the log, which invalidates the run; a line that
ends early is silently nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlperf_ops.userconf_numbers import is_number

Severity: TypeAlias = Literal["rejects", "no effect"]

_PARTS = 3  # model, scenario, key
_WORD = re.compile(r"[^ \t\v\f\r]+")  # C's white space, without Unicode's
_REFUSED = "LoadGen then drops the whole file, with an error that makes the run invalid"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line `<model>.<Scenario>.<key> = <value>`; model and scenario may be "*"."""

    line: int
    model: str
    scenario: str
    key: str
    value: str

    @property
    def name(self) -> str:
        """The key in full."""
        return f"{self.model}.{self.scenario}.{self.key}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a line.

    Attributes:
        line: 1-based; 0 for the file as a whole.
        rule: Short id, such as "unknown-key".
        severity: "rejects" when LoadGen, the division or the round refuses it; "no effect" when nobody heeds the line.
        message: One sentence.
        hint: What to write instead; "" for nothing.
    """

    line: int
    rule: str
    severity: Severity
    message: str
    hint: str = ""


def read_user_conf(text: str) -> tuple[list[Setting], list[Finding]]:
    """Return the settings of a user.conf, and what LoadGen's parser makes of the other lines."""
    found: list[Setting] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.split("\n"), start=1):
        for one in _read_line(number, _WORD.findall(line)):
            if isinstance(one, Setting):
                found.append(one)
            else:
                findings.append(one)
    return found, findings


def _read_line(number: int, words: list[str]) -> Iterator[Setting | Finding]:
    if not words or words[0] == "#" or (words[0].startswith("#") and words[1:2] in ([], ["="])):
        return  # a "#word" is a key for LoadGen, one that nobody asks for
    name = words[0]
    if words[1:2] not in ([], ["="]):
        hint = "put a space behind the #" if name.startswith("#") else "write it as: key = value"
        yield Finding(number, "syntax", "rejects", f"expected '= <number>' behind '{name}'; {_REFUSED}", hint)
        return
    values = words[2:]
    if not values:
        hint = f"write it as: {' = '.join(name.split('=', 1))}" if "=" in name else "give it a value"
        what = (
            "LoadGen needs spaces around the =, and ignores" if "=" in name else "there is no value, so LoadGen ignores"
        )
        yield Finding(number, "syntax", "no effect", f"{what} '{name}'", hint)
        return
    for value in values:
        if not is_number(value):
            what = "a comment behind a value" if value.startswith("#") else f"'{value}'"
            hint = "give the comment a line of its own" if value.startswith("#") else ""
            yield Finding(number, "syntax", "rejects", f"expected a number, found {what}; {_REFUSED}", hint)
            return
    if len(values) > 1:
        message = f"{len(values)} values for '{name}': LoadGen takes the last, {values[-1]}"
        yield Finding(number, "syntax", "rejects", message, "keep one")
    parts = name.rsplit(".", _PARTS - 1)
    if len(parts) < _PARTS:
        message = f"expected <model>.<Scenario>.<key>, found '{name}', which LoadGen ignores"
        yield Finding(number, "syntax", "no effect", message, f"write it as: *.*.{parts[-1]}")
        return
    model, scenario, key = parts
    yield Setting(number, model, scenario, key, values[-1])
