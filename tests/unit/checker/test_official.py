"""Running the official checker: what is given to it, and how its crash, silence or refusal is contained.

The checkouts here are STAND-INS written by the tests: small programs with the official one's call and output form.
tests/integration/test_official_checker.py uses a real checkout.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from mlperf_ops.checker import Finding, OfficialReport, check_tree, run_official, with_official
from mlperf_ops.checker.accuracy import DATASET_SIZE
from mlperf_ops.checker.official_log import OfficialLog, read_csv
from mlperf_ops.checker.power import DURATION, NAMEPLATE, READINGS
from mlperf_ops.checker.power import RULES as POWER_RULES
from mlperf_ops.checker.result_files import MISSING_FILE
from mlperf_ops.checker.rules import At, Rule
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.power_check.readings import NO_FACTOR
from tests.support.attempts import RealLogs
from tests.support.submission_trees import ALL, TreeUnderTest, good_tree, round_v61

_HEAD = """
import argparse, logging, os, sys, time
logging.basicConfig(level=logging.INFO, format="[%(asctime)s %(filename)s:%(lineno)d %(levelname)s] %(message)s")
log = logging.getLogger("main")
parser = argparse.ArgumentParser()
for name in ("--input", "--version", "--csv"):
    parser.add_argument(name, required=True)
parser.add_argument("--skip-dataset-size-check", action="store_true")
parser.add_argument("--skip-power-check", action="store_true")
args = parser.parse_args()
results = []
for folder, _, names in sorted(os.walk(args.input, followlinks=True)):
    if folder.endswith("run_1"):
        results.append(folder + "/mlperf_log_detail.txt")
"""
ACCEPTS = """
for path in results:
    log.info("Results %s %s", path, 1.5)
log.info("SUMMARY: submission looks OK")
"""


def checkout(folder: Path, program: str) -> Path:
    package = folder / "tools/submission/submission_checker"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "main.py").write_text(_HEAD + program)
    return folder


@pytest.fixture
def tree(tmp_path: Path, real_logs: RealLogs) -> TreeUnderTest:
    return good_tree(tmp_path / "tree", real_logs)


def run(tree: TreeUnderTest, program: str, tmp_path: Path, *flags: str, timeout_seconds: float = 60) -> OfficialReport:
    place = checkout(tmp_path / "inference", program)
    return run_official(place, tree.root, round_v61(), flags=flags, timeout_seconds=timeout_seconds)


def test_an_accepted_tree_is_accepted_result_by_result(tree: TreeUnderTest, tmp_path: Path) -> None:
    official = run(tree, ACCEPTS, tmp_path)
    assert official.accepted
    assert {result.location.rpartition("/")[2] for result in official.results} == set(ALL)
    assert all(result.passed and result.metric == 1.5 for result in official.results)
    assert official.commit is None
    assert "has no git" in (official.note or "")
    report = with_official(check_tree(tree.root, round_v61()), official)
    assert report.verdict == "submittable"
    assert report.disagreements == ()


def test_of_one_submitter_only_its_systems_are_asked_about(tree: TreeUnderTest, tmp_path: Path) -> None:
    shutil.copytree(tree.submitter, tree.root / "open/OTHER")
    place = checkout(tmp_path / "inference", ACCEPTS)
    official = run_official(place, tree.root, round_v61(), submitter="TEST-ONLY")
    assert {run.system for run in official.runs} == {"open/TEST-ONLY/results/node1"}
    report = with_official(check_tree(tree.root, round_v61(), submitter="TEST-ONLY"), official)
    assert report.disagreements == ()


def test_version_is_always_given_and_no_skip_flag_by_default(tree: TreeUnderTest, tmp_path: Path) -> None:
    program = 'log.error("%s asked %s %s", results[0], args.version, args.skip_dataset_size_check)'
    assert "asked v6.1 False" in run(tree, program, tmp_path).results[0].errors[0]


def test_given_flags_arrive_and_are_recorded(tree: TreeUnderTest, tmp_path: Path) -> None:
    program = 'log.error("%s asked %s", results[0], args.skip_dataset_size_check)'
    official = run(tree, program, tmp_path, "--skip-dataset-size-check")
    assert "asked True" in official.results[0].errors[0]
    assert official.flags == ("--skip-dataset-size-check",)


@pytest.mark.parametrize("flag", ["--version=v5.1", "--input", "--csv", "--submitter", "--private-ids"])
def test_flags_that_would_change_the_tree_or_the_question_are_refused(flag: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=flag.partition("=")[0]):
        run_official(checkout(tmp_path, ACCEPTS), tmp_path, round_v61(), flags=(flag,))


def test_each_system_is_a_run_of_its_own_so_that_a_crash_stays_with_it(tree: TreeUnderTest, tmp_path: Path) -> None:
    systems = tree.submitter / "results"
    (systems / "node1").rename(systems / "bad")
    tree.system_json.rename(tree.system_json.with_name("bad.json"))
    other = good_copy(tree, "fine")
    program = f"""
