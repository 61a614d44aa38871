"""What the lint says of LoadGen's parser, asked of LoadGen itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.userconf_lint import lint_user_conf
from tests.support.loadgen_cases import Case, log_settings

pytest.importorskip("mlperf_loadgen", reason="LoadGen is not installed (extra: harness)")
pytestmark = pytest.mark.integration

ROUND = load_catalogue().round("v6.1")
# Text -> target_qps that LoadGen then has. 1 is its embedded one.
PARSED = {
    "resnet50.Offline.target_qps = 5": 5,
    "resnet50.Offline.target_qps=5": 1,
    "resnet50.Offline.target_qps =": 1,
    "resnet50.Offline.target_qps 5": 1,
    "resnet50.Offline.target_qps = 5 # fast": 1,
    "resnet50.Offline.target_qps = many": 1,
    "resnet50.Offline.target_qps = 5 6": 6,
    "#word\nresnet50.Offline.target_qps = 5": 5,
    "# some words\nresnet50.Offline.target_qps = 5": 5,
    "#some words\nresnet50.Offline.target_qps = 5": 1,
    "resnet50.Offline.target_qps = 5\r\n": 5,
    "resnet50.Offline.target_qps = 5\x1c": 1,
    "resnet50.offline.target_qps = 5": 1,
    "resnet.Offline.target_qps = 5": 1,
    "resnet50.Offline.target_qps = 5\nresnet50.Offline.target_qps = 6": 6,
    "resnet50.*.target_qps = 5\n*.Offline.target_qps = 6": 6,
    "*.Offline.target_qps = 5\nresnet50.Offline.target_qps = 6": 6,
    "*.*.target_qps = 5\nresnet50.*.target_qps = 6": 6,
}
COUNTS = {"1e3": 1, "010": 8, "0x10": 16, "12.9": 12}


def test_lines_are_read_refused_and_beaten_as_the_lint_says(tmp_path: Path) -> None:
    folders = []
    for index, text in enumerate(PARSED):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "user.conf").write_bytes(f"{text}\n".encode())
        folders.append(folder)
    log_settings([Case(folder, "resnet50", "Offline") for folder in folders])
    for folder, (text, target_qps) in zip(folders, PARSED.items(), strict=True):
        log = read_detail(folder / "mlperf_log_detail.txt").values
        assert log["effective_target_qps"] == target_qps, text
        refused = "error_invalid_config" in (folder / "mlperf_log_detail.txt").read_text()
        found = lint_user_conf(text, ROUND, "closed", official="resnet", scenario="Offline")
        assert refused == any("drops the whole file" in one.message for one in found), text
        good = target_qps == 5 or "# some words" in text or text.startswith("*.") or "*.Offline.target_qps = 6" in text
        assert good or found, text


def test_numbers_are_read_as_the_lint_says(tmp_path: Path) -> None:
    for value, count in COUNTS.items():
        folder = tmp_path / value
        folder.mkdir()
        (folder / "user.conf").write_text(f"resnet50.SingleStream.max_query_count = {value}\n")
        log_settings([Case(folder, "resnet50", "SingleStream")])
        assert read_detail(folder / "mlperf_log_detail.txt").values["effective_max_query_count"] == count
        found = lint_user_conf((folder / "user.conf").read_text(), ROUND, "closed")
        said = [one.message for one in found if one.rule == "value"]
        assert bool(said) == (value != "0x10")
        assert all(str(count) in message for message in said)
