"""Where each file of a submission goes: the only module that turns a round's path templates into paths.

All paths are relative to the submission's root, with forward slashes. The templates are the round's data
(`Round.layout`), so another round's tree needs no code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlperf_ops.catalogue.layout import Layout
from mlperf_ops.catalogue.round import Round
from mlperf_ops.errors import SubmissionError
from mlperf_ops.model import Division

MADE_HERE = "The results were made with mlperf-ops"
"""How the README.md of a benchmark's code starts that says so; the checker's remedies are other ones then."""

# The release checkers refuse spaces and names that start with a dot; the rest keeps a name one path component.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class ResultPaths:
    """Paths of one (system, benchmark, scenario)."""

    scenario: PurePosixPath  # folder of performance/ and accuracy/
    performance: PurePosixPath  # folder of the performance run's logs
    accuracy: PurePosixPath  # folder of the accuracy run's logs
    accuracy_log: PurePosixPath
    accuracy_text: PurePosixPath
    measurements_dir: PurePosixPath  # folder of user.conf, README.md and the measurements; since v6.0 `scenario`
    measurements: PurePosixPath
    compliance: PurePosixPath  # folder that holds the TESTxx folders; since v6.0 `scenario`


@dataclass(frozen=True, slots=True)
class SubmissionLayout:
    """Paths of one submitter's part of a tree.

    Raises:
        SubmissionError: A name (of the submitter here, of systems and benchmarks in the methods) cannot be a directory
            name of a submission.
    """

    templates: Layout
    division: Division
    submitter: str

    def __post_init__(self) -> None:
        """Refuse a submitter's name that is no directory name."""
        _checked("submitter", self.submitter)

    @classmethod
    def of(cls, round_: Round, division: Division, submitter: str) -> SubmissionLayout:
        """Return the layout of a round."""
        return cls(round_.layout, division, submitter)

    def result(self, system: str, benchmark: str, scenario: str) -> ResultPaths:
        """Return the paths of a result.

        Args:
            system: System id.
            benchmark: The benchmark's directory name.
            scenario: Scenario in MLPerf's spelling; Interactive is a directory like the others.
        """
        where = {
            "system": _checked("system", system),
            "benchmark": _checked("benchmark directory", benchmark),
            "scenario": _checked("scenario", scenario),
        }
        return ResultPaths(
            scenario=self._path(self.templates.scenario_dir, **where),
            performance=self._path(self.templates.perf_detail, **where).parent,
            accuracy=self._path(self.templates.acc_detail, **where).parent,
            accuracy_log=self._path(self.templates.accuracy_json, **where),
            accuracy_text=self._path(self.templates.accuracy_txt, **where),
            measurements_dir=self._path(self.templates.measurements_dir, **where),
            measurements=self._path(self.templates.measurements, **where),
            compliance=self._path(self.templates.compliance_dir, **where),
        )

    def system(self, system: str) -> PurePosixPath:
        """Return the path of a system's description."""
        return self._path(self.templates.system_json, system=_checked("system", system))

    def nameplate(self, system: str) -> PurePosixPath | None:
        """Return the path of a system's nameplate of power supplies; None: the round has none."""
        template = self.templates.nameplate_power
        return None if template is None else self._path(template, system=_checked("system", system))

    def source_readme(self, benchmark: str) -> PurePosixPath:
        """Return the path of the page that says which code ran a benchmark."""
        return self._path(self.templates.src_dir) / _checked("benchmark directory", benchmark) / "README.md"

    def calibration(self) -> PurePosixPath:
        """Return the path of the calibration document; the last place that the round allows keeps the top clean."""
        return self._path(self.templates.calibration_any_of[-1])

    def model_mapping(self) -> PurePosixPath:
        """Return the path of the table that names the official benchmark of own models."""
        return self._path(self.templates.model_mapping)

    def _path(self, template: str, **where: str) -> PurePosixPath:
        return PurePosixPath(template.format(division=self.division, submitter=self.submitter, **where))


def _checked(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SubmissionError(
            f"the {kind} '{name}' cannot be a directory name of a submission",
            hint="use letters, digits and . _ + - only, starting with a letter or a digit",
        )
    return name
