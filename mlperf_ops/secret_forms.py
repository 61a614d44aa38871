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
_AFTER_SCHEME = rb"://[^\s/:@'\"<>]{1,64}:[^\s/:@'\"<>{}$*]{3,64}@[A-Za-z0-9.-]{3,}"
_IN_ADDRESS = rb"\bhttps?" + _AFTER_SCHEME
_KEY_BLOCK = (
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*(?:[A-Za-z-]+:.*\s+){0,4}[A-Za-z0-9+/=]{30}"
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a text looks like that holds a certain kind of thing.

    Attributes:
        pattern: Of bytes, as any file may hold it.
        literals: One of these is in every text that has it; looking for them is quicker than for the pattern.
        shown: So many characters of it may be repeated in a message.
        hint: A simpler pattern that is in every text that has it. It begins with a literal, so that it is looked for
            only where that stands; for literals that many texts have.
    """

    pattern: re.Pattern[bytes]
    literals: tuple[bytes, ...]
    shown: int = 0
    hint: re.Pattern[bytes] | None = None

    def search(self, content: bytes) -> re.Match[bytes] | None:
        """Return the first place that has it."""
        return self.pattern.search(content) if self.may_be_in(content) else None

    def may_be_in(self, content: bytes) -> bool:
        """Tell whether it is worth looking for."""
        for literal in self.literals:  # a generator takes longer than most of the looks
            if literal in content:
                return self.hint is None or self.hint.search(content) is not None
        return False


def _token(pattern: bytes, *literals: bytes, hint: bytes | None = None) -> Form:
    """Return the form of a key or token that begins with a word of its own.

    A literal that ends with "-" is slow to look for: documents have long rows of it.
    """
    return Form(re.compile(pattern), literals, shown=4, hint=None if hint is None else re.compile(hint))


SECRETS: dict[str, Form] = {
    "private key": Form(re.compile(_KEY_BLOCK), (b"PRIVATE KEY",)),
    "GitHub token": _token(
        rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,90})\b",
        b"gh",
        hint=rb"gh(?:[pousr]_|ithub_pat_)",
    ),
    "GitLab token": _token(rb"\bglpat-[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])", b"glpat"),
    "Hugging Face token": _token(rb"\bhf_[A-Za-z]{34}\b", b"hf_", hint=rb"hf_[A-Za-z]{34}"),
    "NVIDIA API key": _token(rb"\bnvapi-[A-Za-z0-9_-]{60,70}(?![A-Za-z0-9_-])", b"nvapi"),
    "AWS access key": _token(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", b"AKIA", b"ASIA"),
    "Google API key": _token(rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", b"AIza"),
    "OpenAI key": _token(
        rb"\bsk-(?:proj-)?[A-Za-z0-9_-]{20}T3BlbkFJ[A-Za-z0-9_-]{20}(?![A-Za-z0-9_-])", b"T3Blbk" + b"FJ"
    ),
    "Slack token": _token(rb"\bxox[abprs]-[0-9]{10,}-[A-Za-z0-9-]{20,}(?![A-Za-z0-9_-])", b"xox"),
    "PyPI token": _token(rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}(?![A-Za-z0-9_-])", b"pypi-"),
    "ansible-vault file": Form(re.compile(rb"^\$ANSIBLE_VAULT;1\.[12];AES256", re.MULTILINE), (b"$ANSIBLE_VAULT",)),
    "password": Form(re.compile(_PASSWORD), (b"passw", b"PASSW", b"Passw", b"_pass", b"_PASS")),
    "password in an address": Form(re.compile(_IN_ADDRESS), (b"://",), hint=re.compile(_AFTER_SCHEME)),
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
    forms = dict(SECRETS)
    if paths:
        # Not inside of a longer path: "/srv/root/" does not name the folder "/root/".
        alternatives = b"|".join(re.escape(path.encode()) for path in paths)
        pattern = re.compile(rb"(?<![A-Za-z0-9._~/-])(?:" + alternatives + rb")")
        forms["path of this machine"] = Form(pattern, tuple(path.encode() for path in paths))
    for name in names:
        yield from _scan_file(root / name, name, forms)


def _scan_file(path: Path, name: str, forms: dict[str, Form]) -> Iterator[Leak]:
    lines, tail = 0, b""
    seen: set[tuple[str, int]] = set()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            text = tail + block
            for kind, form in forms.items():
                for match in form.pattern.finditer(text) if form.may_be_in(text) else ():
                    place = (kind, lines + text.count(b"\n", 0, match.start()) + 1)
                    if place not in seen:
                        seen.add(place)
                        yield Leak(name, place[1], kind)
            tail = text[-_OVERLAP_BYTES:]
            lines += text.count(b"\n", 0, len(text) - len(tail))
