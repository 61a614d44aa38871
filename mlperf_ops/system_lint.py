"""What is wrong with the words of a system description, be they typed or found in a tree. Pure.

Published rounds show what slips through: "ToDo: 960 GB", "N/A" for cooling, 15 spellings of cooling and 44 of memory
sizes in one round, "2x AMD EPYC 9475F" as the name of a processor beside a count of 2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlperf_ops.catalogue.layout import SystemDescription as Fields
from mlperf_ops.files import Json

_PLACEHOLDER = re.compile(
    r"(?i)\W*(to[ _-]?do|tbd|tba|change[ _-]?me|fix[ _-]?me|fill[ _-]?(me|in)([ _-]?in)?|place[ _-]?holder|dummy|x{3,}"
    r"|insert|lorem ipsum)\b.*|<[^>]*>|\?+"
)
# What predecessors and templates leave behind: nothing that a person would type as a value.
_LEFT_BEHIND = re.compile(r"(?i)undefined|unknown")
_NOT_APPLICABLE = re.compile(r"(?i)\W*(n\s*[./]?\s*a\.?|not applicable)\W*|-+")
_MAY_NOT_APPLY = {"host_networking_topology"}  # one node without a network of its own
_NAME_THE_ACCELERATOR = {"accelerator_model_name", "accelerator_memory_capacity", "accelerator_memory_configuration"}

_FIXED_WORDS = {"division", "submitter", "status", "system_type"}  # their values are compared with closed lists

_SIZE_FIELDS = {"host_memory_capacity", "host_memory_configuration", "host_storage_capacity",
                "accelerator_memory_capacity"}  # fmt: skip
_SIZE = re.compile(r"(?<![A-Za-wyz\d.])(\d+(?:\.\d+)?)(\s*)([KMGTP])(i?)(B?)(?![A-Za-z0-9])")
_COUNT_BEFORE_NAME = re.compile(r"^\d+\s*[x\u00d7]\s*(?=[A-Za-z\[])")
_COUNTED_BESIDE = {"host_processor_model_name": "host_processors_per_node",
                   "accelerator_model_name": "accelerators_per_node"}  # fmt: skip
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_TRADEMARKS = re.compile(r"\((r|tm|c)\)|[®™©]")
_SAY_NOTHING = re.compile(r"\b(\d+-core|processors?|cpu)\b")


@dataclass(frozen=True, slots=True)
class Slip:
    """A value that means something else than it says, or says it in a way of its own."""

    message: str  # "host_memory_capacity is '512GB'"
    remedy: str  # "write '512 GB'"


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing in two spellings: each with where it stands."""

    field: str
    first: tuple[str, str]  # place and spelling
    second: tuple[str, str]


def is_placeholder(value: object) -> bool:
    """Whether a text stands for a value that somebody meant to write later ("ToDo", "TBD", "<cpu model>", "???")."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value.strip()) is not None


def is_left_behind(value: object) -> bool:
    """Whether a text is what other tools write where they know nothing ("undefined")."""
    return isinstance(value, str) and _LEFT_BEHIND.fullmatch(value.strip()) is not None


def is_not_applicable(value: object) -> bool:
    """Whether a text says that there is nothing to say ("N/A", "NA", "-")."""
    return isinstance(value, str) and _NOT_APPLICABLE.fullmatch(value.strip()) is not None


def wants_value(key: str, fields: Fields, accelerators: Json) -> bool:
    """Whether "N/A" is no answer for a field.

    Every machine has a processor, memory, a name and some kind of cooling; accelerators have names only where there are
    some, and parts that one accelerator cannot have, such as an interconnect, never have to be.

    Args:
        key: The field.
        fields: The round's fields: what has to be non-empty.
        accelerators: accelerators_per_node of the same description; None when it is not known.
    """
    if key.startswith("accelerator"):
        return key in _NAME_THE_ACCELERATOR and str(accelerators) not in {"None", "0", ""}
    return key in fields.non_empty and key not in _MAY_NOT_APPLY


def style(key: str, value: Json) -> Slip | None:
    """Return what is odd about the spelling of one value: units, special spaces, a count inside of a name."""
    if not isinstance(value, str) or key in _FIXED_WORDS:
        return None
    plain = plain_text(value)
    if key in _SIZE_FIELDS:
        plain = _SIZE.sub(r"\1 \3\4B", plain)
    if key in _COUNTED_BESIDE and _COUNT_BEFORE_NAME.match(plain):
        name = _COUNT_BEFORE_NAME.sub("", plain)
        return Slip(f"{key} is '{value}'", f"write '{name}', the count stands in {_COUNTED_BESIDE[key]}")
    if key == "host_processor_core_count" and not plain.isdecimal() and not is_not_applicable(plain):
        return Slip(f"{key} is '{value}'", "write a whole number, the cores of one processor")
    if plain == value:
        return None
    special = "".join(sorted({character for character in value if not character.isascii()}))
    what = f" with special characters ({', '.join(unicodedata.name(one, '?') for one in special)})" if special else ""
    return Slip(f"{key} is '{value}'{what}", f"write '{plain}'")


def plain_text(value: str) -> str:
    """Return a text with ordinary spaces and hyphens, single and none at its ends."""
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", value)
    return re.sub(r"[\s\u00a0\u2000-\u200b\u202f\u2060]+", " ", text).strip()


def canonical(key: str, value: Json) -> str:
    """Return what two spellings of one value have in common.

    Case, trademarks, spaces, hyphens and the spelling of units do not count; of cooling only the medium does. Sizes of
    memory are compared in units of 1024 however they are written, those of disks in units of 1000.
    """
    text = _TRADEMARKS.sub("", unicodedata.normalize("NFKC", plain_text(str(value))).casefold())
    if key == "cooling":
        text = re.sub(r"[\s-]*\bcool(ed|ing)?\b", "", text)
    if key.endswith("_model_name"):
        text = _COUNT_BEFORE_NAME.sub("", _SAY_NOTHING.sub("", text))
    base = 1000 if "storage" in key else 1024

    def quantity(match: re.Match[str]) -> str:
        return f"{float(match[1]) * base ** _POWERS[match[3].upper()]:g}b"

    if key in _SIZE_FIELDS:
        text = re.sub(_SIZE.pattern, quantity, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(\d+)x$", r"x\1", text)  # "PCIe Gen5 16x"
    return re.sub(r"[^\w.+/]|_", "", text)


def variants(values: Mapping[str, Mapping[str, Json]]) -> Iterator[Variant]:
    """Yield the fields that say one thing in several spellings.

    Args:
        values: Place (a host, a file) to its fields.
    """
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for place, fields in values.items():
        for key, value in fields.items():
            if not isinstance(value, str) or not value.strip() or key in _FIXED_WORDS:
                continue
            same = (key, canonical(key, value))
            first = seen.setdefault(same, (place, value))
            if first[1] != value and same[1]:
                yield Variant(key, first, (place, value))
