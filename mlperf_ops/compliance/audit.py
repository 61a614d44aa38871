"""audit.config of a compliance test: LoadGen's settings of its run, out of the round's data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.model import ComplianceTest

if TYPE_CHECKING:
    from mlperf_ops.catalogue.compliance_rules import ComplianceRun
    from mlperf_ops.catalogue.round import Round

AUDIT_CONFIG = "audit.config"


def named_test(round_: Round, test: str, where: str = "") -> ComplianceTest:
    """Return a test of the round by its name.

    Raises:
        ConfigError: The round has no such test; says what became of one that past rounds had.
    """
    for known in round_.compliance:
        if known == test:
            return known
    prefix = f"{where}: " if where else ""
    for retired in round_.compliance_retired:
        if retired.test == test:
            raise ConfigError(
                f"{prefix}{test} (proof that {retired.about}) is no test of round {round_.name}: "
                f"{retired.until} is the last round that is known to have had it",
                hint=None if retired.instead is None else f"{retired.instead} has taken its place",
            )
    raise unknown_name("compliance test", test, round_.compliance, where=where)


def problem_of(round_: Round, test: ComplianceTest, official: str) -> str | None:
    """Say why a benchmark cannot run a test, or return None."""
    wanted = round_.rules(official).compliance
    if test in wanted:
        return None
    asked = f"asks {official} for {', '.join(wanted)}" if wanted else f"has no compliance test for {official}"
    return f"round {round_.name} {asked}" + (f", not for {test}" if wanted else "")


def rules_of(round_: Round, test: ComplianceTest) -> ComplianceRun:
    """Return what the round says of a test.

    Raises:
        ConfigError: The round does not have it.
    """
    return round_.compliance[named_test(round_, test)]


def audit_settings(round_: Round, test: ComplianceTest, official: str) -> dict[str, int]:
    """Return the LoadGen settings of a test for a benchmark, without model and scenario."""
    return rules_of(round_, test).settings(official)


def audit_text(settings: Mapping[str, int]) -> str:
    """Write an audit.config; empty without settings.

    Every line is for all models and scenarios, because LoadGen reads the file for the model "*" whatever it runs. The
    file is written for one cell, so nothing of it can reach another.
    """
    return "".join(f"*.*.{key} = {value}\n" for key, value in settings.items())
