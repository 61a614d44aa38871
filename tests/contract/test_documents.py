"""What the documents say is there: links, verbs and options, variables, files, kinds of failure."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mlperf_ops import aggregate, run_plan, runlock
from mlperf_ops.cli import VERBS, app
from mlperf_ops.harness import attempt_files
from mlperf_ops.lab_vars import HostVars

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FILES_PAGE = DOCS / "reference" / "files.md"
# Words that look like variables of the inventory and are not.
OTHER_NAMES = re.compile(r"mlperf_(ops|loadgen|log_\w+|inf_mm_q3vl)$")


def blocks(page: Path, language: str = "") -> Iterator[str]:
    """Yield the code blocks of a page."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if not language or match[1] == language:
            yield match[2]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.match(r"(?:\$ )?(?:\.venv/bin/)?mlperf-ops (.*)", line.strip())
                if match and match[1] != "VERB [OPTIONS] …":
                    yield f"{page.name}: {line.strip()}", shlex.split(match[1], comments=True)


def test_commands_in_code_blocks_have_the_verbs_and_options_that_they_use() -> None:
    group: Any = typer.main.get_command(app)
    seen = 0
    for where, (verb, *words) in commands():
        assert verb in VERBS, where
        command = group.get_command(None, verb)
        if getattr(command, "commands", None) and words:
            command = command.commands.get(words.pop(0))
            assert command is not None, where
        known = {name for param in command.params for name in [*param.opts, *param.secondary_opts]}
        own = words[: words.index("--")] if "--" in words else words
        for word in own:
            if word.startswith("-"):
                assert word.partition("=")[0] in known, where
        seen += 1
    assert seen > len(VERBS)


def test_every_verb_has_an_example_and_json() -> None:
    group: Any = typer.main.get_command(app)
    for verb in VERBS:
        command = group.get_command(None, verb)
        assert "Example: mlperf-ops" in (command.help or ""), verb
        for leaf in getattr(command, "commands", {verb: command}).values():
            assert any("--json" in param.opts for param in leaf.params), verb


def test_variables_that_the_documents_name_are_those_of_the_inventory() -> None:
    known = {field.alias for field in HostVars.model_fields.values()} | {
        f"mlperf_{name}" for name in HostVars.model_fields
    }
    for page in PAGES:
        for name in re.findall(r"\bmlperf_\w+", page.read_text()):
            assert name in known or OTHER_NAMES.match(name), f"{page.name}: {name}"


def test_examples_of_files_are_json_with_the_keys_of_their_schemas() -> None:
    text = FILES_PAGE.read_text()
    sections = dict(re.findall(r"^### (\S+)\n.*?^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for block in blocks(FILES_PAGE, "json"):
        json.loads(block)
    for name in ("plan", "spec", "result", "cells"):
        schema = json.loads((DOCS / "reference" / "schemas" / f"{name}.json").read_text())
        assert set(json.loads(sections[f"{name}.json"])) == set(schema["properties"]), name


def test_the_files_page_names_every_file() -> None:
    text = FILES_PAGE.read_text()
    names = {
        *(
            attempt_files.SPEC,
            attempt_files.USER_CONF,
            attempt_files.CONSOLE,
            attempt_files.STATE,
            attempt_files.RESULT,
        ),
        *(attempt_files.MANIFEST, attempt_files.PHASE, run_plan.TREE, run_plan.FULL_LOGS, aggregate.ORIGINS),
        *(aggregate.SUMMARY, runlock.OWNER_FILE, "plan.json", "facts.json", "cells.json", "checks.json"),
        *("verdict.md", "report.html", "provision.json", "store.json", "measured_targets.yml"),
    }
    assert [name for name in sorted(names) if name not in text] == []


def test_kinds_of_failure_that_a_page_explains_exist() -> None:
    kinds: set[str] = set()
    for path in (ROOT / "mlperf_ops" / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                kinds.add(node.value)
    page = (DOCS / "how-to" / "debug-a-cell.md").read_text()
    table = page.partition("| kind | cause |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert len(explained) > 4
    assert explained <= kinds


def test_decisions_are_numbered_and_short() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        lines = page.read_text().splitlines()
        assert lines[0].startswith(f"# {page.name[:4]}: ")
        assert len(lines) <= 60, page.name
        assert {"## Context", "## Decision", "## Consequences"} <= set(lines), page.name


def test_changelog_fragments_have_names_that_towncrier_reads() -> None:
    fragments = [path.name for path in (DOCS / "changelog").glob("*.md") if path.name != "README.md"]
    assert fragments
    for name in fragments:
        assert re.fullmatch(r"(\d+|\+[\w-]+)\.(feature|bugfix|removal|doc|misc)(\.\d+)?\.md", name), name
    assert "<!-- towncrier release notes start -->\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    made: str = runpy.run_path(str(ROOT / "tools" / "cli_docs.py"))["document"]()
    assert made == (DOCS / "reference" / "cli.md").read_text(), "run: make docs"
