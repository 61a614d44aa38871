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
COUNTS = {
    "1e3": 1,
    "010": 8,
    "0x10": 16,
    "12.9": 12,
    "12.0": 12,
    "1e999": 1,
    "nan": 0,
    "inf": 0,
    "0x1.8p3": 1,
    "-5": 18446744073709551611,
    "99999999999999999999": 18446744073709551615,
    "-99999999999999999999": 18446744073709551615,
}
# Value -> does LoadGen take the line; whether the number is a good one is another question.
TAKEN = {
    "1e999": True,
    "NAN(x_1)": True,
    "-Infinity": True,
    "0x1.8p3": True,
    "0x.8": True,
    ".5e+1": True,
    "010": True,
    "08": True,
    "infinite": False,
    "nan(-)": False,
    "0x": False,
    "0xp1": False,
    "1e": False,
    "1_000": False,
    ".": False,
}


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
        assert bool(said) == (value not in {"0x10", "12.0"})
        assert all(str(count) in message for message in said)


def test_values_are_taken_and_refused_as_the_lint_says(tmp_path: Path) -> None:
    for index, (value, taken) in enumerate(TAKEN.items()):
        folder = tmp_path / str(index)
        folder.mkdir()
        # A line of another model: what is read is not what is asked here.
        text = f"bert.Offline.target_qps = {value}\nresnet50.Offline.target_qps = 5\n"
        (folder / "user.conf").write_text(text)
        log_settings([Case(folder, "resnet50", "Offline")])
        refused = "error_invalid_config" in (folder / "mlperf_log_detail.txt").read_text()
        found = lint_user_conf(text, ROUND, "closed", official="resnet", scenario="Offline")
        assert refused == any("drops the whole file" in one.message for one in found) == (not taken), value
