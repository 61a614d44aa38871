"""Runs of compliance tests: are the logs evidence of the test, and is it passed?

What verifies them is `mlperf_ops.compliance`, which packing asks again on the attempts. A run that is no evidence of
its test is refused, as it would stand for nothing; one that fails it is taken over, as our own is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlperf_ops.attempts import collected
from mlperf_ops.catalogue import Round
from mlperf_ops.compliance.evidence import judge_evidence
from mlperf_ops.compliance.model import VERIFY_ACCURACY, Request, Runs, Verification
from mlperf_ops.compliance.packing import scenario_of
from mlperf_ops.compliance.scoring import options_of
from mlperf_ops.compliance.verify import ACCURACY_TXT, verify
from mlperf_ops.errors import ResultError
from mlperf_ops.harness.accuracy_log import ACCURACY_LOG
from mlperf_ops.importing.attempt import Verified
from mlperf_ops.importing.wanted import Wanted
from mlperf_ops.loadgen_log import DETAIL_LOG, read_detail
from mlperf_ops.model import SCENARIOS, Mode, Scenario
from mlperf_ops.plan_model import CollectedHost
from mlperf_ops.scratch import scratch_folder
from mlperf_ops.truncate import shorten


def prove(wanted: Wanted, verified: Verified, others: Mapping[Mode, Path | str], round_: Round) -> Verification:
    """Verify a test's run by those that it is compared with.

    Args:
        wanted: The test's cell.
        verified: Its attempt.
        others: Folder of the performance and of the accuracy run, or why there is none.
        round_: The round.

    Raises:
        ResultError: The logs are no evidence of the test, cannot be read, or have nothing to be compared with; one
            sentence with the place in the map.
        ToolError: There is no room for temporary files.
    """
    try:
        return _prove(wanted, verified, others, round_)
    except ResultError as error:
        raise ResultError(f"{wanted.where}: {error.message}", hint=error.hint) from error


def _prove(wanted: Wanted, verified: Verified, others: Mapping[Mode, Path | str], round_: Round) -> Verification:
    assert wanted.test is not None  # noqa: S101  # the caller asks for tests only
    for mode in round_.compliance[wanted.test].compared_with:
        if isinstance(why := others[mode], str):
            raise ResultError(f"{wanted.folder_name}: {wanted.test} is compared with the {mode} run, and {why}")
    folders = {mode: folder for mode, folder in others.items() if isinstance(folder, Path)}
    with scratch_folder() as scratch:
        attempt = _stage(verified, scratch)
        _refuse_shortened(wanted, attempt, round_)
        request = Request(
            test=wanted.test,
            round=round_,
            official=wanted.benchmark.official,
            scenario=_scenario(verified, folders.get("performance")),
            runs=Runs(attempt, folders.get("performance"), folders.get("accuracy")),
            options=options_of(verified.spec, attempt),
        )
        evidence = judge_evidence(request)
        if not evidence.passed:
            raise ResultError(f"{wanted.folder_name}: {evidence.reasons[0]}", hint=evidence.remedy)
        return verify(request)


def _scenario(verified: Verified, performance: Path | None) -> Scenario:
    """Return the scenario that the test has to have run: that of the performance run."""
    ran: Scenario = verified.spec.loadgen.scenario
    if performance is not None:
        log = read_detail(performance / DETAIL_LOG, frozenset({"effective_scenario"})).values
        ran = next((one for one in SCENARIOS if one == log.get("effective_scenario")), ran)
    return scenario_of(verified.spec.cell.scenario, ran)


def _stage(verified: Verified, scratch: Path) -> Path:
    """Show the attempt's files in one folder under the names that they will have."""
    for name, content in verified.files.items():
        target = scratch / name
        if isinstance(content, str):
            target.write_text(content)
        else:
            target.symlink_to(content.resolve())
    return scratch


def _refuse_shortened(wanted: Wanted, attempt: Path, round_: Round) -> None:
    """Refuse an accuracy log that is not the one that accuracy.txt speaks of, or only its ends."""
    log, text = attempt / ACCURACY_LOG, attempt / ACCURACY_TXT
    if not log.exists() or not text.exists():
        return
    where = f"{wanted.folder_name}: {ACCURACY_TXT}"  # not the folder in which the files are shown under one name
    whole = shorten(log, text.read_bytes(), round_.limits, round_.hash_regex, where).full_log_at_hand
    told = wanted.test == "TEST01" and (attempt / VERIFY_ACCURACY).exists()  # by the tool that had the whole log
    if not whole and not told:
        raise ResultError(
            f"{wanted.folder_name}: {ACCURACY_LOG} is shortened, and {wanted.test} is verified by all of its answers",
            hint="name a folder with the whole log; it is shortened again where the round wants it",
        )


def other_runs(
    wanted: Wanted, run: Path, seen: Mapping[tuple[str, str], Mapping[Mode, Path | str]]
) -> dict[Mode, Path | str]:
    """Return the runs that a test is compared with: those of this map, else those that the results folder holds.

    Args:
        wanted: The test's cell.
        run: The results folder, which need not be there.
        seen: Place -> mode -> folder of the run that this map gives, or why it is refused.
    """
    found: dict[Mode, Path | str] = {}
    modes: tuple[Mode, ...] = ("performance", "accuracy")
    for mode in modes:
        key = f"{wanted.place[1]}/{mode}"
        held = seen.get(wanted.place, {}).get(mode) or _collected(run, wanted.host, key)
        found[mode] = held or f"there is none: give its folder as {mode}, beside the test's"
    return found


def _collected(run: Path, host: str, key: str) -> Path | None:
    """Return the attempt that stands for a cell: of the host itself, or of another that has run it."""
    names = sorted(path.name for path in (run / "hosts").glob("*")) if (run / "hosts").is_dir() else []
    for name in sorted(names, key=lambda name: name != host):
        held = collected(run, name)
        if isinstance(held, CollectedHost):
            for cell in held.cells:
                if cell.key == key and (folder := run / "hosts" / name / cell.path).is_dir():
                    return folder
    return None
