"""What must not leave the lab inside of a submission: keys and tokens by their own form, and paths of this machine.

Patterns are conservative: each matches a form that a vendor documents for its secrets, and nothing that a log or a
README of a result holds by chance. A match names the file, the line and the kind, never the secret itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_OVERLAP_BYTES = 512  # longer than any match, so that none is cut by a block's end
_SHORTEST_PATH = 6  # "/root/": a shorter prefix would match everything

_PASSWORD = (
    rb"(?im)^[ \t]*(?:export[ \t]+)?[\"']?(?:[a-z0-9]+_)*(?:password|passwd|ansible_become_pass|ansible_ssh_pass)[\"']?"
    rb"[ \t]*[:=][ \t]*[\"']?(?![\"'\s<>{}$*()%]|(?:none|null|true|false|password|changeme|x+|\.+)\b)"
    rb"[^\s\"'<>{}$*()%,;]{6,}[\"']?[ \t]*,?$"
)
_IN_ADDRESS = rb"\bhttps?://[^\s/:@'\"<>]{1,64}:[^\s/:@'\"<>{}$*]{3,64}@[A-Za-z0-9.-]{3,}"

# Kind -> form, of keys and tokens that begin with a word of their own. Bytes, as any file may hold them.
TOKENS: dict[str, re.Pattern[bytes]] = {
    "GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,90})\b"),
    "GitLab token": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])"),
    "Hugging Face token": re.compile(rb"\bhf_[A-Za-z]{34}\b"),
    "NVIDIA API key": re.compile(rb"\bnvapi-[A-Za-z0-9_-]{60,70}(?![A-Za-z0-9_-])"),
    "AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "Google API key": re.compile(rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    "OpenAI key": re.compile(rb"\bsk-(?:proj-)?[A-Za-z0-9_-]{20}T3BlbkFJ[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])"),
    "Slack token": re.compile(rb"\bxox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,}(?![A-Za-z0-9_-])"),
    "PyPI token": re.compile(rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}(?![A-Za-z0-9_-])"),
}
PATTERNS: dict[str, re.Pattern[bytes]] = {
    "private key": re.compile(
        rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----\s*(?:[A-Za-z-]+:.*\s+)*[A-Za-z0-9+/=]{30}"
    ),
    **TOKENS,
    "ansible-vault file": re.compile(rb"^\$ANSIBLE_VAULT;1\.[12];AES256", re.MULTILINE),
    "password": re.compile(_PASSWORD),
    "password in an address": re.compile(_IN_ADDRESS),
}


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that must not leave: where it is, and what kind of thing it is."""

    location: str
    line: int
    kind: str

    @property
    def sentence(self) -> str:
        """Location, line and kind."""
        return f"{self.location}:{self.line}: {self.kind}"


def machine_paths(*folders: Path) -> tuple[str, ...]:
    """Return the beginnings of paths that name this machine: its user's home, and the given folders, absolute."""
    found = {os.path.expanduser("~"), *(str(folder.resolve()) for folder in folders)}
    return tuple(sorted(path for path in (f"{one.rstrip('/')}/" for one in found) if len(path) >= _SHORTEST_PATH))


def scan(root: Path, names: Iterable[str], paths: Sequence[str]) -> Iterator[Leak]:
    """Look through files of a tree.

    Args:
        root: The tree.
        names: Files to look at, relative, with "/".
        paths: Beginnings of absolute paths that must not occur, each with its last slash.
    """
    patterns = dict(PATTERNS)
    if paths:
        # Not inside of a longer path: "/srv/root/" does not name the folder "/root/".
        alternatives = b"|".join(re.escape(path.encode()) for path in paths)
        patterns["path of this machine"] = re.compile(rb"(?<![A-Za-z0-9._~/-])(?:" + alternatives + rb")")
    for name in names:
        yield from _scan_file(root / name, name, patterns)


def _scan_file(path: Path, name: str, patterns: dict[str, re.Pattern[bytes]]) -> Iterator[Leak]:
    lines, tail = 0, b""
    seen: set[tuple[str, int]] = set()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            text = tail + block
            for kind, pattern in patterns.items():
                for match in pattern.finditer(text):
                    place = (kind, lines + text.count(b"\n", 0, match.start()) + 1)
                    if place not in seen:
                        seen.add(place)
                        yield Leak(name, place[1], kind)
            tail = text[-_OVERLAP_BYTES:]
            lines += text.count(b"\n", 0, len(text) - len(tail))
