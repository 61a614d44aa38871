"""What changed from one round to another, and what has to be run again because of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlperf_ops.catalogue.base import CatalogueModel
from mlperf_ops.catalogue.collection import Catalogue
from mlperf_ops.catalogue.diff_models import NOTHING, Change, differing, model_changes, names
from mlperf_ops.catalogue.history import rounds_of, span, successors
from mlperf_ops.catalogue.layout import FileSet
from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import ConfigError

ALL_RUNS = "all runs"


@dataclass(frozen=True, slots=True)
class Gone:
    """A benchmark that the newer round has no more."""

    name: str
    had: str  # "v2.1 to v6.0"
    successor: str | None  # benchmark of the newer round


@dataclass(frozen=True, slots=True)
class RoundDiff:
    """The differences of two rounds."""

    old: str
    new: str
    everything_again: str | None  # why all results have to be measured again; None: `again` of the changes says what
    round_changes: tuple[Change, ...]
    added: tuple[str, ...]
    gone: tuple[Gone, ...]
    changed: Mapping[str, tuple[Change, ...]]
    unchanged: tuple[str, ...]

    @property
    def again(self) -> dict[str, tuple[str, ...]]:
        """Benchmark of the newer round -> what has to be run for it, given results of the older round."""
        made: dict[str, tuple[str, ...]] = {}
        for name in (*self.added, *self.changed, *self.unchanged):
            if self.everything_again is not None or name in self.added:
                made[name] = (ALL_RUNS,)
            else:
                made[name] = tuple(dict.fromkeys(one.again for one in self.changed.get(name, ()) if one.again))
        return made

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.round_changes or self.added or self.gone or self.changed)


def diff_rounds(old: Round, new: Round, catalogue: Catalogue) -> RoundDiff:
    """Compare two rounds.

    Raises:
        ConfigError: They are one and the same.
    """
    if old.name == new.name:
        raise ConfigError(f"nothing to compare: both rounds are {old.name}")
    common = [name for name in new.models if name in old.models]
    changes = {name: tuple(model_changes(name, old, new)) for name in common}
    return RoundDiff(
        old=old.name,
        new=new.name,
        everything_again=_everything(old, new),
        round_changes=tuple(_round_changes(old, new)),
        added=tuple(name for name in new.models if name not in old.models),
        gone=tuple(_gone(name, new, catalogue) for name in old.models if name not in new.models),
        changed={name: made for name, made in changes.items() if made},
        unchanged=tuple(name for name, made in changes.items() if not made),
    )


def _everything(old: Round, new: Round) -> str | None:
    if old.seeds == new.seeds:
        return None
    return (
        f"the seeds differ: {new.name} accepts no run of {old.name}, so accuracy, performance and compliance tests of "
        f"every benchmark have to run again with {new.loadgen.package} {new.loadgen.version}"
    )


def _gone(name: str, new: Round, catalogue: Catalogue) -> Gone:
    entries = [one for one in catalogue.benchmarks.values() if one.official and one.maps_to == name]
    chain = successors(entries[0], catalogue) if entries else ()
    there = next((one.name for one in chain if one.maps_to in new.models), None)
    return Gone(name, span(rounds_of(name, catalogue), catalogue), there)


def _round_changes(old: Round, new: Round) -> Iterator[Change]:
    everything = "everything" if old.seeds != new.seeds else ""
    for key, was, now in differing(dict(_texts(old.seeds)), dict(_texts(new.seeds))):
        yield Change("seeds", key, was, now, everything)
    wheels = [f"{one.loadgen.package} {one.loadgen.version}" for one in (old, new)]
    if wheels[0] != wheels[1]:
        yield Change("loadgen", "LoadGen package", wheels[0], wheels[1], everything or "performance and accuracy")
    for area, what, before, after in _tables(old, new):
        for key, was, now in differing(before, after):
            yield Change(area, f"{what} {key}".strip(), was, now, _AGAIN.get(area, ""))


_AGAIN = {
    "layout": "the submission tree (no runs)",
    "files": "the submission tree (no runs)",
    "system": "the system description (no runs)",
}


def _tables(old: Round, new: Round) -> Iterator[tuple[str, str, dict[str, str], dict[str, str]]]:
    """Yield (area, what, old table, new table); a table is key -> text."""
    yield "layout", "path of", _words(old.layout), _words(new.layout)
    yield "files", "files in", _files(old), _files(new)
    yield "compliance", "files of", _compliance(old), _compliance(new)
    yield "limits", "limit:", _words(old.limits), _words(new.limits)
    yield "system", "system description:", _fields(old), _fields(new)
    keys = [_each(one.measurements_required_non_empty) for one in (old, new)]
    yield "files", "measurements.json:", keys[0], keys[1]
    for division, rules in new.divisions.items():
        before = next((one for name, one in old.divisions.items() if name == division), None)
        yield "divisions", f"{division} division:", {} if before is None else _words(before), _words(rules)
    yield "accuracy", "pattern of accuracy.txt for", dict(old.accuracy_regex), dict(new.accuracy_regex)
    yield "names", "directory name", dict(old.model_aliases), dict(new.model_aliases)
    fields: list[dict[str, str]] = [{str(key): text for key, text in one.result_field.items()} for one in (old, new)]
    yield "result", "log field of the result,", fields[0], fields[1]
    either = old.endpoints.allowed_models and new.endpoints.allowed_models
    shown = None if either else {"allowed_models"}  # the rest means nothing beside a round without
    yield "endpoints", "MLPerf Endpoints:", _words(old.endpoints, shown), _words(new.endpoints, shown)
    yield "user.conf", "key", _keys(old), _keys(new)
    for scenario in dict.fromkeys([*new.loadgen_conf_defaults, *old.loadgen_conf_defaults]):
        tables = [
            {f"*.{scenario}.{key}": f"{value:g}" for key, value in one.loadgen_conf_defaults.get(scenario, {}).items()}
            for one in (old, new)
        ]
        yield "loadgen", "LoadGen sets", tables[0], tables[1]


def _texts(model: CatalogueModel, only: set[str] | None = None) -> Iterator[tuple[str, str]]:
    for key, value in model.model_dump(include=only).items():
        yield key, _text(value)


def _words(model: CatalogueModel, only: set[str] | None = None) -> dict[str, str]:
    """Return a part of a round with its keys as words."""
    return {key.replace("_", " "): text for key, text in _texts(model, only)}


def _each(keys: Iterable[str], text: str = "not empty") -> dict[str, str]:
    return dict.fromkeys(keys, text)


def _fields(round_: Round) -> dict[str, str]:
    """Return what is asked of each field of a system description."""
    description = round_.system_description
    made = _each(description.required, "required") | _each(description.non_empty, "required, not empty")
    made |= _each(description.required_network, "required in the network division")
    return made | _each(description.required_power_not_enforced, "wanted with power")


def _text(value: object) -> str:
    if value is None or value in ((), {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return names(str(one) for one in value)
    if isinstance(value, Mapping):
        return names(f"{key}: {_text(one)}" for key, one in value.items())
    return str(value)


def _files(round_: Round) -> dict[str, str]:
    made: dict[str, str] = {}
    for key in type(round_.required_files).model_fields:
        one: FileSet = getattr(round_.required_files, key)
        name = key.removesuffix("_dir")
        made[name] = names([*one.required, *(f"({optional})" for optional in one.optional)])
        if one.with_power_also or one.with_power_also_glob:
            made[f"{name}, with power"] = names([*one.with_power_also, *one.with_power_also_glob])
    return made


def _compliance(round_: Round) -> dict[str, str]:
    return {
        test: names(
            [*files.files, *(f"{folder}/{file}" for folder, inside in files.folders.items() for file in inside)]
        )
        for test, files in round_.compliance_files.items()
    }


def _keys(round_: Round) -> dict[str, str]:
    return {
        key: names(f"{'/'.join(rule.scenarios)} in {'/'.join(rule.divisions)}" for rule in rules)
        for key, rules in round_.user_conf.keys.items()
    }
