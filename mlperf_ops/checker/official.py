"""The official checker of a given checkout as a second opinion: the modular one, or the script of an earlier tag.

It runs unmodified, from its own folder, once per system over links to that system's files, so that a crash hides one
system only. Neither the checkout nor the tree is written to.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.checkout import Checkout, inspect
from mlperf_ops.checker.defects import known_defect
from mlperf_ops.checker.model import (
    CheckedResult,
    CheckReport,
    Disagreement,
    Finding,
    FindingsByPlace,
    OfficialReport,
    OfficialResult,
    OfficialRun,
)
from mlperf_ops.checker.official_log import OfficialLog, read_csv
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.power_check.readings import NO_FACTOR
from mlperf_ops.scratch import raise_if_disk_full, scratch_folder

_DIVISIONS = ("closed", "open", "network")
_OWN_FLAGS = ("--input", "--version", "--csv", "--submitter")
_WRITING_FLAGS = ("--private-ids",)
# What a flag of the official checker leaves out -> our rules of the same.
_POWER_FLAG = "--skip-power-check"
_SKIPPED_RULES = {
    "--skip-dataset-size-check": {"dataset-size"},
    "--skip-meaningful-fields-emptiness-check": {"system-field-empty", "measurements-field-empty"},
    "--skip-empty-files-check": {"empty-file"},
    "--skip-extra-accuracy-files-check": {"accuracy-artifacts"},
    # What power_checker.py looks at; the official checker itself lists the files and reads the readings all the same.
    _POWER_FLAG: {
        "power-session",
        "power-sources",
        "power-meter",
        "power-identity",
        "power-clock",
        "power-level",
        "power-messages",
        "power-digests",
        "power-meter-errors",
        "power-debug",
        "power-uncertainty",
    },
}
_ERRORS_SHOWN = 3
_BY_SYSTEM = ("systems", "measurements", "compliance")


def run_official(  # all but three are by name and have defaults
    checkout: Path,
    tree: Path,
    round_: Round,
    *,
    python: str | None = None,
    flags: tuple[str, ...] = (),
    timeout_seconds: float = 1800,
    submitter: str | None = None,
) -> OfficialReport:
    """Run the official checker over every system of a tree.

    Args:
        checkout: Folder of mlcommons/inference, with or without git.
        tree: Folder that holds the divisions.
        round_: Round: names the --version and the commit that belongs to it.
        python: Interpreter; needs PyYAML. None: the one that runs this.
        flags: Further flags, such as "--skip-dataset-size-check"; recorded in the report.
        timeout_seconds: For one system; then it is stopped, and its results have no verdict.
        submitter: Only this submitter's systems.

    Raises:
        ConfigError: The folder is no such checkout, or a flag is not allowed.
        ToolError: The interpreter cannot be started, or there is no room for temporary files.
    """
    for flag in flags:
        name = flag.partition("=")[0]
        if name in _OWN_FLAGS:
            raise ConfigError(f"flag {name} of the official checker is set by mlperf-ops")
        if name in _WRITING_FLAGS:
            raise ConfigError(f"flag {name} of the official checker writes into the tree; it is not allowed here")
    found = inspect(checkout, round_)
    tree = tree.resolve()
    systems = list(_systems(tree, submitter))

    def run(system: str) -> tuple[OfficialRun, list[OfficialResult]]:
        return _run_system(found, tree, system, round_, python or sys.executable, flags, timeout_seconds)

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        outcomes = list(pool.map(run, systems))
    results = tuple(result for _, many in outcomes for result in many)
    return OfficialReport(
        commit=found.commit,
        pinned_commit=round_.checker.commit,
        version=round_.checker.version,
        note=found.note,
        flags=flags,
        runs=tuple(run for run, _ in outcomes),
        results=results,
        accepted=bool(results)
        and all(run.exit_code == 0 for run, _ in outcomes)
        and all(result.passed for result in results),
        kind=found.kind,
    )


def _folders(path: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(path) if (path / name).is_dir())
    except OSError:
        return []


def _systems(tree: Path, only: str | None) -> Iterator[str]:
    """Yield what is checked by itself: each system, and each submitter that has none."""
    for division in _DIVISIONS:
        for submitter in _folders(tree / division):
            if only not in {None, submitter}:
                continue
            here = f"{division}/{submitter}"
            systems = _folders(tree / here / "results")
            yield from (f"{here}/results/{system}" for system in systems)
            if not systems:
                yield here


def _link_farm(farm: Path, tree: Path, system: str) -> None:
    """Make a tree of links that holds one system, or a submitter without systems."""
    division, submitter, *rest = system.split("/")
    home = farm / division / submitter
    home.mkdir(parents=True)
    for entry in sorted((tree / division / submitter).iterdir()):
        if entry.name in _BY_SYSTEM and rest and entry.is_dir():
            _link_own(home / entry.name, entry, rest[-1])
        elif entry.name != "results":
            (home / entry.name).symlink_to(entry)
    if rest:
        (home / "results").mkdir()
        (home / "results" / rest[-1]).symlink_to(tree / system)
    elif (tree / system / "results").is_dir():
        (home / "results").mkdir()


def _link_own(home: Path, folder: Path, system: str) -> None:
    """Link what belongs to a system; what belongs to others would count as systems without results."""
    home.mkdir()
    for name in (system, f"{system}.json", f"{system}_power.yaml"):
        if (folder / name).exists():
            (home / name).symlink_to(folder / name)


def _command(found: Checkout, python: str, farm: Path, csv: Path, version: str) -> tuple[list[str], OfficialLog]:
    """Return how the checker is called, and what reads its log."""
    given = ["--input", str(farm), "--version", version, "--csv", str(csv)]
    if found.kind == "modular":
        return [python, "-m", "submission_checker.main", *given], OfficialLog(str(farm))
    # It changes into the tree, so that the paths that it prints are relative.
    return [python, str(found.package_folder / "submission_checker.py"), *given], OfficialLog(None)


def _run_system(  # one call
    found: Checkout, tree: Path, system: str, round_: Round, python: str, flags: tuple[str, ...], timeout_seconds: float
) -> tuple[OfficialRun, list[OfficialResult]]:
    with scratch_folder("mlperf-ops-official-") as scratch:
        farm, csv = scratch / "tree", scratch / "summary.csv"
        _link_farm(farm, tree, system)
        command, log = _command(found, python, farm, csv, round_.checker.version)
        exit_code = _run([*command, *flags], found.package_folder, log, timeout_seconds)
        raise_if_disk_full(log.crash or "")
        rows = read_csv(csv, str(farm))
    results = [
        OfficialResult(
            location=location,
            passed=log.passed(location, finished=exit_code is not None and log.crash is None),
            metric=log.metrics.get(location),
            errors=tuple(log.errors.get(location, ())),
            row=rows.get(location, {}),
        )
        for location in _results(tree, system)
    ]
    run = OfficialRun(system=system, exit_code=exit_code, crash=log.crash, summary=log.summary)
    return run, results


def _results(tree: Path, system: str) -> Iterator[str]:
    if system.count("/") < len(("division", "submitter", "results", "system")) - 1:
        return
    for benchmark in _folders(tree / system):
        for scenario in _folders(tree / system / benchmark):
            yield f"{system}/{benchmark}/{scenario}"


def _run(command: list[str], folder: Path, log: OfficialLog, timeout_seconds: float) -> int | None:
    """Run the checker and read its log as it comes; None when it was stopped."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"cannot run the official checker with {command[0]}: {error.strerror or error}") from error
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        process.kill()

    timer = threading.Timer(timeout_seconds, stop)
    timer.start()
    try:
        with process:
            for line in process.stderr or ():
                log.line(line.rstrip("\n"))
    finally:
        timer.cancel()
    return None if stopped.is_set() else process.returncode


