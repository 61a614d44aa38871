"""Secrets: what must not leave the house, in the texts that people write. Logs of LoadGen hold none of it.

Patterns are narrow: a rule that objects to what is no secret is soon ignored. What rejects are keys and tokens of a
form that nothing else has; addresses and paths are advice. Sources of programs are left to `mlperf-ops pack`, as
docs/reference/published-results.md measures what they would cost and show.
"""

from __future__ import annotations

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
    "A submission is published: everybody who reads it can use the key. Nobody else looks for it. The check looks into "
    "documents, settings and scripts of shells; `mlperf-ops pack` looks into every file. Sources of programs, such as "
    ".py, would add half of its time to the check of a published round.",
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
_AT_ONCE_BYTES = 256 << 10
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
    ".bash",
    ".service",
    ".slurm",
    ".properties",
    ".tfvars",
    ".j2",
    ".ipynb",
)
_KEY_NAMES = ("id_rsa", "id_ed25519", "id_ecdsa", "id_dsa", ".netrc", ".env")
# LoadGen's settings and what programs write: many, and nobody's words.
_LOGS = ("mlperf_log_", "accuracy.txt", "spl.txt", "ptd_logs", "verify_", "user.conf", "mlperf.conf")


_Places: TypeAlias = list[tuple[str, int, str]]
_Key: TypeAlias = tuple[int, int]
"""Size and hash of a text, which tell it from the others in memory: the hash has a secret of its process in it."""


def secrets(place: Submitter) -> Findings:
    """Look into the texts of a submitter."""
    private: dict[str, list[tuple[str, str]]] = {}
    for location, kept, details in _looked(place):
        for name, line, text in kept:
            said = f"line {line} holds a {name}" + (f" ({text}…)" if text else "")
            yield SECRET.at(At(place.location), location, said, value=f"line {line}")
        for name, _, text in details:
            private.setdefault(name, []).append((location, text))
    for name, places in private.items():
        location, text = places[0]
        more = f" and in {len(places) - 1} more files" if len(places) > 1 else ""
        yield PRIVATE.at(At(place.location), location, f"{name} {text}{more}", value=text)


def _looked(place: Submitter) -> Iterator[tuple[str, _Places, _Places]]:
    """Yield the texts of a submitter, with the secrets and private details in each."""
    texts: list[tuple[str, _Key, bool]] = []
    # More than half of the texts of a submission are copies of another one in it.
    kept: dict[_Key, _Places] = {}
    details: dict[_Key, _Places] = {}
    fresh: dict[_Key, bytes] = {}
    private: dict[_Key, bytes] = {}
    waiting_bytes = 0
    for location in _texts(place.tree, place.location):
        try:
            content = place.tree.read(location)
        except OSError:
            continue  # unreadable says so
        key, is_private = (len(content), hash(content)), _is_about_systems(place, location)
        texts.append((location, key, is_private))
        for wanted, known, new in ((True, kept, fresh), (is_private, details, private)):
            if wanted and key not in known:
                known[key] = []
                new[key] = content
                waiting_bytes += len(content)
        if waiting_bytes > _AT_ONCE_BYTES:
            kept |= _look(fresh, SECRETS)
            details |= _look(private, PRIVATE_DETAILS)
            fresh, private, waiting_bytes = {}, {}, 0
    kept |= _look(fresh, SECRETS)
    details |= _look(private, PRIVATE_DETAILS)
    for location, key, is_private in texts:
        yield location, kept[key], details[key] if is_private else []


def _look(contents: Mapping[_Key, bytes], forms: Mapping[str, Form]) -> dict[_Key, _Places]:
    """Return name, line and beginning of the first text of each form, for each content that has one."""
    joined = b"\n".join(contents.values())  # most forms are in none, which one look tells
    places: dict[_Key, _Places] = {}
    for name, form in forms.items():
        for key, content in contents.items() if form.may_be_in(joined) else ():
            if (found := form.search(content)) is not None:
                line = content.count(b"\n", 0, found.start()) + 1
                places.setdefault(key, []).append((name, line, _shown(form, found)))
    return places


def _shown(form: Form, found: re.Match[bytes]) -> str:
    return found[0][: form.shown].decode(errors="replace")


def _is_about_systems(place: Submitter, location: str) -> bool:
    """Whether a text describes results, which are generated; code and documents name whom they want."""
    return location[len(place.location) + 1 :].startswith(("results/", "measurements/", "systems/"))


def _texts(tree: Tree, location: str) -> Iterator[str]:
    """Yield the texts below a folder that may hold what people write."""
    pending = [location]
    while pending:
        here = pending.pop()
        folder = tree.folder(here)
        for name, size in folder.files.items():
            if not 0 < size <= _LONGEST_BYTES or name.startswith(_LOGS):
                continue
            if name.endswith(_WRITTEN) or "." not in name or name in _KEY_NAMES:
                yield f"{here}/{name}"
        pending += [f"{here}/{name}" for name in reversed(folder.folders)]


FAMILY = Family("secrets", "Secrets", RULES, submitter=(secrets,))
