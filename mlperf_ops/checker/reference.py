"""docs/reference/rules.md and a page of each rule: `python -m mlperf_ops.checker.reference docs/reference`."""

from __future__ import annotations

import sys
from pathlib import Path

from mlperf_ops.checker.examples import EXAMPLES
from mlperf_ops.checker.model import Severity
from mlperf_ops.checker.registry import FAMILIES
from mlperf_ops.checker.rules import Family, Rule

_OBJECTS: dict[Severity, str] = {
    "official": "The official submission checker rejects the result, or ends with a traceback.",
    "rules": "The rules or earlier official checkers reject it; the present official checker accepts it.",
    "advice": "Nobody rejects it.",
}


def rules_markdown(families: tuple[Family, ...] = FAMILIES) -> str:
    """Return docs/reference/rules.md: every rule by family, with who objects."""
    count = sum(len(family.rules) for family in families)
    lines = [
        "# Rules of `mlperf-ops check`",
        "",
        "Made from the rules in `mlperf_ops/checker` by `make docs`; do not edit.",
        "",
        f"{count} rules, a page each: what it means, an example, how to fix it, where it comes from.",
        "`mlperf-ops check --explain RULE` shows the same, and an example.",
        "",
        "Who objects: **official**: the official submission checker rejects the result, or ends with a traceback;",
        "**rules**: the rules or earlier official checkers reject it, the present one accepts it; **advice**: nobody",
        "rejects it. Where it depends on the division or the file, the finding states who objects.",
        "",
    ]
    for family in families:
        lines += [f"## {family.title}", "", "| rule | who objects | what |", "|---|---|---|"]
        lines += [
            f"| [{rule.id}](rules/{rule.id}.md) | {rule.severity} | {_cell(rule.title)} |" for rule in family.rules
        ]
        lines.append("")
    return "\n".join(lines)


def rule_markdown(rule: Rule, family: Family) -> str:
    """Return the page of a rule."""
    place, message = EXAMPLES[rule.id]
    return "\n".join(
        [
            f"# {rule.id}",
            "",
            f"{rule.title[0].upper()}{rule.title[1:]}. Family: [{family.title}](../rules.md).",
            "",
            f"**Who objects**: {rule.severity}. {_OBJECTS[rule.severity]}",
            "",
            f"**Why it matters**: {_text(rule.meaning)}",
            "",
            "**Example**:",
            "",
            "```",
            f"{rule.id}: {message}",
            f"  [{place}]",
            "```",
            "",
            f"**What to do**: {_text(rule.fix)}",
            "",
            *([f"Where mlperf-ops made the results: {_text(rule.own)}", ""] if rule.own else ()),
            f"**Source**: {_text(rule.source)}",
            "",
        ]
    )


def pages(families: tuple[Family, ...] = FAMILIES) -> dict[str, str]:
    """Return every page by its name below docs/reference."""
    found = {"rules.md": rules_markdown(families)}
    for family in families:
        found |= {f"rules/{rule.id}.md": rule_markdown(rule, family) for rule in family.rules}
    return found


def _text(text: str) -> str:
    return text.replace("<", "\\<")


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def write(reference: Path) -> None:
    """Write all pages, and remove those of rules that are gone."""
    made = pages()
    (reference / "rules").mkdir(parents=True, exist_ok=True)
    for old in (reference / "rules").glob("*.md"):
        if f"rules/{old.name}" not in made:
            old.unlink()
    for name, text in made.items():
        (reference / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
