"""The page of a rule: what it is, why, an example where there is one, what to do, and where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mlperf_ops.checker.registry import FAMILIES, all_rules
from mlperf_ops.checker.rules import Family, Rule
from mlperf_ops.errors import unknown_name

_OBJECTS = {
    "official": "the official submission checker rejects the result, or ends with a traceback",
    "rules": "the rules or earlier official checkers reject it, the present one accepts it",
    "advice": "nobody rejects it",
}


def known_rules(names: Collection[str], where: str) -> frozenset[str]:
    """Return the ids of rules.

    Raises:
        ConfigError: One is no rule; names the nearest.
    """
    rules = all_rules()
    for name in names:
        if name not in rules:
            raise unknown_name("rule", name, rules, where=where)
    return frozenset(names)


def rule_page(name: str, families: tuple[Family, ...] = FAMILIES) -> str:
    """Return the page of a rule as plain text.

    Raises:
        ConfigError: There is no such rule.
    """
    known_rules([name], "--explain")
    family, rule = next((family, rule) for family in families for rule in family.rules if rule.id == name)
    return "\n".join(_lines(family, rule)) + "\n"


def _lines(family: Family, rule: Rule) -> Iterator[str]:
    yield f"{rule.id}: {rule.title}"
    yield ""
    yield f"family    {family.title}"
    yield f"severity  {rule.severity}: {_OBJECTS[rule.severity]}"
    yield f"source    {rule.source}"
    yield ""
    yield f"Why: {rule.meaning}"
    example = getattr(rule, "example", "")
    if example:
        yield f"Example: {example}"
    yield f"Fix: {rule.fix}"
    if rule.own:
        yield f"Of results of mlperf-ops: {rule.own}"