def with_official(report: CheckReport, official: OfficialReport) -> CheckReport:
    """Put the second opinion beside ours; a tree that it rejects for reasons that we do not see is rejected."""
    found = disagreements(report.results, report.findings, official)
    surprised = any(one.official != "accepts" and one.known is None for one in found)
    crashed = any(run.exit_code != 0 and not any(_of(run, one) for one in official.results) for run in official.runs)
    refused = surprised or (report.verdict == "submittable" and (crashed or not official.accepted))
    return dataclasses.replace(
        report, official=official, disagreements=found, verdict="rejected" if refused else report.verdict
    )


def _of(run: OfficialRun, result: OfficialResult) -> bool:
    return result.location.startswith(run.system + "/")


def _is_of_power_checker(finding: Finding) -> bool:
    """Whether power_checker.py alone sees it: the checker itself reads time and watts of the run that counts."""
    return finding.rule == "power-readings" and ("/ranging/" in finding.location or finding.value == NO_FACTOR)


def _explains_crash(finding: Finding, result: OfficialResult) -> bool:
    system = "/".join(result.location.split("/")[: len(("division", "submitter", "results", "system"))])
    return finding.expected_because is None and (finding.concerns(system) or finding.affects.startswith(system + "/"))


def disagreements(
    results: tuple[CheckedResult, ...], findings: tuple[Finding, ...], official: OfficialReport
) -> tuple[Disagreement, ...]:
    """Compare, per result, the official verdict with our findings of severity "official".

    A crash leaves all later results of its system without a verdict. It agrees with us where we see a problem in that
    system that the plan did not rule out.

    Args:
        results: Our results.
        findings: Our findings; those that a flag of the official run leaves out are not compared.
        official: The official report.
    """
    skipped = {rule for flag in official.flags for rule in _SKIPPED_RULES.get(flag, set())}
    known = {result.location for result in results}
    without_power = _POWER_FLAG in official.flags
    compared = [
        one for one in findings if one.rule not in skipped and not (without_power and _is_of_power_checker(one))
    ]
    official_findings = [one for one in compared if one.severity == "official"]
    by_place = FindingsByPlace(official_findings)
    # The release checkers also enforce rules that the modular one lost.
    strict = by_place
    if official.kind == "release":
        strict = FindingsByPlace(one for one in compared if one.rejects)
    found: list[Disagreement] = []
    for result in official.results:
        if result.passed is None:
            objections = [finding for finding in official_findings if _explains_crash(finding, result)]
        else:
            objections = (by_place if result.passed else strict).of(result.location)
        says: Literal["accepts", "rejects", "crashed"] = (
            "accepts" if result.passed else "crashed" if result.passed is None else "rejects"
        )
        if bool(objections) == (says != "accepts") and result.location in known:
            continue
        broken = sorted({finding.rule for finding in objections})
        reasons = "; ".join(result.errors[:_ERRORS_SHOWN])
        found.append(
            Disagreement(
                location=result.location,
                ours="rejects" if objections else "accepts",
                official=says,
                message=f"we expect it to object: {', '.join(broken)}" if broken else reasons or "it gives no reason",
                known=known_defect(official.kind, says, broken, reasons),
            )
        )
    return tuple(found)
