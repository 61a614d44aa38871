"""One cell of a map, and the files of its folder that count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.catalogue import Round
from mlperf_ops.compliance.model import VERIFY_ACCURACY
from mlperf_ops.compliance.sampled import BASELINE, COMPLIANCE
from mlperf_ops.compliance.verify import ACCURACY_TXT
from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.importing.import_map import ImportedMode, Maker
from mlperf_ops.importing.names import NamedBenchmark
from mlperf_ops.loadgen_log import DETAIL_LOG, SUMMARY_LOG
from mlperf_ops.model import COMPLIANCE_TESTS, Cell, ComplianceTest, Division

USER_CONF = "user.conf"
# Where a test's folder in the form of a submission holds its logs.
LOGS_BELOW, _ANSWERS_BELOW = "performance/run_1", "accuracy"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One cell of a map with its names looked up.

    Attributes:
        where: Place in the map, for error messages.
        cell: The cell.
        host: The host that it is filed under.
        benchmark: Its benchmark.
        system_type: Of the system; only edge systems have inferred results.
        division: Where it goes.
        folder: Its logs.
        folder_name: The same below --from, as the map says it.
        user_conf: Its user.conf; None: among the logs.
        maker: What made it.
        numbers: Fields of measurements.json.
        calibration: What was calibrated how.
        answers: How to read logged answers: `answer_type` and `eos_token_id`, as far as the map says.
        found: The map does not name the folder: it lies beside the runs by its official name.
    """

    where: str
    cell: Cell
    mode: ImportedMode
    host: str
    benchmark: NamedBenchmark
    system_type: str
    division: Division
    folder: Path
    folder_name: str
    user_conf: Path | None
    maker: Maker
    numbers: Mapping[str, Json]
    calibration: str
    answers: Mapping[str, Json]
    found: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Host, and `system/benchmark/scenario`: what a test has in common with the runs that it is compared with."""
        return self.host, self.cell.key.rpartition("/")[0]

    @property
    def test(self) -> ComplianceTest | None:
        """The compliance test that it is a run of; None: it is none."""
        return next((test for test in COMPLIANCE_TESTS if test == self.mode), None)


def files_of(wanted: Wanted, round_: Round) -> dict[str, Path]:
    """Return the files of a cell by the names that an attempt gives them.

    Raises:
        ResultError: One that is needed is missing.
    """
    test = wanted.test
    if test is not None:
        return _of_test(wanted, answers=round_.compliance[test].logs_answers)
    names = (SUMMARY_LOG, DETAIL_LOG, *((ACCURACY_LOG, ACCURACY_TXT) if wanted.mode == "accuracy" else ()))
    files = {name: wanted.folder / name for name in names}
    files[USER_CONF] = wanted.user_conf or wanted.folder / USER_CONF
    _refuse_missing(wanted, files)
    return files | (_artifacts(wanted, round_) if wanted.mode == "accuracy" else {})


def _of_test(wanted: Wanted, *, answers: bool) -> dict[str, Path]:
    """Find a test's files: all in one folder, or as a submission holds them, which has no user.conf of a test."""
    folder, below = wanted.folder, wanted.folder / LOGS_BELOW
    logs = folder if _plain(folder / DETAIL_LOG) or not below.is_dir() else below
    # Both logs from one folder: a summary of another run would not fit.
    files = {name: logs / name for name in (SUMMARY_LOG, DETAIL_LOG)}
    if answers:
        places = (logs, folder, folder / _ANSWERS_BELOW)
        files[ACCURACY_LOG] = _first(places, ACCURACY_LOG) or logs / ACCURACY_LOG
        for name in (VERIFY_ACCURACY, ACCURACY_TXT, BASELINE, COMPLIANCE):
            if (found := _first(places, name)) is not None:
                files[name] = found
    _refuse_missing(wanted, files)
    user_conf = _first((logs, folder), USER_CONF) or wanted.user_conf
    return files if user_conf is None else {**files, USER_CONF: user_conf}


def _artifacts(wanted: Wanted, round_: Round) -> dict[str, Path]:
    """Return the pictures or videos that the round wants beside the accuracy log, as far as they are there."""
    found: dict[str, Path] = {}
    for folder, asked in round_.rules(wanted.benchmark.official).required_accuracy_artifacts.items():
        for path in sorted((wanted.folder / folder).glob("*")):
            if path.name.split(".")[0] in {*asked.stems, *asked.also} and _plain(path):
                found[f"{folder}/{path.name}"] = path
    return found


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _first(folders: tuple[Path, ...], name: str) -> Path | None:
    return next((folder / name for folder in folders if _plain(folder / name)), None)


def _refuse_missing(wanted: Wanted, files: Mapping[str, Path]) -> None:
    """Refuse a folder that lacks files.

    Raises:
        ResultError: See above; names all of them.
    """
    lacking = [name for name, path in files.items() if not _plain(path)]
    if lacking:
        hint = f"name {USER_CONF} as user_conf of the result" if USER_CONF in lacking else None
        raise ResultError(f"{wanted.folder_name} has no file {' and no '.join(lacking)}", hint=hint)
