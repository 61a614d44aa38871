"""Lint of a user.conf: what LoadGen, division and round make of every line. Pure; the rules are the round's data.

Within a file LoadGen looks a key up as `model.Scenario.key`, `*.Scenario.key`, `model.*.key`, `*.*.key`, so that a
wildcard of the model beats a wildcard of the scenario; of two equal keys the last counts. Its embedded mlperf.conf is
read before, key by key in the same way, and any line of user.conf beats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlperf_ops.catalogue import Round
from mlperf_ops.errors import nearest
from mlperf_ops.loadgen_keys import CONF_KEYS
from mlperf_ops.loadgen_settings import LoadgenSettings, embedded, settings
from mlperf_ops.model import Division, Scenario
from mlperf_ops.userconf_file import Finding, Setting, read_user_conf
from mlperf_ops.userconf_limits import limit_findings
from mlperf_ops.userconf_numbers import Kind, read, value_problem
from mlperf_ops.userconf_scope import ANY, RUN_AS, Run, line_problem, nothing_applies, runs_of, scenario_problem

_SAME_FOR_ALL = {"min_duration", "max_duration"}  # but for benchmarks that are exempt
_TOKEN_BOUNDS = {"ttft_latency", "tpot_latency"}


def lint_user_conf(
    text: str,
    round_: Round,
    division: Division,
    *,
    official: str | None = None,
    scenario: Scenario | None = None,
) -> tuple[Finding, ...]:
    """Judge a user.conf.

    Args:
        text: The file.
        round_: The round whose LoadGen reads it.
        division: The submission's division.
        official: Benchmark of the round that the file is for; None: the file may be for any.
        scenario: Scenario that it is for; None: any.

    Returns:
        Findings in the order of the lines; those of the whole file come first.
    """
    found, findings = read_user_conf(text)
    runs = [run for run in runs_of(round_) if official in (None, run.official) and scenario in (None, run.scenario)]
    kept: list[Setting] = []
    for setting in found:
        problem = line_problem(setting, round_, division)
        if problem is not None:
            findings.append(problem)
            continue
        reached = [run for run in runs if run.matches(setting)]
        if not reached and setting.model != ANY:
            continue  # for another benchmark or scenario than the one that is asked about
        problem = scenario_problem(setting, reached, round_, division)
        if problem is not None:
            findings.append(problem)
            continue
        findings.extend(_key_problems(setting, reached, round_, division))
        kept.append(setting)
    findings += _overridden(kept, runs, round_)
    limits: list[tuple[Run, Finding]] = []
    misread = {one.line for one in findings if one.rule == "value"}  # said once; there is nothing to compare
    for run in runs:
        taken = _given(kept, run, round_)
        given = {key: one for key, one in taken.items() if one.line not in misread}
        if taken or None not in (official, scenario):
            findings += _in_vain(given, run, round_)
            made = _settings(run, given, round_)
            found_here = limit_findings(run.official, run.scenario, given, made, round_, division)
            limits += [(run, one) for one in found_here if one.line or given == taken]
    findings += _one_per_line(limits, kept, runs, round_, single=official is not None)
    if not findings and not any(run.matches(one) for one in kept for run in runs):
        findings.append(nothing_applies(found, round_, official, scenario))
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: (one.line, one.rule, one.message)))


def _given(found: Sequence[Setting], run: Run, round_: Round) -> dict[str, Setting]:
    return {key: one for key in round_.user_conf.keys if (one := winner(found, run, key)) is not None}


def _one_per_line(
    limits: Sequence[tuple[Run, Finding]], found: Sequence[Setting], runs: Sequence[Run], round_: Round, *, single: bool
) -> Iterator[Finding]:
    """Keep one finding of a line; of a line for all models only what is too little for each of them."""
    by_line: dict[tuple[int, str], list[Run]] = {}
    first: dict[tuple[int, str], Finding] = {}
    for run, finding in limits:
        key = (finding.line, "" if finding.line else finding.message)
        by_line.setdefault(key, []).append(run)
        first.setdefault(key, finding)
    lines = {one.line: one for one in found}
    for key, finding in first.items():
        setting = lines.get(finding.line)
        if setting is None and not single:  # no line of this file is about it
            continue
        if setting is not None and setting.model == ANY and not single and setting.key not in _SAME_FOR_ALL:
            users = [run for run in runs if _given(found, run, round_).get(setting.key) == setting]
            if len({id(run) for run in by_line[key]}) < len(users):
                continue
        yield finding


def winner(found: Sequence[Setting], run: Run, key: str) -> Setting | None:
    """Return the line that LoadGen takes for a key of a run, or None."""
    for model, scenario in ((run.conf_model, run.run_as), (ANY, run.run_as), (run.conf_model, ANY), (ANY, ANY)):
        same = [one for one in found if (one.model, one.scenario, one.key) == (model, scenario, key)]
        if same:
            return same[-1]
    return None


def _settings(run: Run, given: Mapping[str, Setting], round_: Round) -> LoadgenSettings:
    numbers = {key: read(one.value, _kind(key, run, round_)) for key, one in given.items()}
    return settings(round_, run.sections, run.run_as, {"target_qps": 1.0, "target_latency": 1.0, **numbers})


def _kind(key: str, run: Run, round_: Round) -> Kind:
    rules = round_.user_conf.keys[key]
    return next((rule.value for rule in rules if run.run_as in rule.scenarios), rules[0].value)


# --- one line by itself ---------------------------------------------------------------------------------------------


def _key_problems(setting: Setting, reached: Sequence[Run], round_: Round, division: Division) -> Iterator[Finding]:
    rules, key = round_.user_conf, setting.key
    scenarios = [name for name in RUN_AS if name in {run.run_as for run in reached}]
    if not scenarios:
        return
    if key not in rules.keys:
        problem = str(rules.problem(key, scenarios[0], division))
        if key in rules.never:
            yield Finding(setting.line, "ignored-key", "no effect", problem)
        elif key in rules.audit_only:
            yield Finding(setting.line, "audit-key", "rejects", problem)
        elif key in CONF_KEYS:
            message = f"LoadGen {round_.loadgen.version} does not read '{key}' from user.conf"
            yield Finding(setting.line, "ignored-key", "no effect", message)
        else:
            guess = nearest(key, rules.keys)
            hint = f"did you mean '{guess}'?" if guess else ""
            yield Finding(setting.line, "unknown-key", "no effect", f"LoadGen knows no key '{key}'", hint)
        return
    problems = {name: rules.problem(key, name, division) for name in scenarios}
    used = [name for name in scenarios if any(name in rule.scenarios for rule in rules.keys[key])]
    if not used:
        yield Finding(setting.line, "ignored-key", "no effect", str(problems[scenarios[0]]))
        return
    for name in used:
        if problems[name] is not None:
            yield Finding(setting.line, "forbidden-key", "rejects", str(problems[name]))
            break
    yield from _value_problems(setting, used, round_, division)


def _value_problems(setting: Setting, used: Sequence[str], round_: Round, division: Division) -> Iterator[Finding]:
    """Say what LoadGen would read that was not meant; one sentence of a line."""
    rules = [rule for rule in round_.user_conf.keys[setting.key] if set(rule.scenarios) & set(used)]
    rules = [rule for rule in rules if division in rule.divisions] or rules
    for rule in rules:
        problem = value_problem(setting.key, setting.value, rule.value)
        if problem is not None:
            expected, read_ = problem
            whom = "" if len(rules) == 1 else f" for {', '.join(name for name in used if name in rule.scenarios)}"
            message = f"{setting.key}: expected {expected}{whom}, found {setting.value}; {read_}"
            yield Finding(setting.line, "value", "rejects", message)
            return


# --- lines against each other ---------------------------------------------------------------------------------------


def _overridden(found: Sequence[Setting], runs: Sequence[Run], round_: Round) -> Iterator[Finding]:
    for setting in found:
        rules = round_.user_conf.keys.get(setting.key, ())
        able = {name for rule in rules for name in rule.scenarios}
        reached = [run for run in runs if run.matches(setting) and run.run_as in able]
        winners = [(run, winner(found, run, setting.key)) for run in reached]
        beaten = [(run, one) for run, one in winners if one is not None and one != setting]
        by = sorted({one.line for _, one in beaten})
        where = f"line{'s' if len(by) > 1 else ''} {', '.join(map(str, by))}"
        if reached and len(beaten) == len(reached):
            message = f"this line never applies: {where} beat{'' if len(by) > 1 else 's'} it"
            yield Finding(setting.line, "overridden", "no effect", message, _order(setting, found, by))
            continue
        # "*.Server.x" beats "resnet50.*.x", which is not what most people expect.
        wild = [run for run, one in beaten if one.model == ANY and setting.model != ANY]
        if wild:
            names = ", ".join(dict.fromkeys(run.run_as for run in wild))
            message = f"this line does not apply to {names}: {where} beat{'' if len(by) > 1 else 's'} it there"
            yield Finding(setting.line, "overridden", "no effect", message, _order(setting, found, by))


def _order(setting: Setting, found: Sequence[Setting], by: Sequence[int]) -> str:
    others = [one for one in found if one.line in by]
    if any(one.name == setting.name for one in others):
        return "of two equal keys the last counts"
    return "a wildcard of the model beats a wildcard of the scenario; write model and scenario in full"


def _in_vain(given: Mapping[str, Setting], run: Run, round_: Round) -> Iterator[Finding]:
    """Yield keys that LoadGen reads only beside another one."""

    def on(key: str) -> bool:
        if key in given:
            return read(given[key].value, "bool") == 1
        return embedded(round_, run.sections, run.run_as, key) == 1

    for key, one in given.items():
        if key in _TOKEN_BOUNDS and run.run_as == "Server" and not on("use_token_latencies"):
            message = f"'{key}' has no effect on {run.official}, whose token latencies are not measured"
            yield Finding(one.line, "ignored-key", "no effect", message, "it needs use_token_latencies = 1")
        if key == "token_latency_scaling_factor" and not on("infer_token_latencies"):
            message = f"'{key}' has no effect without infer_token_latencies = 1"
            yield Finding(one.line, "ignored-key", "no effect", message)
        if key == "performance_issue_same_index" and not on("performance_issue_same"):
            message = f"'{key}' has no effect without performance_issue_same = 1"
            yield Finding(one.line, "ignored-key", "no effect", message)
