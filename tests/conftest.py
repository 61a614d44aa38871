"""Fixtures of all tests."""

from __future__ import annotations

import pytest

from tests.support.attempts import RealLogs


@pytest.fixture(scope="session")
def real_logs(tmp_path_factory: pytest.TempPathFactory) -> RealLogs:
    """Logs of real LoadGen runs of a fraction of a second, made when first asked for."""
    return RealLogs(tmp_path_factory.mktemp("loadgen"))
