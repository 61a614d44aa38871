"""What a pack says of itself: MANIFEST.md inside of it, and <pack>.manifest.json beside it. Pure.

The page inside is Markdown, because the top folder of a submission may hold documents only, and `sha256sum --check`
finds the digests in it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlperf_ops import __version__
from mlperf_ops.errors import SubmissionError

PAGE = "MANIFEST.md"
BESIDE = ".manifest.json"
SCHEMA = 1
_TAINTED = "- Tainted, and packed on request: "
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_ROUND = re.compile(r"MLPerf Inference (\S+), ")


@dataclass(frozen=True, slots=True)
class PackedResult:
    """A result in a pack: its folder, and its number with unit."""

    location: str
    result: str


@dataclass(frozen=True, slots=True)
class PackManifest:
    """<pack>.manifest.json.

    Attributes:
        pack: File name of the pack.
        sha256: Of the whole pack.
        round: Whose rules it passed.
        results: What it holds.
        tainted: Results that were packed although their host drifted, by name.
        files: Relative path -> sha256, without the page that lists them.
    """

    pack: str
    sha256: str
    size_bytes: int
    round: str
    results: tuple[PackedResult, ...]
    tainted: tuple[str, ...]
    files: dict[str, str]
    mlperf_ops: str = __version__
    schema: int = SCHEMA


def is_safe_name(name: str) -> bool:
    """Whether a file of this name can be packed, and unpacked on any machine under the same name."""
    plain = name not in {"", ".", ".."} and not any(char < " " or char in "\x7f\\" for char in name)
    return plain and not any("\ud800" <= char <= "\udfff" for char in name)


def tainted_of(text: str) -> tuple[str, ...]:
    """Return the results that a MANIFEST.md calls tainted."""
    return tuple(line.removeprefix(_TAINTED) for line in text.splitlines() if line.startswith(_TAINTED))


def page(round_name: str, results: Sequence[PackedResult], tainted: Sequence[str], files: Mapping[str, str]) -> str:
    """Return MANIFEST.md; equal content gives equal bytes."""
    lines = [
        "# Manifest",
        "",
        f"MLPerf Inference {round_name}, {len(results)} results, {len(files)} files.",
        f"Packed by mlperf-ops {__version__}. Every result passed the check of the round, and `mlperf-ops verify PACK`",
        "repeats it.",
        "The digests alone:",
        "",
        "```sh",
        f"grep -E '^[0-9a-f]{{64}}  ' {PAGE} | sha256sum --check --quiet",
        "```",
        "",
        "## Results",
        "",
        *(f"- {one.location}: {one.result}" for one in results),
        *(f"{_TAINTED}{name}" for name in tainted),
        "",
        "## Files",
        "",
        "```text",
        *(f"{digest}  {name}" for name, digest in sorted(files.items())),
        "```",
    ]
    return "\n".join(lines) + "\n"


def read_page(text: str) -> tuple[str, dict[str, str]]:
    """Return the round and the digests of a MANIFEST.md.

    Raises:
        SubmissionError: It is none of ours.
    """
    round_name = _ROUND.search(text)
    files = {match[2]: match[1] for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    if round_name is None or not files:
        raise SubmissionError(f"{PAGE} of the pack is not one that mlperf-ops wrote")
    return round_name[1], files