if any("/bad/" in path for path in results):
    log.info("Loading Performance log from %s", results[1])
    raise KeyError("status")
{ACCEPTS}"""
    official = run(tree, program, tmp_path)
    assert [(one.system.rpartition("/")[2], one.crash) for one in official.runs] == [
        ("bad", "KeyError: 'status'"),
        (other, None),
    ]
    verdicts = {result.location.split("/")[3]: result.passed for result in official.results}
    assert verdicts == {"bad": None, other: True}
    assert not official.accepted
    crashed = next(result for result in official.results if result.errors)
    assert crashed.errors == ("the checker crashed: KeyError: 'status'",)


def good_copy(tree: TreeUnderTest, name: str) -> str:
    """Give the submitter's other system the results of the one that it has."""
    source = next((tree.submitter / "results").iterdir())
    subprocess.run(["cp", "-r", str(source), str(source.with_name(name))], check=True)
    return name


def test_a_crash_that_we_cannot_explain_rejects_the_tree(tree: TreeUnderTest, tmp_path: Path) -> None:
    official = run(tree, 'raise KeyError("status")', tmp_path)
    report = with_official(check_tree(tree.root, round_v61()), official)
    assert report.verdict == "rejected"
    assert {one.official for one in report.disagreements} == {"crashed"}
    assert {one.ours for one in report.disagreements} == {"accepts"}


def test_a_rejection_that_we_cannot_explain_is_a_disagreement_with_its_reason(
    tree: TreeUnderTest, tmp_path: Path
) -> None:
    program = """
for path in results[:-1]:
    log.info("Results %s %s", path, 1.5)
log.info("Starting performance checks for: %s", results[-1])
log.error("the moon is full")
log.error("NoResults %s", results[-1])
log.error("SUMMARY: submission has errors")
sys.exit(1)
"""
    report = with_official(check_tree(tree.root, round_v61()), run(tree, program, tmp_path))
    (one,) = report.disagreements
    assert (one.ours, one.official, one.message) == ("accepts", "rejects", "the moon is full")
    assert report.verdict == "rejected"


def test_what_we_expect_it_to_reject_and_it_accepts_is_a_disagreement_too(tree: TreeUnderTest, tmp_path: Path) -> None:
    tree.edit_json(tree.system_json, {"cooling": ""})
    report = with_official(check_tree(tree.root, round_v61()), run(tree, ACCEPTS, tmp_path))
    assert {(one.ours, one.official) for one in report.disagreements} == {("rejects", "accepts")}
    assert "system-field-empty" in report.disagreements[0].message


def test_rules_that_a_flag_leaves_out_are_not_compared(tree: TreeUnderTest, tmp_path: Path) -> None:
    found = check_tree(tree.root, round_v61())
    result = found.results[0].location
    size = dataclasses.replace(found, findings=(_dataset_size(result),))
    assert with_official(size, run(tree, ACCEPTS, tmp_path / "plain")).disagreements
    with_flag = run(tree, ACCEPTS, tmp_path / "flag", "--skip-dataset-size-check")
    assert not with_official(size, with_flag).disagreements


