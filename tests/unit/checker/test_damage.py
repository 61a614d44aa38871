"""Every file in every state: exactly the expected findings, and all other results judged as before."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mlperf_ops.checker import check_tree
from tests.support.attempts import RealLogs
from tests.support.damage import Damage, damages
from tests.support.submission_trees import EDGE, TreeUnderTest, good_tree, round_v61


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> dict[str, TreeUnderTest]:
    base = tmp_path_factory.mktemp("good")
    closed = good_tree(base / "closed", real_logs, division="closed", benchmark="resnet50", scenarios=EDGE)
    return {"open": good_tree(base / "open", real_logs), "closed": closed}


@pytest.mark.parametrize("damage", list(damages()), ids=str)
def test_damage_to_one_file_gives_what_the_table_says(
    damage: Damage, good: dict[str, TreeUnderTest], tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(good[damage.division].root, tree)
    damage.inflict(tree)
    report = check_tree(tree, round_v61(), processes=1)
    assert Counter((one.rule, one.severity) for one in report.findings) == damage.expected
    results = {result.location: result.verdict for result in report.results}
    assert len(results) == len(list(good[damage.division].result("Offline").parent.iterdir()))
    rejecting = [finding for finding in report.findings if finding.rejects]
    for location, verdict in results.items():
        assert verdict == ("fail" if any(finding.concerns(location) for finding in rejecting) else "pass")
    if damage.file.startswith("results/"):
        home = str(Path(damage.file).parent).partition("/Offline")[0] + "/Offline"
        assert all(f"/{home}" in finding.affects for finding in report.findings)
