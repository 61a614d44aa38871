"""Whole measurements under real LoadGen with the simulated daemon: by a double, and by the official software.

The latter where MLPERF_POWER_DEV_CHECKOUT names a checkout of mlcommons/power-dev and MLPERF_POWER_PYTHON a Python 3.7
to 3.12. MLPERF_INFERENCE_CHECKOUT names one of mlcommons/inference, for the official checker.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.checker import check_tree
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json
from mlperf_ops.pack import pack_tree
from mlperf_ops.power_check import PowerFinding, check_measurement, read_measurement
from mlperf_ops.power_check.official import power_checker, run_power_checker
from mlperf_ops.power_results import Place, measured_power
from tests.power_sim.flow import Ended, measure
from tests.power_sim.sntp import responder
from tests.support.attempts import RealLogs
from tests.support.submission_trees import good_tree

pytestmark = pytest.mark.integration
ROUND = load_catalogue().round("v6.1")
SOFTWARE = Path(os.environ.get("MLPERF_POWER_DEV_CHECKOUT", "/nonexistent")) / "ptd_client_server"
PYTHON = os.environ.get("MLPERF_POWER_PYTHON", "")
CHECKOUT = os.environ.get("MLPERF_INFERENCE_CHECKOUT", "")
needs_official = pytest.mark.skipif(
    not (SOFTWARE.is_dir() and PYTHON and os.geteuid() == 0),
    reason="MLPERF_POWER_DEV_CHECKOUT, MLPERF_POWER_PYTHON (3.7 to 3.12) and root for UDP port 123 are needed",
)
# Of every measurement here: a stand-in made it, and it takes seconds.
ALWAYS = Counter({("simulated", "rules"): 1, ("duration", "advice"): 2})
# Of the double: it is not the accepted software, on either side.
OF_DOUBLE = ALWAYS + Counter({("sources", "official"): 2})


def findings(ended: Ended) -> list[PowerFinding]:
    return list(check_measurement(read_measurement(ended.out), ROUND))


def counted(ended: Ended) -> Counter[tuple[str, str]]:
    return Counter((one.subject, one.objector) for one in findings(ended))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return measure(tmp_path_factory.mktemp("power"))


def test_a_measurement_of_the_double_is_whole_and_only_says_that_it_is_none(good: Ended) -> None:
    assert good.client_code == 0, good.said
    assert counted(good) == OF_DOUBLE, findings(good)
    assert sorted(path.name for path in good.out.iterdir()) == ["power", "ranging", "run_1"]
    figures = measured_power(Place(good.out, ".", None, None), ROUND)
    assert figures.problem is None
    assert figures.average_watts == pytest.approx(100.0, rel=0.002)
    assert (figures.scenario, figures.unit) == ("SingleStream", "millijoules")
    assert figures.readings >= 5


def test_the_simulated_mark_is_one_clear_finding(good: Ended) -> None:
    (mark,) = [one for one in findings(good) if one.subject == "simulated"]
    assert mark.message.startswith("the readings were made by a stand-in for the meter, as power/client.json, ")
    assert "power/server.json" in mark.message
    assert "power/ptd_logs.txt" in mark.message


def test_check_and_pack_refuse_it_with_one_finding(good: Ended, tmp_path: Path, real_logs: RealLogs) -> None:
    tree = good_tree(tmp_path / "tree", real_logs)
    performance = tree.performance("SingleStream").parents[1]
    for name in ("power", "ranging"):
        shutil.copytree(good.out / name, performance / name)
    shutil.copy(good.out / "run_1/spl.txt", performance / "run_1")
    report = check_tree(tree.root, ROUND)
    (mark,) = [one for one in report.findings if one.rule == "simulated"]
    assert mark.location.endswith("/performance/power/server.json")
    assert report.verdict == "rejected"
    with pytest.raises(SubmissionError, match=r"simulated at "):
        pack_tree(tree.root, ROUND, tmp_path / "pack.tar.gz")
    assert not (tmp_path / "pack.tar.gz").exists()


@pytest.mark.parametrize(("device", "channel"), [(77, "1,3"), (48, "3"), (549, "")])
def test_other_meters(tmp_path: Path, device: int, channel: str) -> None:
    ended = measure(tmp_path, device=device, channel=channel, seconds=(4.0,))
    assert counted(ended) == OF_DOUBLE, (findings(ended), ended.said)


def test_an_edited_reading_is_found(good: Ended, tmp_path: Path) -> None:
    out = Path(shutil.copytree(good.out, tmp_path / "out"))
    spl = out / "run_1/spl.txt"
    # Of the volts: another power of a reading within the run would be a finding of its own.
    spl.write_text(spl.read_text().replace("Volts,2", "Volts,3", 1))
    edited = Ended(out, 0, "")
    more = counted(edited) - OF_DOUBLE
    assert more == Counter({("digests", "official"): 1}), findings(edited)


def test_an_analyzer_that_is_unplugged_in_testing_is_one_finding(tmp_path: Path) -> None:
    ended = measure(tmp_path, knobs={"unplugged_after": 2}, seconds=(6.0,))
    assert ended.client_code == 0, ended.said
    assert counted(ended) - OF_DOUBLE == Counter({("readings", "official"): 1}), findings(ended)
    (found,) = [one for one in findings(ended) if one.subject == "readings"]
    assert found.message.startswith("the meter was silent ")  # how long depends on when LoadGen came to its start
    assert "Bad watts reading nan from SIMULATED meter" in found.message


def test_another_version_of_the_daemon_is_one_finding(tmp_path: Path) -> None:
    ended = measure(tmp_path, knobs={"version": "1.9.2"}, seconds=(4.0,))
    assert counted(ended) - OF_DOUBLE == Counter({("meter", "official"): 1}), findings(ended)
    (found,) = [one for one in findings(ended) if one.subject == "meter"]
    assert found.message == "PTDaemon has version 1.9.2, accepted is 1.11.1"


def test_ranging_that_is_shorter_than_half_is_one_finding(tmp_path: Path) -> None:
    ended = measure(tmp_path, seconds=(2.5, 6.0))
    more = counted(ended) - OF_DOUBLE
    assert more == Counter({("duration", "rules"): 1}), findings(ended)
    (found,) = [one for one in findings(ended) if one.objector == "rules" and one.subject == "duration"]
    assert found.file == "ranging/mlperf_log_detail.txt"


def test_uncertain_readings_are_found_where_the_official_checker_sees_none(tmp_path: Path) -> None:
    ended = measure(tmp_path, knobs={"uncertain": [0, 1000]}, seconds=(4.0,))
    assert counted(ended) - OF_DOUBLE == Counter({("uncertainty", "rules"): 1}), findings(ended)


def test_a_clock_that_is_off_ends_the_client_before_anything_is_measured(tmp_path: Path) -> None:
    ended = measure(tmp_path, environment={"MLPERF_POWER_DOUBLE_CLOCK": "0.9"})
    assert ended.client_code == 1
    (apart_ms,) = re.findall(r"Could not synchronize: client and server are (\d+) ms apart", ended.said)
    assert 890 < int(apart_ms) < 2000  # the answer of a busy machine takes its time, too
    assert not (ended.out / "power").exists()


def test_a_daemon_that_dies_ends_both_sides(tmp_path: Path) -> None:
    ended = measure(tmp_path, knobs={"killed_after": 1}, seconds=(3.0,))
    assert ended.client_code == 1
    assert "PTDaemon unexpectedly terminated" in ended.said
    assert "The server is disconnected" in ended.said


@pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference")
def test_the_official_checker_refuses_the_double_for_its_sources_only(good: Ended) -> None:
    official = run_power_checker(power_checker(Path(CHECKOUT)), good.out)
    assert [one.name for one in official.checks if not one.passed] == [
        "Check client sources checksum",
        "Check server sources checksum",
    ], official
    assert len(official.checks) == 11


@pytest.fixture(scope="module")
def time_server() -> Iterator[None]:
    with responder():
        yield


@needs_official
@pytest.mark.slow
@pytest.mark.parametrize(("device", "channel"), [(49, ""), (77, "1,3")])
def test_the_official_software_and_checker_pass_eleven_of_eleven(
    tmp_path: Path, time_server: None, device: int, channel: str
) -> None:
    ended = measure(tmp_path, software=SOFTWARE, python=PYTHON, seconds=(8.0,), device=device, channel=channel)
    assert ended.client_code == 0, ended.said
    assert counted(ended) == ALWAYS, findings(ended)
    if CHECKOUT:
        official = run_power_checker(power_checker(Path(CHECKOUT)), ended.out)
        assert official.accepted, official
        assert [one.passed for one in official.checks] == [True] * 11
    figures = measured_power(Place(ended.out, ".", None, None), ROUND)
    assert figures.average_watts == pytest.approx(100.0, rel=0.002)


_DEBUG = "Check debug is disabled on server-side"
_COMMANDS, _LOG = "Check PTD commands and replies", "Check errors and warnings from PTD logs"


@needs_official
@pytest.mark.slow
@pytest.mark.skipif(not CHECKOUT, reason="MLPERF_INFERENCE_CHECKOUT names no checkout of mlcommons/inference")
@pytest.mark.parametrize(
    ("knobs", "device", "fails", "ours"),
    [
        ({"uncertain": [0, 1000]}, 49, [], {("uncertainty", "rules"): 1}),
        ({"version": "1.9.2"}, 49, [_COMMANDS], {("meter", "official"): 1}),
        (
            {},
            0,
            [_COMMANDS, _LOG, "Check PTD configuration"],
            {("meter", "official"): 2, ("uncertainty", "official"): 1},
        ),
        ({"unplugged_after": 2}, 49, [_LOG], {("readings", "official"): 1}),
    ],
    ids=["uncertain", "version", "dummy", "unplugged"],
)
def test_what_the_official_checker_says_of_a_fault_and_what_we_say(  # in debug mode, which shortens the pauses
    tmp_path: Path,
    time_server: None,
    knobs: dict[str, Json],
    device: int,
    fails: list[str],
    ours: dict[tuple[str, str], int],
) -> None:
    ended = measure(
        tmp_path, software=SOFTWARE, python=PYTHON, seconds=(4.0,), device=device, knobs=knobs,
        environment={"MLPP_DEBUG": "1"},
    )  # fmt: skip
    assert ended.client_code == 0, ended.said
    official = run_power_checker(power_checker(Path(CHECKOUT)), ended.out)
    # The level is part of the check of times: it fails where no reading of an unplugged meter lies in the run.
    found = {one.name for one in official.checks if not one.passed} - {"Check time difference"}
    assert found == {*fails, _DEBUG}, official
    assert counted(ended) - ALWAYS == Counter(ours) + Counter({("debug", "official"): 1}), findings(ended)
