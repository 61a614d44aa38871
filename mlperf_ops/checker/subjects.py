"""The places that rules look at: a submission, its submitters, their systems and results; files are read once.

A result is dropped as soon as it was checked, so that memory does not grow with the tree.
"""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from mlperf_ops.accuracy_txt import AccuracyText, Target, parse_accuracy_text, read_accuracy_text
from mlperf_ops.catalogue.layout import PathTemplate
from mlperf_ops.catalogue.round import DivisionRules, ModelRules, Round
from mlperf_ops.checker.detail_logs import DetailLogs, LogFile
from mlperf_ops.checker.endpoints_figures import Figures, read_figures
from mlperf_ops.checker.objects import ObjectFile, read_object
from mlperf_ops.checker.texts import LONGEST_BYTES, TextFile, read_text
from mlperf_ops.checker.tree import Tree, join
from mlperf_ops.errors import ResultError
from mlperf_ops.power_check import Measurement, read_measurement

# Read beyond what the official checker reads: they tell why a run is not valid, and which run it was.
_MORE_KEYS = frozenset(
    {
        "loadgen_version",
        "test_datetime",
        "effective_target_qps",
        "effective_max_duration_ms",
        "effective_max_query_count",
        "effective_performance_issue_unique",
        "effective_performance_issue_same",
        "effective_performance_issue_same_index",
        "effective_accuracy_log_rng_seed",
        "effective_accuracy_log_sampling_target",
        "effective_test_mode",
        "effective_accuracy_sample_count",
        "result_invalid_reason",
        "result_min_duration_met",
        "result_min_queries_met",
        "result_perf_constraints_met",
        "qsl_reported_total_count",
    }
)


_PARSED_KEPT = 32


class Submission:
    """The whole tree and the round whose rules apply."""

    location = ""

    def __init__(self, tree: Tree, round_: Round) -> None:
        """Look at `tree` with the eyes of `round_`."""
        self.tree = tree
        self.round = round_
        self.scenario_by_folded = {name.casefold(): name for name in round_.scenario_names}
        self.logs = DetailLogs(tree, frozenset(round_.loadgen_fields_read) | _MORE_KEYS)
        self._parsed: dict[str, ObjectFile] = {}

    def submitters(self) -> Iterator[Submitter]:
        """Yield the submitters of all divisions that the round knows."""
        for division in self.tree.folder("").folders:
            if division in self.round.divisions:
                for name in self.tree.folder(division).folders:
                    yield Submitter(self, division, name)

    def json(self, location: str) -> ObjectFile:
        """Read a JSON object; the last ones are remembered, because a system's results share some."""
        if self.tree.size(location) is None:
            return ObjectFile(location, exists=False, value=None, problem=None)
        self.tree.file(location)  # notes that it was looked at, also where it is remembered
        if location not in self._parsed:
            if len(self._parsed) == _PARSED_KEPT:
                self._parsed.clear()
            self._parsed[location] = read_object(self.tree, location)
        return self._parsed[location]


def _has_parts(name: str, parts: Sequence[str]) -> bool:
    """Whether a name is made of these parts with any text between them."""
    if len(parts) == 1:
        return name == parts[0]
    first, *middle, last = parts
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class Submitter:
    """`<division>/<submitter>`."""

    def __init__(self, submission: Submission, division: str, name: str) -> None:
        """Name the submitter's folder."""
        self.submission = submission
        self.division = division
        self.name = name
        self.location = f"{division}/{name}"

    @property
    def round(self) -> Round:
        """The round whose rules apply."""
        return self.submission.round

    @property
    def tree(self) -> Tree:
        """The tree's names."""
        return self.submission.tree

    @cached_property
    def rules(self) -> DivisionRules:
        """What the division demands."""
        return next(rules for name, rules in self.round.divisions.items() if name == self.division)

    def place(self, template: PathTemplate, **names: str) -> str:
        """Return a location by the round's layout."""
        blank = dict.fromkeys(("system", "benchmark", "scenario"), "")
        return template.format_map(blank | {"division": self.division, "submitter": self.name} | names)

    @cached_property
    def mapping_file(self) -> ObjectFile:
        """model_mapping.json, which only divisions with own models have."""
        location = self.place(self.round.layout.model_mapping)
        if not self.rules.model_mapping:
            return ObjectFile(location, exists=False, value=None, problem=None)
        return self.submission.json(location)

    @cached_property
    def mapping(self) -> dict[str, str]:
        """Own benchmark name -> official name."""
        entries = self.mapping_file.value or {}
        return {name: official for name, official in entries.items() if isinstance(official, str)}

    def systems(self) -> Iterator[System]:
        """Yield the systems that have a results folder."""
        for name in self.tree.folder(join(self.location, "results")).folders:
            yield System(self, name)


