"""The server of a mirror: what pip and apt ask for, and nothing else."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.catalogue import ComponentEntry
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file
from mlperf_ops.mirror import server
from mlperf_ops.mirror.manifest import Manifest, MirrorFile, write
from mlperf_ops.package_files import mirror_place
from mlperf_ops.store import prepare
from tests.support.wheels import component, write_wheel

ONE = {"tiny/weights.bin": b"weights"}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    wheel = write_wheel(folder / "packages", "tiny_tool", ONE)
    (folder / "secret.txt").write_text("not in the manifest")
    os.symlink("/etc/hostname", folder / "packages" / "link")
    rows = [
        MirrorFile(
            f"packages/{wheel.name}", sha256_file(wheel), wheel.stat().st_size, "wheel", "tiny-tool", "1.0", "MIT", ()
        ),
        MirrorFile("packages/link", "0" * 64, 1, "wheel", "x", "1", "MIT", ()),
    ]
    write(folder, Manifest(tuple(rows)))
    return folder


@pytest.fixture
def address(mirror: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[tuple[str, int]]:
    made = server.make_server(mirror, "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield ("127.0.0.1", made.server_address[1])
    made.shutdown()
    thread.join()
    made.server_close()


def ask(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_pip_finds_a_project_by_any_spelling_with_its_digest(mirror: Path, address: tuple[str, int]) -> None:
    wheel = mirror / "packages" / "tiny_tool-1.0-py3-none-any.whl"
    for spelling in ("tiny-tool", "Tiny_Tool", "tiny.tool"):
        status, body = ask(address, f"/simple/{spelling}/")
        assert status == 200
        assert f'href="/packages/{wheel.name}#sha256={sha256_file(wheel)}"' in body.decode()
    assert ask(address, f"/packages/{wheel.name}") == (200, wheel.read_bytes())
    assert ask(address, f"/packages/{wheel.name}", "HEAD") == (200, b"")
    assert ask(address, "/simple/tiny-tool")[0] == 301
    assert b"tiny-tool" in ask(address, "/simple/")[1]
    assert json.loads(ask(address, "/mirror.json")[1])["schema"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../mirror/secret.txt",
        "/packages/../secret.txt",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/packages/link",
        "/packages",
        "/packages/",
        "/simple/none/",
        "/packages/a%00b",
        "/mirror.json/",
    ],
)
def test_nothing_else_is_served(address: tuple[str, int], path: str) -> None:
    assert ask(address, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_is_read_only(address: tuple[str, int], method: str) -> None:
    assert ask(address, "/mirror.json", method)[0] == 501


def test_apt_asks_with_a_dot_in_the_path(mirror: Path, address: tuple[str, int]) -> None:
    assert ask(address, "/packages/./tiny_tool-1.0-py3-none-any.whl")[0] == 200


def test_a_new_manifest_is_seen_without_a_restart(mirror: Path, address: tuple[str, int]) -> None:
    assert ask(address, "/secret.txt")[0] == 404
    row = MirrorFile("secret.txt", "0" * 64, 1, "wheel", "x", "1", "MIT", ())
    write(mirror, Manifest((row,)))
    assert ask(address, "/secret.txt")[0] == 200


def test_a_component_comes_from_a_served_mirror(tmp_path: Path, address: tuple[str, int], mirror: Path) -> None:
    wheel = mirror / "packages" / "tiny_tool-1.0-py3-none-any.whl"
    entry: ComponentEntry = component(wheel, ONE)
    place = mirror_place(f"http://{address[0]}:{address[1]}/")
    assert prepare(entry, tmp_path / "cache", mirror=place).path.read_bytes() == b"weights"
    other = component(write_wheel(tmp_path, "other", ONE), ONE)
    with pytest.raises(ToolError, match=r"the mirror http://127\.\S+ lacks other-1\.0-py3-none-any\.whl"):
        prepare(other, tmp_path / "cache", mirror=place)


def test_a_mirror_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    entry = component(write_wheel(tmp_path, "other", ONE), ONE)
    with pytest.raises(ToolError, match=r"the mirror http://127\.0\.0\.1:9 does not answer: .* \(start it with"):
        prepare(entry, tmp_path / "cache", mirror="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"mlperf_mirror /nowhere is not a folder \(fill one with"):
        mirror_place("/nowhere")


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(mirror: Path, name: signal.Signals) -> None:
    argv = [sys.executable, "-m", "mlperf_ops", "mirror", "serve", str(mirror), "--port", "0", "--address", "127.0.0.1"]
    with subprocess.Popen([*argv, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        host, _, port = url.removeprefix("http://").partition(":")
        assert ask((host, int(port)), "/mirror.json")[0] == 200
        process.send_signal(name)
        assert process.wait(timeout=20) == 0


def test_the_file_alone_serves_as_it_is_shipped(mirror: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "server.py"
    shipped.write_text(Path(server.__file__).read_text())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        argv = [sys.executable, "-S", "-I", str(shipped), str(mirror), "--address", "127.0.0.1", "--port", port]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, f"port {port} of 127.0.0.1 cannot be served: Address already in use\n")
    done = subprocess.run([*argv[:4], str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, "is no mirror" in done.stderr) == (2, True)
