"""Damage to single files of a good tree: every file that a rule looks at, in every state that a file can be in.

A table names what each state of each file must give; a state that is not named is harmless. "!" after a rule: the
official checker objects; "?": advice; "2*": two findings of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mlperf_ops.checker.model import Severity
from mlperf_ops.model import Division
from tests.support.submission_trees import SUBMITTER, SYSTEM

Expected: TypeAlias = "Counter[tuple[str, Severity]]"
_SEVERITY: dict[str, Severity] = {"!": "official", "?": "advice"}


def expected(text: str) -> Expected:
    """Read an entry of the table."""
    found: Expected = Counter()
    for word in text.split():
        count, _, name = word.rpartition("*")
        severity = _SEVERITY.get(name[-1], "rules")
        found[name.rstrip("!?"), severity] += int(count or 1)
    return found


# --- the states ---------------------------------------------------------------------------------------


def _missing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _blank(path: Path) -> None:
    path.write_bytes(b"\n")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "README.md").write_text("x\n")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def _latin(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xe9\n")


def _bom(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def _crlf(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def _utf16(path: Path) -> None:
    path.write_bytes(path.read_bytes().decode().encode("utf-16"))


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _nul(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0\0\0\n")


def _twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def _unicode(path: Path) -> None:
    path.write_bytes(path.read_bytes() + "\u2028caf\u00e9 \u65e5\u672c\U0001f600\n".encode())


def _upper(path: Path) -> None:
    path.rename(path.with_name(path.name.upper()))


def _array(path: Path) -> None:
    path.write_text("[1]\n")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


STATES: dict[str, Callable[[Path], None]] = {
    "missing": _missing,
    "empty": _empty,
    "blank": _blank,
    "folder": _folder,
    "loop": _loop,
    "dangling": _dangling,
    "garbage": _garbage,
    "latin": _latin,
    "bom": _bom,
    "crlf": _crlf,
    "utf16": _utf16,
    "half": _half,
    "nul": _nul,
    "twice": _twice,
    "unicode": _unicode,
    "upper": _upper,
    "array": _array,
    "deep": _deep,
}

# --- what they must give ------------------------------------------------------------------------------


def _all(states: str, text: str) -> dict[str, str]:
    return dict.fromkeys(states.split(), text)


_LOG = {
    **_all("missing folder", "missing-file!"),
    **_all("empty blank garbage latin bom utf16 array deep", "log-unreadable!"),
    **_all("loop dangling", "missing-file! symlink"),
    **_all("nul unicode", "log-unreadable"),
    "half": "log-incomplete!",
    "upper": "missing-file! stray-file",
}
_SUMMARY = {
    **_all("missing folder", "missing-file"),
    **_all("blank garbage utf16 half array deep", "summary-mismatch"),
    **_all("loop dangling", "missing-file symlink"),
    "empty": "empty-file",
    "upper": "missing-file stray-file",
}
_ACCURACY_TEXT = {
    **_all("missing folder", "missing-file!"),
    **_all("empty blank array deep", "accuracy-hash! accuracy-metric-missing!"),
    **_all("garbage utf16", "accuracy-hash! accuracy-metric-missing! text-encoding!"),
    **_all("loop dangling", "missing-file! symlink"),
    "latin": "text-encoding!",
    "bom": "accuracy-metric-missing!",
    "half": "accuracy-hash",
    "upper": "missing-file! stray-file",
}
_ACCURACY_LOG = {
    **_all("blank garbage latin bom crlf utf16 half nul twice unicode array", "accuracy-hash-mismatch"),
    **_all("loop dangling", "missing-file! symlink"),
    "missing": "missing-file!",
    "folder": "missing-file",
    "empty": "accuracy-hash-mismatch empty-file",
    "upper": "missing-file! stray-file",
    "deep": "accuracy-log-size!",
}
_MEASUREMENTS = {
    "missing": "missing-file!",
    "folder": "missing-file! unknown-folder?",
    "upper": "missing-file! stray-file?",
    **_all("loop dangling", "missing-file! symlink"),
    **_all("empty blank garbage latin bom utf16 half nul twice unicode array deep", "measurements-unreadable!"),
}
_ABOUT_RUN = {
    "missing": "missing-file!",
    "empty": "empty-file!",
    "folder": "missing-file! unknown-folder?",
    "upper": "missing-file! stray-file?",
    **_all("loop dangling", "missing-file! symlink"),
}
_VERIFIED_ACCURACY = {
    **_all("missing folder upper", "missing-compliance!"),
    **_all("empty blank half array deep", "2*missing-compliance!"),
    **_all("garbage utf16", "2*missing-compliance! text-encoding!"),
    **_all("loop dangling", "missing-compliance! symlink"),
    "latin": "text-encoding!",
}
_VERIFIED_SPEED = {
    **_all("missing folder upper", "missing-compliance!"),
    **_all("empty blank half array deep", "compliance-performance!"),
    **_all("garbage utf16", "compliance-performance! text-encoding!"),
    **_all("loop dangling", "missing-compliance! symlink"),
    "latin": "text-encoding!",
}
_TEST_LOG = _LOG | {
    **_all("missing folder", "missing-compliance!"),
    **_all("loop dangling", "missing-compliance! symlink"),
    "upper": "missing-compliance! stray-file!",
}
_TEST_SUMMARY = _SUMMARY | {
    **_all("missing folder", "missing-compliance!"),
    **_all("loop dangling", "missing-compliance! symlink"),
    "upper": "missing-compliance! stray-file!",
}
_TEST_ACCURACY = {
    **_all("missing folder", "missing-compliance"),
    **_all("loop dangling", "missing-compliance symlink"),
    "empty": "empty-file",
    "upper": "missing-compliance stray-file",
}
_SYSTEM = {
    **_all("empty blank garbage latin bom utf16 half nul twice unicode array deep", "system-description-unreadable!"),
    **_all("loop dangling", "system-description-missing! symlink"),
    "missing": "system-description-missing! empty-folder",
    "folder": "system-description-missing!",
    "upper": "system-description-missing! stray-file",
}
_CALIBRATION = {
    **_all("empty folder upper", "missing-calibration"),
    **_all("loop dangling", "missing-calibration symlink"),
    "missing": "missing-calibration empty-folder",
}
_MAPPING = {
    **_all("loop dangling", "model-mapping? symlink"),
    "missing": "model-mapping?",
    "folder": "model-mapping? model-mapping-unreadable! unknown-folder?",
    "upper": "model-mapping? stray-file?",
    **_all("empty blank garbage latin bom utf16 half nul twice unicode array deep", "model-mapping-unreadable!"),
}
_OFFLINE = f"results/{SYSTEM}/resnet50/Offline"
_FILES: tuple[tuple[Division, str, Mapping[str, str]], ...] = (
    ("closed", f"{_OFFLINE}/performance/run_1/mlperf_log_detail.txt", _LOG),
    ("closed", f"{_OFFLINE}/performance/run_1/mlperf_log_summary.txt", _SUMMARY),
    ("closed", f"{_OFFLINE}/accuracy/mlperf_log_detail.txt", _LOG),
    ("closed", f"{_OFFLINE}/accuracy/mlperf_log_summary.txt", _SUMMARY),
    ("closed", f"{_OFFLINE}/accuracy/accuracy.txt", _ACCURACY_TEXT),
    ("closed", f"{_OFFLINE}/accuracy/mlperf_log_accuracy.json", _ACCURACY_LOG),
    ("closed", f"{_OFFLINE}/measurements.json", _MEASUREMENTS),
    ("closed", f"{_OFFLINE}/user.conf", _ABOUT_RUN),
    ("closed", f"{_OFFLINE}/README.md", _ABOUT_RUN),
    ("closed", f"{_OFFLINE}/TEST01/verify_accuracy.txt", _VERIFIED_ACCURACY),
    ("closed", f"{_OFFLINE}/TEST01/verify_performance.txt", _VERIFIED_SPEED),
    ("closed", f"{_OFFLINE}/TEST01/performance/run_1/mlperf_log_detail.txt", _TEST_LOG),
    ("closed", f"{_OFFLINE}/TEST01/performance/run_1/mlperf_log_summary.txt", _TEST_SUMMARY),
    ("closed", f"{_OFFLINE}/TEST01/accuracy/accuracy.txt", _TEST_ACCURACY),
    ("closed", f"{_OFFLINE}/TEST01/accuracy/mlperf_log_accuracy.json", _TEST_ACCURACY | {"deep": "accuracy-log-size?"}),
    ("closed", f"{_OFFLINE}/TEST04/verify_performance.txt", _VERIFIED_SPEED),
    ("closed", f"{_OFFLINE}/TEST04/performance/run_1/mlperf_log_detail.txt", _TEST_LOG),
    ("closed", f"systems/{SYSTEM}.json", _SYSTEM),
    ("closed", "documentation/calibration.md", _CALIBRATION),
    ("open", "model_mapping.json", _MAPPING),
)


@dataclass(frozen=True)
class Damage:
    """One state of one file."""

    division: Division
    file: str
    state: str
    expected: Expected

    def inflict(self, root: Path) -> None:
        """Bring the file below a tree into the state."""
        STATES[self.state](root / self.division / SUBMITTER / self.file)

    def __str__(self) -> str:
        return f"{self.state} {self.file.replace(_OFFLINE, '')}"


def damages() -> Iterator[Damage]:
    """Yield every state of every file."""
    for division, file, table in _FILES:
        assert set(table) <= set(STATES)
        for state in STATES:
            yield Damage(division, file, state, expected(table.get(state, "")))
