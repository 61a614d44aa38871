"""report.html: self-contained, the same bytes for the same run, nothing of a log taken for markup."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlperf_ops import cli
from mlperf_ops.checker import Disagreement, OfficialReport, OfficialResult, OfficialRun
from mlperf_ops.files import read_json, write_json
from mlperf_ops.model import Failure, Result
from mlperf_ops.report import build, verdict_text
from mlperf_ops.runlock import OWNER_FILE, current_owner
from mlperf_ops.typed import dump, load
from tests.support.sample_run import FEW_IMAGES, NO_IMAGENET, change_checks, change_plan, read_checks, read_plan

INJECTION = "<script>alert(1)</script><img src=http://e/x onerror=alert(2)> $\\frac{1}{0}$ & \"'"


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def html_of(run: Path) -> str:
    return build(run).report_html.read_text()


@pytest.fixture(scope="module")
def page(demonstration: Path) -> Page:
    return Page(html_of(demonstration))


def poison(run: Path) -> None:
    """Put markup, math and quotes wherever text comes from logs, hosts or people."""
    path = next(run.glob("hosts/node1/**/Server/performance/**/result.json"))
    result = load(Result, read_json(path), str(path))
    assert result.loadgen is not None
    changed = dataclasses.replace(
        result,
        verdict="failed",
        reasons=(INJECTION,),
        failure=Failure("crash", INJECTION, INJECTION, (INJECTION, "\x1b[31mred")),
        effective={INJECTION: INJECTION, "providers": [INJECTION]},
        loadgen=dataclasses.replace(result.loadgen, fields={**result.loadgen.fields, INJECTION: INJECTION}),
    )
    write_json(path, dump(changed))
    (path.parent / "user.conf").write_text(INJECTION)
    write_json(path.parent / "manifest.json", {"schema": 1, "files": {INJECTION: INJECTION}})
    facts = {"values": {INJECTION: {"value": INJECTION, "origin": INJECTION}}, "unknown": {"x": INJECTION}}
    write_json(run / "hosts/node1/facts.json", facts)
    checks = read_checks(run)
    finding = dataclasses.replace(
        checks.findings[0], rule=INJECTION, message=INJECTION, meaning=INJECTION, fix=INJECTION, location=INJECTION,
        value=INJECTION, limit=INJECTION, expected_because=None,
    )  # fmt: skip
    different = Disagreement(INJECTION, "accepts", "rejects", INJECTION)
    change_checks(
        run, verdict="rejected", findings=(finding, *checks.findings), disagreements=(different,),
        official_note=INJECTION,
    )  # fmt: skip
    plan = read_plan(run)
    last = dataclasses.replace(plan.cells[-1], reason=INJECTION)
    limits = tuple(dataclasses.replace(limit, because=INJECTION) for limit in plan.limits)
    change_plan(
        run, submitter=INJECTION, inventory=INJECTION, cells=(*plan.cells[:-1], last), limits=limits,
        hosts=tuple(dataclasses.replace(host, home=INJECTION) for host in plan.hosts),
        components=tuple(dataclasses.replace(one, source=INJECTION, version=INJECTION) for one in plan.components),
    )  # fmt: skip


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert not page.values("src")
    assert all(href.startswith("#") for href in [*page.values("href"), *page.values("xlink:href")])
    assert "default-src 'none'" in " ".join(page.values("content"))
    assert page.tags["svg"] >= 6


def test_every_link_leads_somewhere_and_no_id_is_there_twice(page: Page) -> None:
    ids = Counter(page.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {href[1:] for href in page.values("href")} <= set(ids)


def test_what_plots_refer_to_is_in_the_page(demonstration: Path) -> None:
    text = html_of(demonstration)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(re.findall(r'id="([^"]+)"', text))


def test_a_plots_style_does_not_reach_the_page(page: Page) -> None:
    assert page.tags["style"] == 1
    assert page.tags["metadata"] == 0


def test_the_page_answers_what_a_reviewer_asks_first(page: Page) -> None:
    for wanted in (
        "DEMONSTRATION, not submittable",
        FEW_IMAGES,
        "Everything else holds.",
        "target ≥ 75.6954: met",
        "200 samples",
        f"node1/resnet50/SingleStream/performance {NO_IMAGENET}",
        "limit 15 ms",
        "Memory modules dmidecode is not installed",
        "CPU model Intel(R) Xeon(R) Processor lscpu: Model name",
        "Unverified",
    ):
        assert wanted in page.text, wanted


def test_every_cell_has_its_commands_user_conf_and_digests(demonstration: Path, page: Page) -> None:
    result = load(
        Result, read_json(next(demonstration.glob("hosts/node1/**/Offline/accuracy/**/result.json"))), "result.json"
    )
    assert result.accuracy is not None
    for wanted in (
        "ansible-playbook run-inference.yml -i inventory/lab",
        "-m mlperf_ops.harness --spec runs/demo/node1/efficientnet-lite0/Offline/accuracy/",
        "*.Offline.target_qps = 1",
        result.spec_sha256,
        result.accuracy.full_log_sha256,
    ):
        assert wanted in page.text, wanted
    manifest = read_json(next(demonstration.glob("hosts/node1/**/Offline/accuracy/**/manifest.json")))["files"]
    assert isinstance(manifest, dict)
    assert all(str(digest) in page.text for digest in manifest.values())


def test_the_submissions_own_words_on_the_system_stand_beside_the_facts(page: Page) -> None:
    assert "systems/node1.json" in page.text
    assert "cooling no fact of the machine tells it" in page.text


def test_nothing_of_a_log_is_taken_for_markup(run: Path) -> None:
    poison(run)
    text = html_of(run)
    page = Page(text)
    assert page.tags["script"] == 0
    assert page.tags["img"] == 0
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert " ".join(INJECTION.split()) in page.text
    assert "\x1b" not in text
    assert "<script" not in text.lower()


def test_the_official_checkers_lines_are_there_to_be_read(run: Path) -> None:
    location = read_checks(run).results[0].location
    words = (f"{location}/accuracy/accuracy.txt is wrong {INJECTION}",)
    official = OfficialReport(
        "0" * 40, "0" * 40, "v6.1", None, ("--skip-power-check",),
        (OfficialRun("open/x", 1, "KeyError: 'a'", None),),
        (OfficialResult(location, passed=False, metric=None, errors=words, row={}),), accepted=False,
    )  # fmt: skip
    change_checks(run, official=official)
    page = Page(html_of(run))
    assert f"{location} 1 line accuracy/accuracy.txt is wrong {' '.join(INJECTION.split())}" in page.text
    assert "KeyError: 'a'" in page.text
    assert "with --skip-power-check" in page.text
    assert page.tags["script"] == 0


def test_verdict_md_and_terminal_survive_the_same_text(run: Path) -> None:
    poison(run)
    assert "<script" not in build(run).verdict_md.read_text()
    assert "\x1b" not in verdict_text(run)


def test_a_failed_cell_shows_its_last_lines_and_the_hint(run: Path) -> None:
    poison(run)
    page = Page(html_of(run))
    assert "[U+001B][31mred" in page.text
    assert "Hint: " in page.text


def test_equal_runs_give_equal_bytes_and_are_not_written_again(run: Path) -> None:
    first = build(run)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (first.report_html, first.verdict_md)}
    second = build(run)
    assert (first.changed, second.changed) == (True, False)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    first.report_html.unlink()
    assert build(run).changed
    assert first.report_html.read_bytes() == before[first.report_html][0]


def test_a_run_with_nothing_collected_still_has_a_report(run: Path) -> None:
    (run / "hosts/node1/cells.json").unlink()
    (run / "report/checks.json").unlink()
    page = Page(html_of(run))
    assert "NOT CHECKED" in page.text
    assert "8 of 8 cells have no result" in page.text
    assert page.tags["svg"] == 0


def test_the_command_answers_in_json_and_a_bad_verdict_is_not_its_exit_code(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_plan(run, limits=())
    checks = read_checks(run)
    findings = tuple(dataclasses.replace(finding, expected_because=None) for finding in checks.findings)
    change_checks(run, verdict="rejected", findings=findings)
    assert exit_code(["report", str(run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"changed", "verdict", "verdict_md", "report_html", "text", "in_use"}
    assert (answer["changed"], answer["verdict"]) == (True, "rejected")
    assert answer["report_html"] == str(run / "report/report.html")
    assert answer["text"] == verdict_text(run)


def test_the_command_prints_the_text_and_says_on_stderr_whether_it_wrote(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["report", str(run)]) == 0
    told = capsys.readouterr()
    assert told.out == verdict_text(run)
    assert told.err == "report written\n"


def test_a_report_of_a_run_that_goes_on_says_whose_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        write_json(run / OWNER_FILE, dataclasses.asdict(current_owner(other.pid)))
        assert exit_code(["report", str(run)]) == 0
        told = capsys.readouterr()
        assert told.out == verdict_text(run)
        assert f"{run} is in use by process {other.pid} (" in told.err
        assert f"as {run / OWNER_FILE} says: this report is of what was there so far" in told.err
    finally:
        other.communicate(b"\n")
    assert exit_code(["report", str(run)]) == 0  # an owner that has ended is none
    assert "in use" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["report", "aggregate"])
def test_an_unknown_round_is_named_with_the_file_and_the_key(
    run: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    change_plan(run, round="v6.9")
    assert exit_code([verb, str(run)]) == 2
    told = capsys.readouterr().err
    assert f"{run}/plan.json: round: unknown round 'v6.9'; expected one of" in told


def test_a_folder_that_is_no_run_is_one_sentence_and_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["report", str(tmp_path)]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "is not a run folder" in told.err


def exit_code(arguments: list[str]) -> int:
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
