"""Secrets: what must not leave the house, in the texts that people write. Logs of LoadGen hold none of it.

Patterns are narrow: a rule that objects to what is no secret is soon ignored. What rejects are keys and tokens of a
form that nothing else has; addresses and paths are advice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Submitter
from mlperf_ops.checker.tree import Tree
from mlperf_ops.secret_forms import SECRETS, Form

SECRET = Rule(
    "secret",
    "rules",
    "key, token or password",
    "A submission is published: everybody who reads it can use the key. Nobody else looks for it.",
    "Revoke it, and take it out of the file and of the history of the repository.",
    "mlperf-ops: secrets must not be published",
    own="Revoke it, take it out of the file (and of the history of the repository), and aggregate again.",
)
PRIVATE = Rule(
    "private-detail",
    "advice",
    "address or path of a person or of a network",
    "A submission is published; names of people, of machines and of networks are best left out.",
    "Write a placeholder instead, where nobody needs the value.",
    "mlperf-ops: private details are best not published",
)
RULES = (SECRET, PRIVATE)


PRIVATE_DETAILS: dict[str, Form] = {
    "e-mail address": Form(
        re.compile(rb"\b[A-Za-z0-9._%+-]+@(?!example\.)[A-Za-z0-9-]+\.[A-Za-z]{2,}\b"),
        (b"@",),
        shown=80,
        hint=re.compile(rb"@[A-Za-z0-9-]+\.[A-Za-z]{2}"),
    ),
    "home folder": Form(
        re.compile(rb"(?:/home/|/Users/|[A-Z]:\\Users\\)(?!user\b|\$|<|\{)[A-Za-z0-9._-]+"),
        (b"/home/", b"/Users/", b":\\Users\\"),
        shown=80,
    ),
    # Versions of some libraries look like addresses of 10.0.0.0/8: only where a word or a port says what it is.
    "private network address": Form(
        re.compile(
            rb"(?<![\d.])(?:192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\d.])"
            rb"|(?:@|//)10(?:\.\d{1,3}){3}(?![\d.])|(?<![\d.=])10(?:\.\d{1,3}){3}(?::\d{2,5}|/\d{2})\b"
        ),
        (b"192.168.", b"172.", b"10."),
        shown=80,
        hint=re.compile(rb"1(?:92\.168\.\d|72\.\d\d\.\d|0\.\d{1,3}\.\d{1,3}\.\d)"),
    ),
}

_LONGEST_BYTES = 256 << 10
_WRITTEN = (
    ".json",
    ".md",
    ".conf",
    ".yaml",
    ".yml",
    ".cfg",
    ".ini",
    ".toml",
    ".env",
    ".sh",
    ".txt",
    ".pem",
    ".key",
    ".config",
)
_KEY_NAMES = ("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".netrc", ".env")
# LoadGen's settings and what programs write: many, and nobody's words.
_LOGS = ("mlperf_log_", "accuracy.txt", "spl.txt", "ptd_logs", "verify_", "user.conf", "mlperf.conf")


_Places: TypeAlias = list[tuple[str, int, str]]


def secrets(place: Submitter) -> Findings:
    """Look into the texts of a submitter."""
    private: dict[str, list[tuple[str, str]]] = {}
    seen: dict[bytes, tuple[_Places, _Places | None]] = {}
    for location in _texts(place.tree, place.location):
        try:
            content = place.tree.read(location)
        except OSError:
            continue  # unreadable says so
        # Five of six texts of a submission are copies of another one in it.
        digest = hashlib.sha256(content).digest()
        kept, details = seen.get(digest) or (_look(content, SECRETS), None)
        if details is None and _is_about_systems(place, location):
            details = _look(content, PRIVATE_DETAILS)
        seen[digest] = (kept, details)
        for name, line, text in kept:
            said = f"line {line} holds a {name}" + (f" ({text}…)" if text else "")
            yield SECRET.at(At(place.location), location, said, value=f"line {line}")
        for name, _, text in details or () if _is_about_systems(place, location) else ():
            private.setdefault(name, []).append((location, text))
    for name, places in private.items():
        location, text = places[0]
        more = f" and in {len(places) - 1} more files" if len(places) > 1 else ""
        yield PRIVATE.at(At(place.location), location, f"{name} {text}{more}", value=text)


def _look(content: bytes, forms: Mapping[str, Form]) -> _Places:
    """Return name, line and beginning of the first text of each form."""
    return [
        (name, content.count(b"\n", 0, found.start()) + 1, _shown(form, found))
        for name, form in forms.items()
        if (found := form.search(content)) is not None
    ]


def _shown(form: Form, found: re.Match[bytes]) -> str:
    return found[0][: form.shown].decode(errors="replace")


def _is_about_systems(place: Submitter, location: str) -> bool:
    """Whether a text describes results, which are generated; code and documents name whom they want."""
    return location[len(place.location) + 1 :].startswith(("results/", "measurements/", "systems/"))


def _texts(tree: Tree, location: str) -> Iterator[str]:
    """Yield the texts below a folder that may hold what people write."""
    folder = tree.folder(location)
    for name, size in folder.files.items():
        written = name.endswith(_WRITTEN) or name in _KEY_NAMES
        if written and 0 < size <= _LONGEST_BYTES and not name.startswith(_LOGS):
            yield f"{location}/{name}"
    for name in folder.folders:
        yield from _texts(tree, f"{location}/{name}")


FAMILY = Family("secrets", "Secrets", RULES, submitter=(secrets,))
