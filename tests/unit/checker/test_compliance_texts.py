"""TEST07, TEST08 and TEST09: the verdicts in their texts, and the figures at both sides of their limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from tests.support.attempts import RealLogs
from tests.support.submission_trees import good_tree, round_v61

_SCORE_LIMIT = 60.698  # of TEST07, gpt-oss-120b
_PASSED = {
    ("gpt-oss-120b", "TEST07"): ("verify_accuracy.txt", f"Accuracy score: {_SCORE_LIMIT}\nTEST PASS\n"),
    ("gpt-oss-120b", "TEST09"): ("verify_output_len.txt", "Mean output tokens: 1150.38\nTEST PASS\n"),
    ("dlrm-v3", "TEST08"): (
        "verify_accuracy.txt",
        "num_unmatched = 0\nnum_ne_mismatch = 0\ntolerance = 0.10%\n\nTEST PASS\n",
    ),
}


def said(root: Path, logs: RealLogs, benchmark: str, texts: dict[str, str]) -> list[tuple[str, str]]:
    """Plant a text of each test of a benchmark, and return rule and severity of what is found of them."""
    tree = good_tree(root, logs, division="closed", scenarios=("Offline",), benchmark=benchmark)
    for (owner, test), (name, passed) in _PASSED.items():
        if owner == benchmark:
            folder = tree.result("Offline") / test
            folder.mkdir()
            (folder / name).write_text(texts.get(test, passed))
    report = check_tree(tree.root, round_v61(), processes=1)
    return [
        (finding.rule, finding.severity)
        for finding in report.findings
        if any(finding.location.endswith(f"/Offline/{test}/{_PASSED[benchmark, test][0]}") for test in texts)
    ]


@pytest.mark.parametrize(
    ("benchmark", "test", "text", "found"),
    [
        ("gpt-oss-120b", "TEST07", f"Accuracy score: {_SCORE_LIMIT}\nTEST PASS\n", []),
        ("gpt-oss-120b", "TEST07", "Accuracy score: 60.697\nTEST PASS\n", [("compliance-text", "rules")]),
        ("gpt-oss-120b", "TEST07", "Accuracy score: 60.697\nTEST FAIL\n", [("compliance-failed", "official")]),
        ("gpt-oss-120b", "TEST07", "Accuracy score: 61\n", [("compliance-failed", "official")]),
        ("gpt-oss-120b", "TEST09", "Mean output tokens: 1150.38\nTEST PASS\n", []),
        ("gpt-oss-120b", "TEST09", "Mean output tokens: 1406.02\nTEST PASS\n", []),
        ("gpt-oss-120b", "TEST09", "Mean output tokens: 1150.37\nTEST PASS\n", [("compliance-text", "rules")]),
        ("gpt-oss-120b", "TEST09", "Mean output tokens: 1406.03\nTEST PASS\n", [("compliance-text", "rules")]),
        ("gpt-oss-120b", "TEST09", "TEST PASS\n", [("compliance-text", "rules")]),
        ("gpt-oss-120b", "TEST09", "Mean output tokens: 900\nTEST FAIL\n", [("compliance-failed", "official")]),
        ("dlrm-v3", "TEST08", _PASSED["dlrm-v3", "TEST08"][1], []),
        ("dlrm-v3", "TEST08", "num_unmatched = 0\nnum_ne_mismatch = 1\nTEST PASS\n", [("compliance-text", "rules")]),
        ("dlrm-v3", "TEST08", "num_unmatched = 1\nnum_ne_mismatch = 0\nTEST PASS\n", [("compliance-text", "rules")]),
        ("dlrm-v3", "TEST08", "num_ne_mismatch = 1\nTEST FAIL\n", [("compliance-failed", "official")]),
        ("dlrm-v3", "TEST08", "", [("compliance-failed", "official")]),
    ],
)
def test_the_text_of_a_test_and_what_contradicts_it(
    tmp_path: Path, real_logs: RealLogs, benchmark: str, test: str, text: str, found: list[tuple[str, str]]
) -> None:
    assert said(tmp_path, real_logs, benchmark, {test: text}) == found
