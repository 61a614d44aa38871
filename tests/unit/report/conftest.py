"""One run with all four scenarios for the tests that only read, and a copy of it for those that change something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.attempts import RealLogs
from tests.support.sample_run import sample_run


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory, real_logs: RealLogs) -> Path:
    """A demonstration: all that its check objects to is a limit of its plan. Tests only write its report."""
    return sample_run(tmp_path_factory.mktemp("report") / "demo", real_logs)


@pytest.fixture
def run(demonstration: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    written = shutil.ignore_patterns("report.html", "verdict.md")
    return Path(shutil.copytree(demonstration, tmp_path / "demo", ignore=written))
