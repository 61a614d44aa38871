"""docs/reference/rules.md: `python -m mlperf_ops.checker.reference > docs/reference/rules.md`."""

from __future__ import annotations

from mlperf_ops.checker.registry import FAMILIES
from mlperf_ops.checker.rules import Family


def rules_markdown(families: tuple[Family, ...] = FAMILIES) -> str:
    """Return docs/reference/rules.md: every rule with who objects, what it means, what to do and its source."""
    lines = [
        "# Rules of `mlperf-ops check`",
        "",
        "Made from the rules in `mlperf_ops/checker` by `python -m mlperf_ops.checker.reference`; do not edit.",
        "",
        "Who objects: **official**: the official submission checker rejects the result, or ends with a traceback;",
        "**rules**: the rules or earlier official checkers reject it, the present one accepts it; **advice**: nobody",
        "rejects it. Where it depends on the division or the file, the finding states who objects.",
        "",
    ]
    for family in families:
        lines += [f"## {family.title}", "", "| rule | who objects | what | why it matters | what to do | source |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            "| "
            + " | ".join(
                text.replace("|", "\\|").replace("<", "\\<")
                for text in (f"`{rule.id}`", rule.severity, rule.title, rule.meaning, rule.fix, rule.source)
            )
            + " |"
            for rule in family.rules
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(rules_markdown(), end="")  # noqa: T201  # stdout is the document
