"""Fixtures of all tests."""

from __future__ import annotations

import pytest

from tests.support import small_disks
from tests.support.attempts import RealLogs


def pytest_sessionstart(session: pytest.Session) -> None:
    """Clear what killed sessions have left mounted."""
    if not hasattr(session.config, "workerinput"):
        small_disks.unmount_left_over()


@pytest.fixture(scope="session")
def real_logs(tmp_path_factory: pytest.TempPathFactory) -> RealLogs:
    """Logs of real LoadGen runs of a fraction of a second, made when first asked for."""
    return RealLogs(tmp_path_factory.mktemp("loadgen"))
