"""The error tree: one family, one exit code.

MlperfOpsError (1)
├── ConfigError (2)      inventory, catalogue, command line: the user's input
├── ResultError (3)      raw results, specs and logs
├── SubmissionError (4)  a submission tree
├── ToolError (5)        something outside: pip, git, ansible, disk, network
└── BusyError (6)        somebody else holds what this needs

Exit code 0 is success and 1 a negative verdict (the command worked, the submission did not pass).
This module is shipped to hosts: standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_VERDICT = 1
_NAMES_SHOWN = 12


class MlperfOpsError(Exception):
    """A failure that the user reads as one sentence, and may act on by the hint."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the sentence and the hint apart, so that JSON output can show both."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Sentence and hint in one line."""
        return self.message if self.hint is None else f"{self.message} ({self.hint})"


class ConfigError(MlperfOpsError):
    """The user's input is wrong: names file, line or key, and what was expected."""

    exit_code = 2


class ResultError(MlperfOpsError):
    """A raw result, a spec or a LoadGen log cannot be used."""

    exit_code = 3


class SubmissionError(MlperfOpsError):
    """A submission tree cannot be built or read."""

    exit_code = 4


class ToolError(MlperfOpsError):
    """Something outside failed: a package source, git, ansible, the disk."""

    exit_code = 5


class BusyError(MlperfOpsError):
    """Another run holds the results folder or the host."""

    exit_code = 6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, compared without case."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    hits = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[hits[0]] if hits else None


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str = "") -> ConfigError:
    """Build the sentence for a name that is not in a closed list.

    Args:
        kind: What the name stands for, such as "scenario".
        name: What the user wrote.
        known: The valid names.
        where: Where it was written ("inventory/lab/hosts.yml:12: mlperf_benchmarks[0].scenarios").
    """
    names = sorted(known)
    guess = nearest(name, names)
    shown = ", ".join(names[:_NAMES_SHOWN]) + (
        f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    )
    prefix = f"{where}: " if where else ""
    hint = f"did you mean '{guess}'?" if guess else None
    return ConfigError(f"{prefix}unknown {kind} '{name}'; expected one of {shown}", hint=hint)
