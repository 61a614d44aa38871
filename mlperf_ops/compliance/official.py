"""The official run_verification.py of a checkout on the same logs, as a second opinion.

Each script runs in an interpreter and a folder of its own: it writes temporary files into its current folder, and
builds shell lines out of paths. The folder holds links to the logs in the places where the script expects them.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.compliance.model import (
    PASS,
    TEST06_LINES,
    VERIFY_ACCURACY,
    VERIFY_OUTPUT_LENGTH,
    VERIFY_PERFORMANCE,
    Request,
)
from mlperf_ops.errors import ToolError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG
from mlperf_ops.scratch import raise_if_disk_full, scratch_folder

_TIMEOUT_SECONDS = 3600
_DEFAULT_TYPES = {"TEST01": "byte", "TEST06": "int32"}


@dataclass(frozen=True, slots=True)
class OfficialVerification:
    """What the official script says.

    Attributes:
        passed: As the official checker reads the script's files. Of TEST01 only the deterministic part: where
            the answers differ, the official way is the benchmark's accuracy script and then the checker.
        performance_passed: Of TEST01 alone: the part on performance; None elsewhere.
        said: All that it printed.
        files: The verify_*.txt that it wrote, by name.
    """

    passed: bool
    performance_passed: bool | None
    said: str
    files: dict[str, str]


def run_official(request: Request, checkout: Path) -> OfficialVerification:
    """Run the checkout's script of a test.

    Raises:
        ToolError: The checkout has no such script, it does not end, or there is no room for temporary files.
    """
    script = checkout.resolve() / "compliance" / request.test / "run_verification.py"
    if not script.is_file():
        raise ToolError(
            f"{checkout} has no compliance/{request.test}/run_verification.py",
            hint="name a checkout of mlcommons/inference",
        )
    with scratch_folder() as scratch:
        _link(request, scratch)
        argv = [sys.executable, str(script), *_arguments(request, scratch, checkout.resolve())]
        try:
            done = subprocess.run(
                argv,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"the official script of {request.test} did not end: {error}") from error
        said = done.stdout.decode(errors="replace")
        raise_if_disk_full(said)
        out = scratch / "out" / request.test
        files = {path.name: path.read_text(errors="replace") for path in sorted(out.glob("verify_*.txt"))}
    return _read(request, said, files)


def _link(request: Request, scratch: Path) -> None:
    runs = request.runs
    places = [(runs.test, scratch / "test")]
    if runs.performance is not None:
        places.append((runs.performance, scratch / "results" / "performance" / "run_1"))
    if runs.accuracy is not None:
        places.append((runs.accuracy, scratch / "results" / "accuracy"))
    for source, target in places:
        target.mkdir(parents=True)
        for name in (ACCURACY_LOG, DETAIL_LOG, SUMMARY_LOG):
            if (source / name).is_file():
                (target / name).symlink_to((source / name).resolve())
    (scratch / "out").mkdir()
    if request.options.compliance_text is not None:
        (scratch / "score.txt").write_text(request.options.compliance_text)


def _arguments(request: Request, scratch: Path, checkout: Path) -> list[str]:
    own = request.rules.models.get(request.official)
    audit = checkout / request.rules.config.format(folder=(own.folder if own is not None else None) or "")
    kind = request.options.answer_type or _DEFAULT_TYPES.get(request.test, "")
    test, out, results = str(scratch / "test"), str(scratch / "out"), str(scratch / "results")
    by_test = {
        "TEST01": ["-r", results, "-c", test, "-o", out, "--dtype", kind],
        "TEST04": ["-r", results, "-c", test, "-o", out],
        "TEST06": ["-c", test, "-o", out, "-s", request.scenario, "-d", kind],
        "TEST07": ["-c", test, "-o", out, "--audit-config", str(audit),
                   "--accuracy-script", f"cat {shlex.quote(str(scratch / 'score.txt'))}"],
        "TEST08": ["-r", f"{results}/accuracy/{ACCURACY_LOG}", "-t", f"{test}/{ACCURACY_LOG}"],
        "TEST09": ["-c", test, "-o", out, "--audit-config", str(audit)],
    }  # fmt: skip
    return by_test[request.test]


def _read(request: Request, said: str, files: dict[str, str]) -> OfficialVerification:
    """Read the files as the official checker does."""
    accuracy, performance = files.get(VERIFY_ACCURACY, ""), files.get(VERIFY_PERFORMANCE, "")
    lines = {
        line.strip() for text in (accuracy, said if request.test == "TEST08" else "") for line in text.splitlines()
    }
    passed = {
        "TEST01": PASS in lines and PASS in performance,
        "TEST04": PASS in performance,
        "TEST06": all(lines & set(group) for group in TEST06_LINES),
        "TEST07": PASS in accuracy,
        "TEST08": PASS in lines,
        "TEST09": PASS in files.get(VERIFY_OUTPUT_LENGTH, ""),
    }
    return OfficialVerification(
        passed=passed[request.test],
        performance_passed=PASS in performance if request.test == "TEST01" else None,
        said=said,
        files=files,
    )
