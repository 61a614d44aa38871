"""Which runs of a round the lines of a user.conf are for, and what to say of those that are for none. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from mlperf_ops.catalogue import Round
from mlperf_ops.catalogue.base import LoadgenScenario
from mlperf_ops.catalogue.history import scenario_not_in_round
from mlperf_ops.catalogue.round import LoadgenSettings as ConfSections
from mlperf_ops.errors import nearest
from mlperf_ops.loadgen_settings import RunAs
from mlperf_ops.model import Division, Scenario
from mlperf_ops.userconf_file import Finding, Setting

ANY = "*"
RUN_AS: tuple[RunAs, ...] = get_args(LoadgenScenario)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that a user.conf may be for: a benchmark of the round in a scenario, under LoadGen's names."""

    official: str
    scenario: Scenario
    conf_model: str
    run_as: RunAs
    sections: ConfSections

    def matches(self, setting: Setting) -> bool:
        """Whether LoadGen may take a setting for this run."""
        return setting.model in {ANY, self.conf_model} and setting.scenario in {ANY, self.run_as}


def runs_of(round_: Round) -> Iterator[Run]:
    """Yield every run that a line may be for: each benchmark of a round in each scenario of LoadGen."""
    for official, rules in round_.models.items():
        conf = rules.loadgen_conf
        for scenario in RUN_AS:
            yield Run(official, scenario, conf.conf_model or official, scenario, conf.settings)
        if conf.interactive_conf_model is not None:
            yield Run(official, "Interactive", conf.interactive_conf_model, "Server", conf.interactive_settings)


def line_problem(setting: Setting, round_: Round, division: Division) -> Finding | None:
    """Say why a line can apply to no run of the round at all, or return None."""

    def finding(rule: str, message: str, hint: str = "") -> Finding:
        return Finding(setting.line, rule, "no effect", message, hint)

    if setting.scenario not in {ANY, *RUN_AS}:
        if setting.scenario == "Interactive":
            message = "LoadGen has no scenario Interactive: such a run is a Server run under another model name"
            return finding("unknown-scenario", message, f"write it as: {_interactive(setting, round_)}")
        guess = nearest(setting.scenario, RUN_AS)
        message = f"LoadGen knows no scenario '{setting.scenario}'; expected one of {', '.join(RUN_AS)} or *"
        return finding("unknown-scenario", message, f"did you mean '{guess}'?" if guess else "")
    names = {run.conf_model for run in runs_of(round_)}
    if setting.model in {ANY, *names}:
        return None
    official = round_.official_name(setting.model)
    if official is not None:
        known = round_.models[official].loadgen_conf.conf_model or official
        message = f"LoadGen runs {official} as '{known}', so that a line for '{setting.model}' never applies"
        if not round_.divisions[division].official_models_only:
            message = (
                f"a line for '{setting.model}' applies only if the SUT gives LoadGen this name instead of '{known}', "
                f"and then LoadGen sets nothing that round {round_.name} asks of {official}"
            )
        return finding("unknown-model", message, f"write it as: {replace(setting, model=known).name}")
    guess = nearest(setting.model, names)
    message = f"LoadGen's mlperf.conf of round {round_.name} has no model '{setting.model}'"
    return finding("unknown-model", message, f"did you mean '{guess}'?" if guess else "")


def scenario_problem(setting: Setting, reached: Sequence[Run], round_: Round, division: Division) -> Finding | None:
    """Say why a line applies to no result that the round and the division take, or return None."""
    problems = [scenario_not_in_round(run.official, run.scenario, round_, division) for run in reached]
    if not reached or ANY in {setting.model, setting.scenario} or None in problems:
        return None
    return Finding(setting.line, "unknown-scenario", "no effect", str(problems[0]))


def nothing_applies(
    found: Sequence[Setting], round_: Round, official: str | None, scenario: Scenario | None
) -> Finding:
    """Say that a file without a mistake sets nothing of what it was judged for."""
    if not found:
        return Finding(0, "nothing-applies", "no effect", "the file sets nothing: LoadGen runs with its own settings")
    asked = " in ".join(name for name in (official, scenario) if name is not None) or f"a benchmark of {round_.name}"
    theirs = ", ".join(dict.fromkeys(f"{one.model}.{one.scenario}" for one in found))
    message = f"no line applies to {asked}: the file is for {theirs}"
    wanted = next(
        run for run in runs_of(round_) if official in (None, run.official) and scenario in (None, run.scenario)
    )
    return Finding(0, "nothing-applies", "no effect", message, f"lines start with {wanted.conf_model}.{wanted.run_as}.")


def _interactive(setting: Setting, round_: Round) -> str:
    for rules in round_.models.values():
        conf = rules.loadgen_conf
        if conf.interactive_conf_model is not None and setting.model in {conf.conf_model, conf.interactive_conf_model}:
            return replace(setting, model=conf.interactive_conf_model, scenario="Server").name
    return f"<model>-interactive.Server.{setting.key}"
