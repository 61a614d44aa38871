"""Power: the measurement beside a result, checked by `mlperf_ops.power_check`, and the nameplate of its system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import yaml

from mlperf_ops.checker.measurements import SIMULATED
from mlperf_ops.checker.result_files import MISSING_FILE
from mlperf_ops.checker.rules import Family, Findings, Rule
from mlperf_ops.checker.subjects import Result, System
from mlperf_ops.files import Json
from mlperf_ops.power_check import FILES, PowerSubject, check_measurement

_CHECK = "mlcommons/inference: tools/submission/power/power_checker.py"
_AGAIN = "Measure the cell again; files of a measurement cannot be mended afterwards."

SESSION = Rule(
    "power-session",
    "official",
    "record of the session is damaged",
    "client.json and server.json hold everything that the power checker looks at.",
    "Measure again; files of a measurement cannot be mended afterwards.",
    _CHECK,
    own=_AGAIN,
)
SOURCES = Rule(
    "power-sources",
    "official",
    "measuring software was changed",
    "Only the unchanged software of MLCommons may measure; every Python file beside it counts, and so do line ends.",
    "Check out the measuring software at its pinned commit, add and change no file, and measure again.",
    _CHECK,
)
METER = Rule(
    "power-meter",
    "official",
    "meter or its daemon",
    "Only certain meters and one version of PTDaemon are accepted, and the ranges must be set and set back. Where the "
    "inventory names the meter, it must be the one that measured.",
    "Use an accepted meter and the accepted PTDaemon, and measure again.",
    _CHECK,
)
IDENTITY = Rule(
    "power-identity",
    "official",
    "client and server were not in one session",
    "The files of the two sides must be of one measurement.",
    "Put the files of one measurement together; see the session names and uuids of client.json and server.json.",
    _CHECK,
)
CLOCK = Rule(
    "power-clock",
    "official",
    "clocks do not agree",
    "Readings belong to the run by their time alone, so that the clocks of both machines must agree.",
    "Let both machines follow the same time server and measure again.",
    _CHECK,
    own="Let both machines follow the same time server (see the doctor verb) and measure again.",
)
LEVEL = Rule(
    "power-level",
    "official",
    "less power than in ranging",
    "The meter's ranges are set by the first run; a second one that draws less is read less precisely.",
    "Let the machine rest and warm up in the same way before both runs, and measure again.",
    _CHECK,
)
MESSAGES = Rule(
    "power-messages",
    "official",
    "conversation of client and server differs",
    "Both sides record their conversation; a difference shows that the files are not of one measurement.",
    "Put the files of one measurement together.",
    _CHECK,
)
DIGESTS = Rule(
    "power-digests",
    "official",
    "file is not the one that was measured",
    "Client and server record the digests of the logs when they are made; truncated or exchanged files differ.",
    "Put in the files as the measurement left them.",
    _CHECK,
)
METER_ERRORS = Rule(
    "power-meter-errors",
    "official",
    "meter reported errors",
    "Errors of the meter outside of ranging mean that readings are missing or wrong. The official checker stops at the "
    "first error that it tolerates; the later ones reject by the rules.",
    "Look at the lines that are named, choose a larger range or a better connection, and measure again.",
    _CHECK,
)
DEBUG = Rule(
    "power-debug",
    "official",
    "server was in debug mode",
    "In debug mode the server may be told to skip what is checked here.",
    "Unset MLPP_DEBUG on the director and measure again.",
    _CHECK,
)
UNCERTAINTY = Rule(
    "power-uncertainty",
    "official",
    "uncertain readings",
    "Readings must be certain to 1 %. The official checker leaves out 800 s at each end of a run where 0.8 s are "
    "meant, so that of most runs it sees nothing; here every reading of the run counts.",
    "Choose ranges that fit the machine's power, or a meter for smaller powers, and measure again.",
    _CHECK,
)
READINGS = Rule(
    "power-readings",
    "official",
    "readings are missing",
    "The power of a result is the mean of the readings during its run, one a second, all of them valid.",
    "Measure again; files of a measurement cannot be mended afterwards.",
    "submission_checker: checks/power_check.py",
    own=_AGAIN,
)
DURATION = Rule(
    "power-duration",
    "advice",
    "short measurement",
    "Ranging is expected to last 300 s and the run that counts 600 s, and not to be much shorter than ranging. Ranging "
    "of less than half of that proves little about the ranges that it set.",
    "Measure again with the durations of the round.",
    _CHECK,
)
NAMEPLATE = Rule(
    "nameplate-power",
    "official",
    "nameplate of the power supplies",
    "Since v6.1 the design power of a measured system is read from systems/<system>_power.yaml; the official checker "
    "ends with a traceback at a file that is no YAML.",
    "Write the file as label: {PSUs: [{Name: …, PowerCapacityWatts: …}], Min PSUs Needed: …}.",
    "submission_checker: checks/system_check.py nameplate_power_check",
)
_BY_SUBJECT: dict[PowerSubject, Rule] = {
    "session": SESSION,
    "sources": SOURCES,
    "meter": METER,
    "identity": IDENTITY,
    "clock": CLOCK,
    "level": LEVEL,
    "messages": MESSAGES,
    "digests": DIGESTS,
    "meter-errors": METER_ERRORS,
    "debug": DEBUG,
    "uncertainty": UNCERTAINTY,
    "readings": READINGS,
    "duration": DURATION,
    "simulated": SIMULATED,
}


def rule_of(subject: PowerSubject) -> Rule:
    """Return the rule that a finding of `mlperf_ops.power_check` belongs to."""
    return MISSING_FILE if subject == "files" else _BY_SUBJECT[subject]


RULES = (*(rule for rule in _BY_SUBJECT.values() if rule is not SIMULATED), NAMEPLATE)


def power(place: Result) -> Findings:
    """Check the power measurement of a result that has one."""
    if not place.has_power:
        return
    performance = place.place(place.round.layout.power_dir).rpartition("/")[0]
    for name in FILES:
        place.path(f"{performance}/{name}")  # notes what the findings depend on
    for found in check_measurement(place.power_measurement, place.round):
        if found.subject != "files":  # missing-file says so
            yield _BY_SUBJECT[found.subject].at(
                place,
                f"{performance}/{found.file}",
                found.message,
                value=found.value,
                limit=found.limit,
                severity=found.objector,
            )


def nameplate_file(place: System) -> Findings:
    """Check that a nameplate can be read: the official checker reads it of every system."""
    location, _, problem = _nameplate(place)
    if location is not None and problem is not None:
        yield NAMEPLATE.at(place, location, f"the nameplate is no YAML: {problem}")


def nameplate(place: Result) -> Findings:
    """Check what the nameplate of a result with power says, unless the description states the design power."""
    location, value, problem = _nameplate(place.system)
    stated = "system_power_capacity" in (place.system.description.value or {})
    if location is None or problem is not None or stated or not place.has_power:
        return
    if place.tree.size(location) is None:
        yield NAMEPLATE.at(place, location, "there is no nameplate of the system's power supplies", severity="advice")
        return
    wrong = "it is empty" if value is None else next(_problems(value), None)
    if wrong is not None:
        yield NAMEPLATE.at(place, location, f"the nameplate does not give the design power: {wrong}")


def _nameplate(place: System) -> tuple[str | None, Json, str | None]:
    """Return location (None: the round has none), content and why it cannot be read."""
    template = place.submitter.round.layout.nameplate_power
    if template is None:
        return None, None, None
    location = place.submitter.place(template, system=place.name)
    if place.submitter.tree.size(location) is None:
        return location, None, None
    try:
        text = place.submitter.tree.path(location).read_text(encoding="utf-8")
        return location, yaml.safe_load(text), None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        return location, None, type(error).__name__


def _problems(value: Json) -> Iterator[str]:
    """Yield what keeps a nameplate from being summed up."""
    leaves = list(_leaves(value))
    if not leaves:
        yield "no part has PSUs and 'Min PSUs Needed'"
    for label, needed, supplies in leaves:
        if isinstance(needed, bool) or not isinstance(needed, int) or needed < 1:
            yield f"'Min PSUs Needed' of {label} is {needed!r}"
        elif not isinstance(supplies, list) or not all(isinstance(one, dict) for one in supplies):
            yield f"PSUs of {label} is no list of power supplies"
        else:
            for one in supplies:
                watts = one.get("PowerCapacityWatts") if isinstance(one, dict) else None
                if isinstance(watts, bool) or not isinstance(watts, (int, float)) or watts <= 0:
                    yield f"PowerCapacityWatts of {label} is {watts!r}"


def _leaves(
    value: Json, label: str = "the system", depth: int = 0, seen: set[int] | None = None
) -> Iterator[tuple[str, Json, Json]]:
    """Yield label, number of needed supplies and supplies of each part, at any depth of labels.

    What a YAML alias stands for is visited once: aliases of aliases are more parts than can be.
    """
    seen = set() if seen is None else seen
    if depth > _DEEPEST or (isinstance(value, (dict, list)) and id(value) in seen):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        keys = {str(key).lower(): key for key in value}
        if "psus" in keys and "min psus needed" in keys:
            yield label, value[keys["min psus needed"]], value[keys["psus"]]
            return
        children: Iterable[tuple[str, Json]] = ((str(key), child) for key, child in value.items())
    else:
        children = ((label, child) for child in value) if isinstance(value, list) else ()
    for name, child in children:
        yield from _leaves(child, name, depth + 1, seen)


_DEEPEST = 20

FAMILY = Family("power", "Power", RULES, system=(nameplate_file,), result=(power, nameplate))