class System:
    """`<division>/<submitter>/results/<system>`."""

    def __init__(self, submitter: Submitter, name: str) -> None:
        """Name the system's folder."""
        self.submitter = submitter
        self.name = name
        self.location = f"{submitter.location}/results/{name}"

    @cached_property
    def description(self) -> ObjectFile:
        """systems/<system>.json."""
        return self.submitter.submission.json(
            self.submitter.place(self.submitter.round.layout.system_json, system=self.name)
        )

    @property
    def system_type(self) -> str | None:
        """Category of the system, when the description states a valid one."""
        value = (self.description.value or {}).get("system_type")
        return value if isinstance(value, str) and value in self.submitter.round.system_types else None

    def benchmarks(self) -> list[str]:
        """Return the benchmark folders."""
        return self.submitter.tree.folder(self.location).folders

    def model(self, benchmark: str) -> str | None:
        """Return the official benchmark that a folder stands for."""
        return self.submitter.round.official_name(benchmark, self.submitter.mapping)

    def results(self) -> Iterator[Result]:
        """Yield the scenario folders of all benchmarks."""
        for benchmark in self.benchmarks():
            for scenario in self.submitter.tree.folder(join(self.location, benchmark)).folders:
                yield Result(self, benchmark, scenario)


class Result:
    """`<division>/<submitter>/results/<system>/<benchmark>/<scenario>`."""

    def __init__(self, system: System, benchmark: str, folder: str) -> None:
        """Name the scenario folder."""
        self.system = system
        self.submitter = system.submitter
        self.round = system.submitter.round
        self.tree = system.submitter.tree
        self.benchmark = benchmark
        self.folder = folder
        self.location = f"{system.location}/{benchmark}/{folder}"
        self._tests: dict[str, LogFile] = {}
        self._texts: dict[str, TextFile] = {}
        self._places: dict[PathTemplate, str] = {}
        self._names = {
            "division": self.submitter.division,
            "submitter": self.submitter.name,
            "system": system.name,
            "benchmark": benchmark,
            "scenario": folder,
        }

    @cached_property
    def scenario(self) -> str | None:
        """The folder's scenario as MLPerf spells it; None when there is no such scenario."""
        folder = self.folder.casefold()
        known = self.submitter.submission.scenario_by_folded.get(folder)
        if known is None and folder in self.round.endpoints.further_scenarios and self.is_endpoints:
            return self.round.endpoints.further_scenarios[folder]
        return known

    @cached_property
    def model(self) -> str | None:
        """Official benchmark; None when unknown."""
        return self.system.model(self.benchmark)

    @cached_property
    def model_rules(self) -> ModelRules | None:
        """The official benchmark's rules."""
        return None if self.model is None else self.round.models[self.model]

    def place(self, template: PathTemplate) -> str:
        """Return a location of this result by the round's layout."""
        known = self._places.get(template)
        if known is None:
            known = self._places[template] = template.format_map(self._names).rstrip("/")
        return known

    def path(self, location: str) -> Path:
        """Return the absolute path of a location."""
        return self.tree.path(location)

    @cached_property
    def measurements(self) -> ObjectFile:
        """The measurements; the location of a missing file is the layout's first name for it."""
        layout, also = self.round.layout, self.round.layout.measurements_also
        first = self.place(layout.measurements)
        if also:
            own = first.rpartition("/")[2]
            named = [self._pattern(template) for template in also]
            folder = self.place(layout.measurements_dir)
            for name in self.tree.folder(folder).files:
                if name == own or any(matches(name) for matches in named):
                    return self.submitter.submission.json(f"{folder}/{name}")
        return self.submitter.submission.json(first)

    def _pattern(self, template: PathTemplate) -> Callable[[str], bool]:
        """Return what tells whether a name fits a pattern of the layout, in which names of this result stand."""
        if "?" in template or "[" in template:
            names = {"system": glob.escape(self.system.name), "scenario": glob.escape(self.folder)}
            pattern = self.submitter.place(template, **names)
            return lambda name: fnmatch.fnmatchcase(name, pattern)
        # A pattern of each result's own is not worth a regular expression of each.
        parts = [self.place(part) for part in template.split("*")]
        return lambda name: _has_parts(name, parts)

    @cached_property
    def performance(self) -> LogFile:
        """Detail log of the performance run."""
        return self.submitter.submission.logs.read(self.place(self.round.layout.perf_detail))

    @cached_property
    def accuracy(self) -> LogFile:
        """Detail log of the accuracy run."""
        return self.submitter.submission.logs.read(self.place(self.round.layout.acc_detail))

    @property
    def compliance_folder(self) -> str:
        """Location of the folder that holds the compliance tests; since v6.0 it is the result itself."""
        return self.place(self.round.layout.compliance_dir)

    def test_folder(self, test: str) -> str:
        """Return the location of a compliance test's folder."""
        return f"{self.compliance_folder}/{test}"

    def test_log(self, test: str) -> LogFile:
        """Detail log of a compliance test's run; not every test hands one in."""
        if test not in self._tests:
            location = f"{self.test_folder(test)}/performance/run_1/mlperf_log_detail.txt"
            self._tests[test] = self.submitter.submission.logs.read(location)
        return self._tests[test]

    def text(self, location: str) -> TextFile:
        """Return a text of this result."""
        if location not in self._texts:
            self._texts[location] = read_text(self.tree, location)
        return self._texts[location]

    @property
    def accuracy_file(self) -> TextFile:
        """accuracy.txt."""
        return self.text(self.place(self.round.layout.accuracy_txt))

    @cached_property
    def accuracy_text(self) -> AccuracyText | None:
        """accuracy.txt, read for the metrics of the benchmark; None when it or the benchmark is unknown."""
        if self.model is None:
            return None
        return self.read_accuracy(self.round.accuracy_targets(self.model, self.scenario or self.folder))

    def read_accuracy(self, targets: Sequence[Target]) -> AccuracyText | None:
        """Read accuracy.txt for some metrics; None when it cannot be read."""
        location = self.place(self.round.layout.accuracy_txt)
        size_bytes = self.tree.size(location)
        if size_bytes is None:
            return None
        patterns, hash_line = self.round.accuracy_regex, self.round.hash_regex
        if size_bytes <= LONGEST_BYTES:
            file = self.accuracy_file
            return parse_accuracy_text(file.rows, targets, patterns, hash_line) if file.is_read else None
        try:
            return read_accuracy_text(self.path(location), targets, patterns, hash_line)
        except ResultError:
            return None

    @cached_property
    def measured_scenario(self) -> str | None:
        """Scenario that ran in the performance run."""
        if self.figures is not None:
            return self.figures.scenario
        value = None if self.performance.log is None else self.performance.log.values.get("effective_scenario")
        return value if isinstance(value, str) else None

    @property
    def has_power(self) -> bool:
        """Whether the result claims a power measurement."""
        return self.tree.has_folder(self.place(self.round.layout.power_dir))

    @cached_property
    def power_measurement(self) -> Measurement:
        """The files of the power measurement; of a result that has one."""
        return read_measurement(self.path(self.place(self.round.layout.power_dir).rpartition("/")[0]))

    @cached_property
    def is_endpoints(self) -> bool:
        """Whether the result comes from MLPerf Endpoints: it has neither detail log, and some of their files."""
        layout, files = self.round.layout, self.round.endpoints.files
        if any(self.tree.size(self.place(log)) is not None for log in (layout.perf_detail, layout.acc_detail)):
            return False
        return any(self.tree.size(f"{self.location}/{name}") is not None for names in files.values() for name in names)

    @cached_property
    def figures(self) -> Figures | None:
        """What a result of MLPerf Endpoints states; None for any other result."""
        if not self.is_endpoints:
            return None
        return read_figures(self.tree, self.location, self.folder, self.round.endpoints)

    @property
    def is_server_run(self) -> bool:
        """An Interactive result is a LoadGen Server run: not an inference."""
        return (self.measured_scenario, self.scenario) == ("Server", "Interactive")