@pytest.mark.parametrize("rule", [one for one in POWER_RULES if one is not NAMEPLATE], ids=lambda one: one.id)
def test_without_the_power_check_its_rules_are_not_compared(rule: Rule, tree: TreeUnderTest, tmp_path: Path) -> None:
    checked = check_tree(tree.root, round_v61())
    result = checked.results[0].location
    found = dataclasses.replace(checked, findings=(rule.at(At(result), result, "broken", severity="official"),))
    assert with_official(found, run(tree, ACCEPTS, tmp_path / "plain")).disagreements
    with_flag = with_official(found, run(tree, ACCEPTS, tmp_path / "flag", "--skip-power-check"))
    # The official checker looks at the readings itself; nobody but us objects to a duration.
    assert bool(with_flag.disagreements) == (rule in {READINGS, DURATION})


@pytest.mark.parametrize(("name", "value"), [("ranging/spl.txt", None), ("run_1/spl.txt", NO_FACTOR)])
def test_without_the_power_check_readings_that_it_alone_reads_are_not_compared(
    tree: TreeUnderTest, tmp_path: Path, name: str, value: str | None
) -> None:
    checked = check_tree(tree.root, round_v61())
    result = checked.results[0].location
    finding = READINGS.at(At(result), f"{result}/performance/{name}", "broken", value=value, severity="official")
    found = dataclasses.replace(checked, findings=(finding,))
    assert with_official(found, run(tree, ACCEPTS, tmp_path / "plain")).disagreements
    assert not with_official(found, run(tree, ACCEPTS, tmp_path / "flag", "--skip-power-check")).disagreements


def test_without_the_power_check_its_files_are_still_listed(tree: TreeUnderTest, tmp_path: Path) -> None:
    checked = check_tree(tree.root, round_v61())
    result = checked.results[0].location
    missing = MISSING_FILE.at(At(result), f"{result}/performance/power/client.json", "missing", severity="official")
    found = dataclasses.replace(checked, findings=(missing,))
    assert with_official(found, run(tree, ACCEPTS, tmp_path, "--skip-power-check")).disagreements


def _dataset_size(result: str) -> Finding:
    return DATASET_SIZE.at(At(result), result, "20 of 50000")


def test_a_checker_that_does_not_end_is_stopped(tree: TreeUnderTest, tmp_path: Path) -> None:
    official = run(tree, "time.sleep(60)", tmp_path, timeout_seconds=1)
    assert official.runs[0].exit_code is None
    assert all(result.passed is None for result in official.results)


def test_a_round_that_the_checkout_does_not_know_is_reported(tree: TreeUnderTest, tmp_path: Path) -> None:
    official = run(tree, 'parser.error("argument --version: invalid choice")', tmp_path)
    assert official.runs[0].exit_code == 2
    assert "invalid choice" in (official.runs[0].crash or "")
    assert not official.accepted


def test_a_submitter_without_results_gets_a_run_of_its_own(tree: TreeUnderTest, tmp_path: Path) -> None:
    (tree.root / "open/Other/src").mkdir(parents=True)
    program = 'if "Other" in os.listdir(args.input + "/open"): raise OSError("no results")\n' + ACCEPTS
    official = run(tree, program, tmp_path)
    assert (official.runs[0].system, official.runs[0].crash) == ("open/Other", "OSError: no results")
    assert not official.accepted


def test_neither_the_tree_nor_the_checkout_is_written_to(tree: TreeUnderTest, tmp_path: Path) -> None:
    place = checkout(tmp_path / "inference", "from submission_checker import other\n" + ACCEPTS)
    (place / "tools/submission/submission_checker/other.py").touch()
    before = {path: path.stat().st_mtime_ns for path in [*tree.root.rglob("*"), *place.rglob("*")]}
    run_official(place, tree.root, round_v61())
    assert {path: path.stat().st_mtime_ns for path in [*tree.root.rglob("*"), *place.rglob("*")]} == before


