"""power-dev on controller and hosts: whether its files are accepted, a Python that it starts with, time servers."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.catalogue.loader import read_catalogue
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.power.software import software, source_problem, source_sums
from tests.power_sim import repository as double
from tests.support.plugins import plugin

ACCEPTED = ({"server.py": "a", "lib/__init__.py": "b"},)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"server.py": "a", "lib/__init__.py": "b"}, ""),
        ({"server.py": "x", "lib/__init__.py": "b"}, "server.py was changed"),
        ({"server.py": "a"}, "lib/__init__.py is missing"),
        ({"server.py": "a", "lib/__init__.py": "b", "own.py": "c"}, "own.py is not part of the software"),
    ],
)
def test_one_file_that_is_not_accepted_is_named(found: dict[str, str], problem: str) -> None:
    assert source_problem(found, ACCEPTED) == problem


def test_of_several_accepted_sets_the_nearest_is_compared() -> None:
    accepted = ({"server.py": "old", "old.py": "c"}, *ACCEPTED)
    assert source_problem({"server.py": "a", "lib/__init__.py": "x"}, accepted) == "lib/__init__.py was changed"


@pytest.mark.skipif(not os.environ.get("MLPERF_POWER_DEV_CHECKOUT"), reason="needs MLPERF_POWER_DEV_CHECKOUT")
@pytest.mark.parametrize("name", sorted(load_catalogue().rounds))
def test_the_pinned_commit_is_what_every_round_accepts(name: str, tmp_path: Path) -> None:
    given = os.environ["MLPERF_POWER_DEV_CHECKOUT"]
    folder = software(load_catalogue(), name, tmp_path / "cache", given=given)
    assert len(source_sums(folder)) == 15
    changed = tmp_path / "changed"
    shutil.copytree(given, changed)
    (changed / "ptd_client_server" / "client.py").write_bytes(b"# mine\r\n")
    with pytest.raises(ConfigError, match=r"client.py was changed, and the official checker rejects"):
        software(load_catalogue(), name, tmp_path / "cache", given=str(changed))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_software_is_fetched_by_git_from_a_repository_of_the_double_in_its_place(tmp_path: Path) -> None:
    repository, extra = double.make(tmp_path)
    catalogue = read_catalogue((extra,))
    folder = software(catalogue, double.ROUND, tmp_path / "cache")
    assert folder.is_relative_to(tmp_path / "cache" / "power-double")
    assert sorted(source_sums(folder)) == ["client.py", "power_double.py", "server.py"]
    assert software(catalogue, double.ROUND, tmp_path / "cache", given=str(repository)).is_relative_to(repository)
    mirror = tmp_path / "mirror"
    shutil.copytree(repository, mirror / "power-dev")
    assert software(catalogue, double.ROUND, tmp_path / "cache2", mirror=mirror).is_dir()
    shutil.rmtree(repository)
    with pytest.raises(ToolError, match=r"mlcommons/power-dev could not be fetched: .*mlperf_power_checkout: a"):
        software(catalogue, double.ROUND, tmp_path / "cache3")
    with pytest.raises(ConfigError, match=r"mlperf_power_checkout: .* has no ptd_client_server"):
        software(catalogue, double.ROUND, tmp_path / "cache3", given=str(tmp_path / "cache"))


# --- on hosts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def host() -> Any:  # noqa: ANN401  # a module of the collection
    return plugin("module_utils.power_software")


def interpreter(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version.replace('.', ' ')}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("version", ["3.7.16", "3.12.9"])
def test_a_python_that_fits_is_taken(host: Any, tmp_path: Path, version: str) -> None:  # noqa: ANN401
    made = interpreter(tmp_path / "python", version)
    assert host.find_python(made, "power_sut_python", for_others=False) == (made, version)


@pytest.mark.parametrize("version", ["3.13.0", "3.14.1", "3.6.9"])
def test_a_python_that_power_dev_does_not_start_with_is_refused(host: Any, tmp_path: Path, version: str) -> None:  # noqa: ANN401
    made = interpreter(tmp_path / "python", version)
    with pytest.raises(Exception, match=r"power-dev needs Python 3\.7 to 3\.12") as caught:
        host.find_python(made, "power_director_python", for_others=False)
    assert f"found: {made} {version} (install python3.12 beside" in str(caught.value)
    assert str(caught.value).endswith("name it by power_director_python)")


def test_a_python_in_a_closed_folder_is_none_for_a_server_without_rights(host: Any, tmp_path: Path) -> None:  # noqa: ANN401
    closed = tmp_path / "closed"
    made = interpreter(closed / "bin" / "python", "3.11.2")
    closed.chmod(0o700)
    with pytest.raises(Exception, match="which other accounts cannot reach because of"):
        host.find_python(made, "power_director_python", for_others=True)


def test_a_name_that_is_no_program_is_told(host: Any) -> None:  # noqa: ANN401
    with pytest.raises(Exception, match=r"found: 'python9\.9' does not work"):
        host.find_python("python9.9", "power_sut_python", for_others=False)


@pytest.fixture
def time_server(monkeypatch: pytest.MonkeyPatch, host: Any) -> Callable[[float, int], None]:  # noqa: ANN401
    """Answer one question on a free port of this machine, ahead by so many seconds and of this stratum."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    monkeypatch.setattr(host, "_NTP_PORT", server.getsockname()[1])

    def serve(ahead_seconds: float, stratum: int) -> None:
        def answer() -> None:
            _, peer = server.recvfrom(512)
            now = time.time() + ahead_seconds + 2208988800
            stamp = struct.pack("!II", int(now), int(now % 1 * (1 << 32)))
            server.sendto(bytes([4 << 3 | 4, stratum]) + bytes(30) + stamp + stamp, peer)
            server.close()

        threading.Thread(target=answer, daemon=True).start()

    return serve


