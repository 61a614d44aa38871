"""Shared logs: one run that is filed at places that cannot have it in common."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlperf_ops.checker.rules import Findings, Rule
from mlperf_ops.checker.subjects import Result, Submission
from mlperf_ops.checker.tree import Tree

SHARED_LOG = Rule(
    "shared-log",
    "rules",
    "one run filed as results of two systems or benchmarks",
    "Each result is measured on its system. One run may stand for the variants of one benchmark and for scenarios that "
    "may be inferred from it, on the same system; anything else is a copy. Two names of one submitter whose "
    "descriptions agree in all that is hardware and software are one system: that is advice, because reviewers ask why "
    "it has two names. No official checker compares logs.",
    "Measure on each system, or remove the copied result.",
    "inference_rules: results are measured on the system under test",
    own="Run the cell on each system, or remove the copied result.",
)

# A system may be described once for the datacenter and once for the edge.
_NAMES = frozenset({"system_name", "system_type", "system_type_detail"})
_RUN = "performance/run_1"
_END_BYTES = 16 << 10  # the head holds the time of the start


@dataclass(frozen=True, slots=True)
class _Filed:
    """A log and what it is filed as."""

    place: Result
    role: str  # performance, accuracy, or the compliance test
    location: str


def shared_logs(submission: Submission) -> Findings:
    """Look for one run that is filed at places that cannot have it in common."""
    by_size: dict[int, list[_Filed]] = {}
    for filed in _filed(submission):
        size = submission.tree.size(filed.location)
        if size:
            by_size.setdefault(size, []).append(filed)
    for many in by_size.values():
        if len(many) < 2:  # noqa: PLR2004  # two are needed to share
            continue
        first: dict[str, list[_Filed]] = {}
        for filed in many:
            ends = _known_ends(submission.tree, filed.location)
            earlier = first.setdefault(ends, []) if ends else []
            other = next((one for one in earlier if not _may_share(one, filed)), None)
            own = any(one.place.location == filed.place.location for one in earlier)  # other rules tell what is wrong
            earlier.append(filed)
            if other is not None and not own:
                twins = _twins(other, filed)
                yield SHARED_LOG.at(
                    filed.place,
                    filed.location,
                    f"this is the log of {other.location}" + (", whose system is described alike" if twins else ""),
                    value=other.location,
                    severity="advice" if twins else None,
                )


def _filed(submission: Submission) -> Iterator[_Filed]:
    for submitter in submission.submitters():
        for system in submitter.systems():
            for place in system.results():
                layout = place.round.layout
                yield _Filed(place, "performance", place.place(layout.perf_detail))
                yield _Filed(place, "accuracy", place.place(layout.acc_detail))
                for test in place.round.compliance_files:
                    yield _Filed(place, test, f"{place.test_folder(test)}/{_RUN}/mlperf_log_detail.txt")


def _known_ends(tree: Tree, location: str) -> str | None:
    """Return `_ends` of a log, from an earlier check where that knows it."""
    ends = tree.facts.get(location) or _ends(tree.file(location))
    if ends is not None:
        tree.touched.facts[location] = ends
    return ends


def _ends(path: str) -> str | None:
    """Return a digest of both ends of a log: the head names its start to the nanosecond, the tail its figures."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _END_BYTES, max(0, size - _END_BYTES))
        return hashlib.sha256(os.pread(descriptor, _END_BYTES, 0) + tail).hexdigest()
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _may_share(first: _Filed, second: _Filed) -> bool:
    """Whether one run may be filed at both places."""
    return first.place.system.name == second.place.system.name and _one_run(first, second)


def _twins(first: _Filed, second: _Filed) -> bool:
    """Whether one run is filed for two names of what is described as one system."""
    one, other = (
        {key: value for key, value in (filed.place.system.description.value or {}).items() if key not in _NAMES}
        for filed in (first, second)
    )
    return bool(one) and one == other and _one_run(first, second)


def _one_run(first: _Filed, second: _Filed) -> bool:
    """Whether one run of one submitter may be filed in both roles, were the systems the same."""
    same_submitter = first.place.submitter.name == second.place.submitter.name
    return same_submitter and first.role == second.role and _one_benchmark(first.place, second.place)


def _one_benchmark(one: Result, other: Result) -> bool:
    """Whether two results are of one benchmark or of variants of it, which LoadGen runs under one name."""
    if one.model == other.model:
        return True
    names = {name for name in conf_names(one) if name} & {name for name in conf_names(other) if name}
    return bool(names)


def conf_names(place: Result) -> Iterable[str | None]:
    """Return the names under which user.conf may address a benchmark."""
    conf = None if place.model_rules is None else place.model_rules.loadgen_conf
    return () if conf is None else (conf.conf_model, conf.interactive_conf_model)