def test_a_folder_that_is_no_checkout_is_a_sentence(tree: TreeUnderTest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a checkout of mlcommons/inference"):
        run_official(tmp_path, tree.root, round_v61())


def test_an_interpreter_that_is_not_there_is_a_sentence(tree: TreeUnderTest, tmp_path: Path) -> None:
    place = checkout(tmp_path / "inference", ACCEPTS)
    with pytest.raises(ToolError, match="cannot run the official checker with /no/python: No such file"):
        run_official(place, tree.root, round_v61(), python="/no/python")


def test_a_temporary_folder_that_cannot_be_used_is_a_sentence(
    tree: TreeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good_copy(tree, "node2")  # systems are checked in threads
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ToolError) as caught:
        run(tree, ACCEPTS, tmp_path)
    assert caught.value.message == f"cannot use the temporary folder {tmp_path / 'gone'}: No such file or directory"
    assert caught.value.hint == "TMPDIR can name another folder"


@pytest.mark.parametrize("what", ["mkdir", "symlink_to"])
def test_links_that_the_disk_refuses_are_a_sentence(
    tree: TreeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    place = checkout(tmp_path / "inference", ACCEPTS)
    monkeypatch.setattr(Path, what, full)
    with pytest.raises(ToolError, match=f"cannot use the temporary folder {tempfile.gettempdir()}: No space left"):
        run_official(place, tree.root, round_v61())


def test_a_checker_that_met_a_full_disk_has_no_opinion(tree: TreeUnderTest, tmp_path: Path) -> None:
    program = ACCEPTS + "raise OSError(28, os.strerror(28), args.csv)"
    with pytest.raises(ToolError, match=f"cannot use the temporary folder {tempfile.gettempdir()}: No space left"):
        run(tree, program, tmp_path)


def test_another_commit_and_local_changes_are_said(tree: TreeUnderTest, tmp_path: Path) -> None:
    place = checkout(tmp_path / "inference", ACCEPTS)
    git = ["git", "-C", str(place), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    official = run_official(place, tree.root, round_v61())
    assert official.commit == commit
    expected = f"the checkout is at commit {commit[:12]}; round v6.1 names {round_v61().checker.commit[:12]}"
    assert official.note == expected
    with (place / "tools/submission/submission_checker/main.py").open("a") as stream:
        stream.write("# changed\n")
    note = run_official(place, tree.root, round_v61()).note or ""
    assert note.endswith("differs from its commit: tools/submission/submission_checker/main.py")


def test_a_checkout_inside_another_repository_is_not_taken_for_it(tree: TreeUnderTest, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    official = run(tree, ACCEPTS, tmp_path)
    assert official.commit is None
    assert "has no git" in (official.note or "")


def test_the_checkers_python_does_not_see_our_environment(
    tree: TreeUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "submission_checker").mkdir()
    (tmp_path / "submission_checker/main.py").write_text("raise SystemExit('the wrong package')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run(tree, ACCEPTS, tmp_path).accepted


def test_a_csv_with_quotes_in_it_loses_that_row_only(tmp_path: Path) -> None:
    csv = tmp_path / "summary.csv"
    place = "open/X/results/s/b/Offline/performance/run_1"
    csv.write_text(
        "Organization,Location,notes\n"
        f'"X","/tmp/t/{place}","a "good" one, they say"\n'
        f'"X","/tmp/t/{place.replace("Offline", "Server")}","cut","here"\n'
    )
    rows = read_csv(csv, "/tmp/t")  # noqa: S108  # text of the file, no file
    assert rows == {
        "open/X/results/s/b/Offline": {"Organization": "X", "Location": place, "notes": 'a "good" one, they say'}
    }
    assert read_csv(tmp_path / "none.csv", "/") == {}


def test_errors_without_a_path_belong_to_the_result_that_is_being_checked() -> None:
    log = OfficialLog("/t")
    place = "open/X/results/s/b"
    for line in (
        f"[2026-01-01 00:00:00,000 base.py:5 INFO] Starting checks for: /t/{place}/Offline/performance/run_1/x",
        "[2026-01-01 00:00:00,000 check.py:5 ERROR] no seeds",
        f"[2026-01-01 00:00:00,000 base.py:5 INFO] Starting checks for: /t/{place}/Server/performance/run_1/x",
        f"[2026-01-01 00:00:00,000 check.py:5 ERROR] /t/{place}/Server is \x1b[2J broken",
    ):
        log.line(line)
    assert log.errors[f"{place}/Offline"] == ["no seeds"]
    assert log.errors[f"{place}/Server"] == [f"{place}/Server is \N{REPLACEMENT CHARACTER}[2J broken"]


def test_a_result_of_zero_is_neither_listed_nor_passed() -> None:
    log = OfficialLog("/t")
    assert log.passed("open/X/results/s/b/Offline", finished=True) is False
    assert log.passed("open/X/results/s/b/Offline", finished=False) is None
