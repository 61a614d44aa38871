"""Benchmarks: which benchmark a folder stands for, and which scenarios have to be there."""

from __future__ import annotations

import hashlib
import re

from mlperf_ops.checker.rules import At, Family, Findings, Rule
from mlperf_ops.checker.subjects import Result, Submitter, System
from mlperf_ops.errors import nearest

_MAPPING = "submission_checker: configuration.py get_mlperf_model"
_SCENARIOS = "submission_checker: loader.py check_scenarios"

UNKNOWN_MODEL = Rule(
    "unknown-benchmark",
    "official",
    "no such benchmark in the round",
    "Targets, counts and limits are those of an official benchmark; without one nothing can be compared.",
    "Name the folder after an official benchmark, or in the open division map it in model_mapping.json.",
    _MAPPING,
)
NOT_OFFICIAL = Rule(
    "benchmark-not-official",
    "rules",
    "own model in a division of official models",
    "The official checker guesses a benchmark from parts of the name; the closed and network divisions allow the "
    "official models only.",
    "Rename the folder when it is the official model, or move the results to the open division.",
    _MAPPING,
)
MAPPING_UNREADABLE = Rule(
    "model-mapping-unreadable",
    "official",
    "model_mapping.json is no JSON object",
    "The official checker ends with a traceback at a model_mapping.json that it cannot read.",
    'Correct the file: {"own name": "official name"}.',
    _MAPPING,
    own='Correct the file: {"own name": "official name"}, or aggregate again.',
)
MAPPING = Rule(
    "model-mapping",
    "rules",
    "model_mapping.json does not name the benchmark",
    "Results of an own model are published under the official benchmark that model_mapping.json names.",
    'Add the line "own name": "official name" to model_mapping.json.',
    _MAPPING,
)
UNKNOWN_SCENARIO = Rule(
    "unknown-scenario",
    "official",
    "folder is no scenario",
    "Folders below a benchmark are scenarios; others fail, or end the official checker with a traceback.",
    "Rename or remove the folder.",
    _SCENARIOS,
)
SCENARIO_SPELLING = Rule(
    "scenario-spelling",
    "advice",
    "scenario in another spelling",
    "The official result table then says that the result was inferred.",
    "Rename the folder as MLPerf spells the scenario.",
    "observed: `inferred` of lower-case folders",
)
NOT_IN_SUITE = Rule(
    "benchmark-not-in-category",
    "official",
    "benchmark is not of the system's category",
    "The closed and network divisions take a benchmark only in the categories that the round lists; the official "
    "checker ends with a traceback.",
    "Correct system_type in the system description, or submit to the open division.",
    _SCENARIOS,
)
MISSING_SCENARIO = Rule(
    "missing-scenario",
    "official",
    "required scenario is missing",
    "A closed or network submission of a benchmark has all required scenarios, otherwise all its results fail.",
    "Measure the scenario and add its results, or move the benchmark to the open division.",
    _SCENARIOS,
    own="Add the scenario to the inventory's mlperf_benchmarks and run it.",
)
SCENARIO_NOT_ALLOWED = Rule(
    "scenario-not-allowed",
    "official",
    "scenario is not of the benchmark",
    "A scenario that the benchmark does not have in this category makes all its results fail in the closed and network "
    "divisions.",
    "Remove the folder, or submit it to the open division.",
    _SCENARIOS,
)
DUPLICATE = Rule(
    "duplicate-benchmark",
    "rules",
    "one result under two names",
    "An official name and its alias are one benchmark, and offline/ and Offline/ are one scenario: a system would have "
    "two results for it. The result table shows both, the official report one or their mean.",
    "Keep the better result, under the official names.",
    _MAPPING,
)
PRIVATE_ID = Rule(
    "private-id",
    "advice",
    "private id does not fit the system",
    "privateid.json is made by the official checker for one name of the system; a renamed system has another id.",
    "Remove privateid.json; the official checker makes a new one with --private-ids.",
    "submission_checker: utils.py generate_private_id",
)
RULES = (
    *(UNKNOWN_MODEL, NOT_OFFICIAL, MAPPING_UNREADABLE, MAPPING, UNKNOWN_SCENARIO, SCENARIO_SPELLING, NOT_IN_SUITE),
    *(MISSING_SCENARIO, SCENARIO_NOT_ALLOWED, DUPLICATE, PRIVATE_ID),
)


def mapping(place: Submitter) -> Findings:
    """Check model_mapping.json."""
    file, here = place.mapping_file, At(place.location)
    if place.rules.model_mapping and place.tree.has_folder(file.location):
        yield MAPPING_UNREADABLE.at(here, file.location, "model_mapping.json is a folder")
    if file.problem is not None:
        yield MAPPING_UNREADABLE.at(here, file.location, f"model_mapping.json cannot be read: {file.problem}")
    for name, official in (file.value or {}).items():
        if official not in place.round.models:
            guess = nearest(str(official), place.round.models)
            yield MAPPING.at(
                here,
                file.location,
                f"'{name}' is mapped to '{official}', which is no benchmark of {place.round.name}"
                + (f"; did you mean '{guess}'?" if guess else ""),
                value=official,
                # Where results use the entry, unknown-benchmark tells that they fail.
                severity="rules",
            )


