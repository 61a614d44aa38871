"""All families of rules. A further family is a module with a `FAMILY` and a line here."""

from __future__ import annotations

from mlperf_ops.checker import (
    accuracy,
    benchmarks,
    compliance,
    consistency,
    endpoints,
    measurements,
    names,
    performance,
    power,
    secrets,
    sizes,
    structure,
    system,
)
from mlperf_ops.checker.rules import Family, Rule
from mlperf_ops.checker.units import BROKEN_CHECK

FAMILIES: tuple[Family, ...] = (
    structure.FAMILY,
    names.FAMILY,
    sizes.FAMILY,
    benchmarks.FAMILY,
    system.FAMILY,
    measurements.FAMILY,
    performance.FAMILY,
    accuracy.FAMILY,
    compliance.FAMILY,
    consistency.FAMILY,
    power.FAMILY,
    endpoints.FAMILY,
    secrets.FAMILY,
    Family("checker", "The checker itself", (BROKEN_CHECK,)),
)


def all_rules(families: tuple[Family, ...] = FAMILIES) -> dict[str, Rule]:
    """Return the rules by id.

    Raises:
        ValueError: Two rules have one id.
    """
    rules: dict[str, Rule] = {}
    for family in families:
        for rule in family.rules:
            if rule.id in rules:
                raise ValueError(f"two rules are called '{rule.id}'")
            rules[rule.id] = rule
    return rules
