"""Whatever the bytes of a tree: no exception reaches the user, and no check breaks."""

from __future__ import annotations

import json
import math
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlperf_ops.accuracy_txt import parse_accuracy_text
from mlperf_ops.checker import CheckReport, check_tree
from mlperf_ops.checker.texts import TextFile, read_text
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject
from mlperf_ops.loadgen_log import read_detail, read_summary
from mlperf_ops.power_metrics import read_watts
from tests.support.attempts import RealLogs
from tests.support.damage import damages
from tests.support.submission_trees import EDGE, SUBMITTER, TreeUnderTest, good_tree, round_v61

ROUND = round_v61()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
KEYS = sorted(set(ROUND.loadgen_fields_read) - {"metadata.is_error"})
MESSAGES = st.fixed_dictionaries(
    {"key": st.sampled_from(KEYS) | st.text(max_size=10)},
    optional={"value": VALUES, "metadata": VALUES, "time_ms": VALUES},
)
LINES = st.builds(lambda message: f":::MLLOG {json.dumps(message)}".encode(), MESSAGES) | st.binary(max_size=60)
LOGS = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=12), st.sampled_from([b"", b"\n"])
)
TIMES = st.sampled_from(["07-25-2025 15:27:44.482", "07-25-2025 15:27:44.4820001", "25-07-2025 15:27:44", "", "x"])
READINGS = st.builds(lambda time, watts: f"Time,{time},Watts,{watts},Volts", TIMES, st.floats() | st.text(max_size=9))
# A machine under load is slow, and that is no failure.
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WHOLE_TREE = settings(QUICK, max_examples=40)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> dict[str, TreeUnderTest]:
    base = tmp_path_factory.mktemp("trees")
    closed = good_tree(base / "closed", real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    return {"closed": closed, "open": good_tree(base / "open", real_logs)}


def checked(tree: TreeUnderTest) -> CheckReport:
    report = check_tree(tree.root, ROUND, processes=1)
    assert [one.message for one in report.findings if one.rule == "check-failed"] == []
    assert len(report.results) == len(EDGE) + (tree.division == "open")
    return report


@QUICK
@given(content=LOGS)
def test_a_detail_log_is_read_or_named(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mlperf_log_detail.txt"
    path.write_bytes(content)
    for keys in (None, frozenset(KEYS)):
        try:
            log = read_detail(path, keys)
        except ResultError as error:
            assert str(path) in error.message  # noqa: PT017  # either outcome is right
        else:
            assert not log.complete or log.values


@QUICK
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_summary_or_any_other_text_is_read(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "texts"
    folder.mkdir(exist_ok=True)
    (folder / "x.txt").write_bytes(content)
    assert all(value == value.strip() for value in read_summary(folder / "x.txt").values())
    found = read_text(read_tree(folder), "x.txt")
    assert found.exists
    assert (found.problem is None) == (found.text.encode() == content)


@QUICK
@given(text=st.text(max_size=200), label=st.sampled_from(["Reference score", "num_unmatched", "Mean output tokens"]))
def test_a_figure_is_a_number_or_none(text: str, label: str) -> None:
    for said in (text, f"{label} = {text}", f"{label}: {text}\n"):
        value = TextFile("x", exists=True, text=said, problem=None).number(label)
        assert value is None or isinstance(value, float)


@QUICK
@given(
    model=st.sampled_from(sorted(ROUND.models)),
    lines=st.lists(st.text(max_size=60) | st.floats().map(lambda x: f"accuracy={x}%") | st.just("hash=0"), max_size=6),
)
def test_an_accuracy_text_is_read(model: str, lines: list[str]) -> None:
    targets = ROUND.accuracy_targets(model, "Offline")
    found = parse_accuracy_text(lines, targets, ROUND.accuracy_regex, ROUND.hash_regex)
    told = {score.metric for score in found.scores} | set(found.missing)
    assert {target.metric for target in targets if target.min is not None} <= told
    assert told <= {target.metric for target in targets}
    assert all(isinstance(score.met, bool) and score.limit for score in found.scores)


@QUICK
@given(lines=st.lists(READINGS | st.text(max_size=60), max_size=6), begin=TIMES, end=TIMES)
def test_readings_of_the_meter_are_positive_or_named(lines: list[str], begin: str, end: str) -> None:
    try:
        watts = read_watts(lines, begin, end)
    except ValueError:
        return
    assert all(value > 0 or math.isnan(value) for value in watts)


@WHOLE_TREE
@given(data=st.data())
def test_any_bytes_in_any_file_break_no_check(data: st.DataObject, trees: dict[str, TreeUnderTest]) -> None:
    division, file = data.draw(st.sampled_from(sorted({(one.division, one.file) for one in damages()})))
    path = trees[division].root / division / SUBMITTER / file
    before = path.read_bytes()
    cut = data.draw(st.integers(0, len(before)))
    path.write_bytes(before[:cut] + data.draw(st.binary(max_size=80)) + data.draw(st.sampled_from([b"", before[cut:]])))
    try:
        checked(trees[division])
    finally:
        path.write_bytes(before)


@WHOLE_TREE
@given(
    key=st.sampled_from(KEYS),
    value=VALUES,
    run=st.sampled_from(["performance/run_1", "accuracy", "TEST01/performance/run_1"]),
)
def test_any_value_in_a_log_breaks_no_check(key: str, value: object, run: str, trees: dict[str, TreeUnderTest]) -> None:
    path = trees["closed"].result("MultiStream") / run / "mlperf_log_detail.txt"
    before = path.read_text()
    lines = before.splitlines(keepends=True)
    message = {"key": key, "value": value, "metadata": {"is_error": False}}
    kept = [line for line in lines if f'"key": "{key}"' not in line]
    path.write_text("".join([*kept[:3], f":::MLLOG {json.dumps(message)}\n", *kept[3:]]))
    try:
        checked(trees["closed"])
    finally:
        path.write_text(before)


@WHOLE_TREE
@given(
    fields=st.dictionaries(
        st.sampled_from([*ROUND.system_description.required, *ROUND.system_description.required_network, "simulated"]),
        VALUES,
        max_size=4,
    )
)
def test_any_value_in_a_description_breaks_no_check(fields: JsonObject, trees: dict[str, TreeUnderTest]) -> None:
    tree = trees["closed"]
    paths = (tree.system_json, tree.result("Offline") / "measurements.json")
    before = {path: path.read_text() for path in paths}
    try:
        for path, text in before.items():
            path.write_text(json.dumps(cast("JsonObject", json.loads(text)) | fields))
        checked(tree)
    finally:
        for path, text in before.items():
            path.write_text(text)
