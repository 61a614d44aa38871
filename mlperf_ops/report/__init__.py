"""The report of a run: verdict.md, report.html and the text that ends a playbook. Equal runs give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.campaign.obstacles import DROPPED
from mlperf_ops.catalogue import Catalogue, load_catalogue
from mlperf_ops.errors import ResultError
from mlperf_ops.files import read_json, write_atomic, write_json
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.verdict import ReportVerdict, headline
from mlperf_ops.run_plan import REPORT

VERDICT_MD, REPORT_HTML = "verdict.md", "report.html"

__all__ = ["REPORT_HTML", "VERDICT_MD", "Report", "build", "keep_dropped", "verdict_text"]


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        changed: A file differs from what was there.
        verdict: The check's verdict; "unchecked" when there is no checks.json.
        text: The terminal's version.
    """

    changed: bool
    verdict: ReportVerdict
    verdict_md: Path
    report_html: Path
    text: str


def build(run: Path, catalogue: Catalogue | None = None) -> Report:
    """Write report/verdict.md and report/report.html of a run folder; unchanged files stay untouched.

    Raises:
        ResultError: The folder holds no readable plan.json.
        ConfigError: The catalogue does not know the plan's round.
        ToolError: The files cannot be written.
    """
    from mlperf_ops.report import html, markdown, text  # noqa: PLC0415  # Jinja is not needed for the text alone

    data = read_run(run, catalogue or load_catalogue())
    folder = run / REPORT
    page, verdict = folder / REPORT_HTML, folder / VERDICT_MD
    changed = _write(page, html.verdict_page(data))
    changed = _write(verdict, markdown.verdict_markdown(data)) or changed
    return Report(changed, headline(data).verdict, verdict, page, text.verdict_lines(data, str(page)))


def keep_dropped(run: Path, told: Path) -> None:
    """Make dropped.json what the last play said of the hosts that dropped out of it; without any there is no file.

    Raises:
        ResultError: What was told is no JSON object.
        ToolError: The file cannot be written.
    """
    if told.is_file():
        write_json(run / DROPPED, {"schema": 1, **read_json(told)})
    else:
        (run / DROPPED).unlink(missing_ok=True)


def verdict_text(run: Path, catalogue: Catalogue | None = None) -> str:
    """Return the verdict, the results table and the findings of a run folder as plain text; writes nothing.

    Raises:
        ResultError: The folder holds no readable plan.json.
        ConfigError: The catalogue does not know the plan's round.
    """
    from mlperf_ops.report import text  # noqa: PLC0415

    return text.verdict_lines(read_run(run, catalogue or load_catalogue()), str(run / REPORT / REPORT_HTML))


def _write(path: Path, content: str) -> bool:
    raw = content.encode(errors="replace")
    try:
        if path.is_file() and path.read_bytes() == raw:
            return False
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror or error}") from error
    write_atomic(path, raw)
    return True