def benchmarks(place: System) -> Findings:
    """Check each benchmark folder of a system."""
    submitter, round_ = place.submitter, place.submitter.round
    for benchmark in place.benchmarks():
        here = At(f"{place.location}/{benchmark}")
        model = place.model(benchmark)
        named = benchmark in round_.models or benchmark in round_.model_aliases
        if model is None:
            aliases = [alias for alias, official in round_.model_aliases.items() if official in round_.models]
            guess = nearest(benchmark, [*round_.models, *aliases])
            yield UNKNOWN_MODEL.at(
                here,
                here.location,
                f"'{benchmark}' is no benchmark of {round_.name}" + (f"; did you mean '{guess}'?" if guess else ""),
                value=benchmark,
            )
        elif not named and submitter.rules.official_models_only:
            yield NOT_OFFICIAL.at(
                here,
                here.location,
                f"'{benchmark}' is no official name; the official checker takes it for {model}",
                value=benchmark,
                limit=model,
            )
        elif (
            not named
            and submitter.rules.model_mapping
            and submitter.mapping_file.problem is None
            and benchmark not in submitter.mapping
        ):
            yield MAPPING.at(
                here,
                submitter.mapping_file.location,
                f"'{benchmark}' is not mapped; the official checker guesses {model}",
                value=benchmark,
                limit=model,
                severity="advice",
            )
        if model is not None and submitter.rules.all_required_scenarios and place.system_type is not None:
            yield from _scenarios(place, here, model, place.system_type)


def _scenarios(place: System, here: At, model: str, system_type: str) -> Findings:
    suite = place.submitter.round.scenarios(model, system_type)
    if suite is None:
        yield NOT_IN_SUITE.at(
            here,
            here.location,
            f"{model} is not a benchmark of {system_type} systems",
            value=system_type,
            limit=", ".join(place.submitter.round.models[model].suites),
        )
        return
    present = {name.casefold() for name in place.submitter.tree.folder(here.location).folders}
    missing: list[str] = [name for name in suite.required if name.casefold() not in present]
    if suite.one_of and not any(name.casefold() in present for name in suite.one_of):
        missing.append(" or ".join(suite.one_of))
    for name in missing:
        yield MISSING_SCENARIO.at(here, here.location, f"{model} lacks the scenario {name}", limit=name)
    known = {name.casefold() for name in place.submitter.round.scenario_names}
    allowed = {name.casefold() for name in suite.all}
    for folder in place.submitter.tree.folder(here.location).folders:
        if folder.casefold() in known - allowed:
            yield SCENARIO_NOT_ALLOWED.at(
                here,
                f"{here.location}/{folder}",
                f"{model} has no scenario {folder} on {system_type} systems",
                value=folder,
                limit=", ".join(suite.all),
            )


def duplicates(place: System) -> Findings:
    """Look for a scenario that a system has twice: under a benchmark's name and an alias, or in two spellings."""
    round_, tree = place.submitter.round, place.submitter.tree
    scenarios = place.submitter.submission.scenario_by_folded
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for benchmark in place.benchmarks():
        official = benchmark if benchmark in round_.models else round_.model_aliases.get(benchmark)
        for folder in tree.folder(f"{place.location}/{benchmark}").folders:
            # A model of the submitter's own is no other's benchmark.
            name = official if official in round_.models else benchmark
            earlier, spelled = first.setdefault((name, folder.casefold()), (benchmark, folder))
            if (earlier, spelled) == (benchmark, folder) or (
                earlier == benchmark and folder.casefold() not in scenarios
            ):
                continue
            location = f"{place.location}/{benchmark}/{folder}"
            shown = scenarios.get(folder.casefold(), folder)
            yield DUPLICATE.at(
                At(location),
                location,
                f"'{benchmark}' and '{earlier}' are both {official}, and both have {shown}"
                if earlier != benchmark
                else f"'{folder}' and '{spelled}' are one scenario of {benchmark}",
                value=benchmark if earlier != benchmark else folder,
                limit=earlier if earlier != benchmark else spelled,
            )


def private_id(place: System) -> Findings:
    """Check privateid.json, where there is one."""
    file = place.submitter.submission.json(
        place.submitter.place(place.submitter.round.layout.private_id, system=place.name)
    )
    if not file.exists:
        return
    found = (file.value or {}).get(place.name)
    suffix = hashlib.sha256(place.name.encode()).digest()[2:4].hex()
    if not isinstance(found, str) or not re.fullmatch(rf"[a-z]+-[a-z]+-{suffix}", found):
        yield PRIVATE_ID.at(
            place,
            file.location,
            f"the private id of '{place.name}' " + ("is missing" if found is None else f"is {found!r}"),
            value=None if found is None else str(found),
            limit=f"…-…-{suffix}",
        )


def scenario(place: Result) -> Findings:
    """Check the name of a scenario folder."""
    names = place.round.scenario_names
    if place.scenario is None:
        guess = nearest(place.folder, names)
        yield UNKNOWN_SCENARIO.at(
            place,
            place.location,
            f"'{place.folder}' is no scenario" + (f"; did you mean '{guess}'?" if guess else ""),
            value=place.folder,
            limit=", ".join(names),
        )
    elif place.folder != place.scenario:
        yield SCENARIO_SPELLING.at(
            place,
            place.location,
            f"the folder is called '{place.folder}'; MLPerf spells it {place.scenario}",
            value=place.folder,
            limit=place.scenario,
        )


FAMILY = Family(
    "benchmarks",
    "Benchmarks and scenarios",
    RULES,
    submitter=(mapping,),
    system=(benchmarks, duplicates, private_id),
    result=(scenario,),
)
