"""Secrets: what must not leave the house, in the texts that people write. Logs of LoadGen hold none of it.

Patterns are narrow: a rule that objects to what is no secret is soon ignored. What rejects are keys and tokens of a
form that nothing else has; addresses and paths are advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Submitter
from mlperf_ops.checker.tree import Tree

SECRET = Rule(
    "secret",
    "rules",
    "key, token or password",
    "A submission is published: everybody who reads it can use the key. Nobody else looks for it.",
    "Revoke it, take it out of the file (and of the history of the repository), and aggregate again.",
    "mlperf-ops: secrets must not be published",
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


@dataclass(frozen=True, slots=True)
class Pattern:
    """A form of secret or private detail.

    Attributes:
        name: What it is, in words.
        rule: What it breaks.
        pattern: Its form.
        literals: One of these is in every text that has it; looking for them is quicker than for the form.
        shown: So many characters of it may be repeated in a finding.
    """

    name: str
    rule: Rule
    pattern: re.Pattern[bytes]
    literals: tuple[bytes, ...]
    shown: int = 0

    def search(self, content: bytes) -> re.Match[bytes] | None:
        """Return the first place that has it."""
        return self.pattern.search(content) if any(literal in content for literal in self.literals) else None


_KEY_BLOCK = rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----\s*(?:[A-Za-z-]+:.*\s+){0,4}[A-Za-z0-9+/=]{30}"
_TOKENS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    (
        "GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b",
    ),
    ("GitLab token", (b"glpat-",), rb"\bglpat-[A-Za-z0-9_-]{20}\b"),
    ("Hugging Face token", (b"hf_",), rb"\bhf_[A-Za-z]{34}\b"),
    ("NVIDIA API key", (b"nvapi-",), rb"\bnvapi-[A-Za-z0-9_-]{60,70}\b"),
    ("AWS access key", (b"AKIA", b"ASIA"), rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("Slack token", (b"xox",), rb"\bxox[abpr]-[0-9]{10,}-[A-Za-z0-9-]{20,}\b"),
    ("OpenAI key", (b"T3BlbkFJ",), rb"\bsk-(?:proj-)?[A-Za-z0-9_-]{20}T3BlbkFJ[A-Za-z0-9_-]{20}\b"),
)
_PASSWORD = (
    rb"(?im)^[ \t]*(?:export[ \t]+)?[\"']?(?:[a-z0-9]+_)*(?:password|passwd|ansible_become_pass|ansible_ssh_pass)[\"']?"
    rb"[ \t]*[:=][ \t]*[\"']?(?![\"'\s<>{}$*()%]|(?:none|null|true|false|password|changeme|x+|\.+)\b)"
    rb"[^\s\"'<>{}$*()%,;]{6,}[\"']?[ \t]*,?$"
)
PATTERNS: tuple[Pattern, ...] = (
    Pattern("private key", SECRET, re.compile(_KEY_BLOCK), (b"PRIVATE KEY",)),
    *(Pattern(name, SECRET, re.compile(pattern), literals, shown=4) for name, literals, pattern in _TOKENS),
    Pattern("password", SECRET, re.compile(_PASSWORD), (b"passw", b"PASSW", b"Passw", b"_pass", b"_PASS")),
    Pattern(
        "e-mail address",
        PRIVATE,
        re.compile(rb"\b[A-Za-z0-9._%+-]+@(?!example\.)[A-Za-z0-9-]+\.[A-Za-z]{2,}\b"),
        (b"@",),
        shown=80,
    ),
    Pattern(
        "home folder",
        PRIVATE,
        re.compile(rb"(?:/home/|/Users/|[A-Z]:\\Users\\)(?!user\b|\$|<|\{)[A-Za-z0-9._-]+"),
        (b"/home/", b"/Users/", b":\\Users\\"),
        shown=80,
    ),
    Pattern(
        "private network address",
        PRIVATE,
        # Versions of some libraries look like addresses of 10.0.0.0/8: only where a word or a port says what it is.
        re.compile(
            rb"(?<![\d.])(?:192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\d.])"
            rb"|(?:@|//)10(?:\.\d{1,3}){3}(?![\d.])|(?<![\d.=])10(?:\.\d{1,3}){3}(?::\d{2,5}|/\d{2})\b"
        ),
        (b"192.168.", b"172.", b"10."),
        shown=80,
    ),
)

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


def secrets(place: Submitter) -> Findings:
    """Look into the texts of a submitter."""
    private: dict[str, list[tuple[str, str]]] = {}
    for location in _texts(place.tree, place.location):
        try:
            content = place.tree.path(location).read_bytes()
        except OSError:
            continue  # unreadable says so
        generated = _is_about_systems(place, location)
        for pattern in PATTERNS:
            found = pattern.search(content) if generated or pattern.rule is SECRET else None
            if found is None:
                continue
            line = content.count(b"\n", 0, found.start()) + 1
            text = found[0][: pattern.shown].decode(errors="replace")
            if pattern.rule is PRIVATE:
                private.setdefault(pattern.name, []).append((location, text))
                continue
            yield SECRET.at(
                At(place.location),
                location,
                f"line {line} holds a {pattern.name}" + (f" ({text}…)" if text else ""),
                value=f"line {line}",
            )
    for name, places in private.items():
        location, text = places[0]
        more = f" and in {len(places) - 1} more files" if len(places) > 1 else ""
        yield PRIVATE.at(At(place.location), location, f"{name} {text}{more}", value=text)


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