@pytest.mark.parametrize("ahead_seconds", [0.0, 0.9, -0.9])
def test_the_answer_of_a_time_server_is_measured(
    host: Any,  # noqa: ANN401
    time_server: Callable[[float, int], None],
    ahead_seconds: float,
) -> None:
    time_server(ahead_seconds, 3)
    assert abs(host.ask_time("127.0.0.1") - ahead_seconds * 1e3) < 200


def test_a_time_server_that_is_not_synchronised_is_none(
    host: Any,  # noqa: ANN401
    time_server: Callable[[float, int], None],
) -> None:
    time_server(0.0, 16)
    with pytest.raises(OSError, match="is not synchronised itself"):
        host.ask_time("127.0.0.1")


def test_a_silent_time_server_is_waited_for_as_long_as_power_dev_waits(
    host: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "_NTP_SECONDS", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setattr(host, "_NTP_PORT", silent.getsockname()[1])
        with pytest.raises(TimeoutError):
            host.ask_time("127.0.0.1")


def test_who_listens_is_read_without_asking_him(host: Any) -> None:  # noqa: ANN401
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert host.listening([port, 1]) == [port]
    assert host.listening([port]) == []


def test_controller_and_host_agree_where_ptdaemon_is() -> None:
    director, action = plugin("module_utils.power_director"), plugin("action.power_host")
    sha256 = "ab" * 32
    assert director.ptd_path("/opt/x", sha256) == action.ptd_path("/opt/x", sha256)


def test_the_directors_of_analyzers_are_asked_for_leases() -> None:
    leases = plugin("plugin_utils.leases")
    shared = {"switch": {"modes": ["performance"], "owner": "services1"}, "disk": ["accuracy"]}
    meters = {"wt310": {"director": "director1"}, "slip": 3}
    suts = {"a": {"mlperf_shared": shared, "mlperf_power_analyzers": meters}, "b": {"mlperf_shared": 7}}
    assert leases.owner_names(suts) == ["director1", "services1"]
