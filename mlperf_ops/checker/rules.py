"""A rule of the checker, and how rules are grouped into families."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mlperf_ops.checker.model import Finding, Severity

if TYPE_CHECKING:
    from mlperf_ops.checker.subjects import Result, Submission, Submitter, System


class Place(Protocol):
    """Something with a folder in the tree whose results a finding affects."""

    @property
    def location(self) -> str:
        """Folder relative to the tree, with "/"."""


_LONGEST = 600


def printable(text: str) -> str:
    """Return a text of the tree without control characters (a terminal obeys them) and of bounded length."""
    if text.isprintable() and len(text) <= _LONGEST:
        return text
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"


@dataclass(frozen=True, slots=True)
class At:
    """A bare place: the folder whose results are affected."""

    location: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be wrong, and what it means; the number or name that is compared is the round's data.

    Attributes:
        id: Stable name, used in findings, plans and documentation.
        severity: Who objects when the rule is broken; a check may state another severity where it depends on the
            division or on the file.
        title: A few words for tables.
        meaning: Why it matters, for somebody who does not know the rule.
        fix: What to do, whoever made the tree.
        source: Where the rule comes from.
        own: What to do instead where mlperf-ops made the result and can make it again; "": the same.
    """

    id: str
    severity: Severity
    title: str
    meaning: str
    fix: str
    source: str
    own: str = ""

    def at(
        self,
        place: Place,
        location: str,
        message: str,
        *,
        value: object = None,
        limit: object = None,
        severity: Severity | None = None,
    ) -> Finding:
        """Build a finding of this rule.

        Args:
            place: Whose results it affects.
            location: File or folder where it was found, relative to the tree.
            message: What is wrong, in one sentence.
            value: What was found.
            limit: What was expected.
            severity: Instead of the rule's own.
        """
        return Finding(
            rule=self.id,
            severity=severity or self.severity,
            location=location or ".",
            affects=place.location or ".",
            message=printable(message),
            value=None if value is None else printable(str(value)),
            limit=None if limit is None else printable(str(limit)),
            meaning=self.meaning,
            fix=self.fix,
        )


Findings: TypeAlias = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Family:
    """Rules that belong together and the checks that apply them, each to one kind of place."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    tree: tuple[Callable[[Submission], Findings], ...] = ()
    submitter: tuple[Callable[[Submitter], Findings], ...] = ()
    system: tuple[Callable[[System], Findings], ...] = ()
    result: tuple[Callable[[Result], Findings], ...] = ()
