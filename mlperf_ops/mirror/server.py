"""A small read-only HTTP server of a mirror: a package index for pip, an apt repository, and the files themselves.

It serves what mirror.json names and nothing else, so no request can leave the folder. Shipped to hosts as one file:
standard library only, Python 3.8 or newer.

    /                          what is here, in words
    /simple/                   package index (PEP 503, with digests)
    /<name of mirror.json>     a file, such as /packages/numpy-….whl or /apt/<release>/Packages
    /mirror.json               the manifest
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shutil
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MANIFEST = "mirror.json"
_INDEX = "simple"
_IDLE_SECONDS = 60
_TYPES = {".json": "application/json", ".html": "text/html", ".txt": "text/plain", "": "text/plain"}


class Holding:
    """What mirror.json names; read again when the file was replaced."""

    def __init__(self, folder: Path) -> None:
        """Hold the folder; nothing is read yet."""
        self.folder = folder
        self._seen: tuple[int, int] | None = None
        self._files: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def files(self) -> dict[str, dict[str, Any]]:
        """Return name -> row of the manifest; empty while there is none."""
        path = self.folder / MANIFEST
        with self._lock:
            try:
                stat = path.stat()
                now = (stat.st_mtime_ns, stat.st_ino)
                if now != self._seen:
                    rows = json.loads(path.read_text(encoding="utf-8"))["files"]
                    self._files = {str(row["name"]): row for row in rows}
                    self._seen = now
            except (OSError, ValueError, KeyError, TypeError):
                self._files, self._seen = {}, None
            return self._files

    def projects(self) -> dict[str, list[dict[str, Any]]]:
        """Return normalised project name -> its wheels."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, row in sorted(self.files().items()):
            if name.endswith(".whl"):
                project = re.sub(r"[-_.]+", "-", name.rpartition("/")[2].split("-")[0]).lower()
                found.setdefault(project, []).append(row)
        return found


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    server_version = "mlperf-ops-mirror"
    sys_version = ""
    timeout = _IDLE_SECONDS
    holding: Holding  # set on the class by `serve`

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without one."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        name = "/".join(word for word in path.split("/") if word != ".")  # apt asks for apt/<release>/./Packages
        words = name.rstrip("/").split("/")
        if name == "":
            self._text(
                _page("mlperf-ops mirror", [(_INDEX + "/", "package index"), (MANIFEST, "all files")]), body=body
            )
        elif words[0] == _INDEX and len(words) <= 2:  # noqa: PLR2004  # the index and its projects
            self._index(name, words[1:], body=body)
        elif name == MANIFEST or name in self.holding.files():
            self._file(self.holding.folder / name, body=body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "no such file in the mirror")

    def _index(self, name: str, rest: list[str], *, body: bool) -> None:
        projects = self.holding.projects()
        if not name.endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", quote("/" + name + "/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif not rest:
            self._text(_page("index", [(f"{project}/", project) for project in projects]), body=body)
        elif (project := re.sub(r"[-_.]+", "-", rest[0]).lower()) in projects:
            links = [
                (f"/{quote(row['name'])}#sha256={row['sha256']}", row["name"].rpartition("/")[2])
                for row in projects[project]
            ]
            self._text(_page(project, links), body=body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "no such project in the mirror")

    def _text(self, text: str, *, body: bool) -> None:
        raw = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if body:
            self.wfile.write(raw)

    def _file(self, path: Path, *, body: bool) -> None:
        try:
            inside = self.holding.folder.resolve() in path.resolve().parents  # a manifest may be anybody's
            stream = path.open("rb") if inside else None
        except OSError:
            stream = None
        if stream is None:
            self.send_error(HTTPStatus.NOT_FOUND, "the file is missing in the mirror")
            return
        with stream:
            size = path.stat().st_size
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if body:
                shutil.copyfileobj(stream, self.wfile, 1 << 20)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  # http.server's signature
        """Write one line per request to stderr, without control characters."""
        line = format % args
        sys.stderr.write(f"{self.address_string()} {''.join(c if c.isprintable() else '?' for c in line)}\n")


def _page(title: str, links: list[tuple[str, str]]) -> str:
    rows = "".join(f'<a href="{html.escape(target)}">{html.escape(text)}</a><br>\n' for target, text in links)
    return f"<!DOCTYPE html>\n<html><head><title>{html.escape(title)}</title></head><body>\n{rows}</body></html>\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002  # socketserver's signature
        """Say in one line that a client went away."""
        sys.stderr.write(f"{client_address[0]} {type(sys.exc_info()[1]).__name__}\n")


def make_server(folder: Path, address: str, port: int) -> ThreadingHTTPServer:
    """Bind a server of a mirror; port 0 takes any free one.

    Raises:
        OSError: The address or port cannot be had.
    """
    handler = type("MirrorHandler", (Handler,), {"holding": Holding(folder)})
    return _Server((address, port), handler)


def serve(server: ThreadingHTTPServer) -> None:
    """Serve until SIGTERM or SIGINT."""

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()  # shutdown waits for the loop that we are in

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    with server:
        server.serve_forever(poll_interval=0.2)


def main() -> int:
    """Serve a folder, as the systemd unit on a services host does."""
    parser = argparse.ArgumentParser(description="Serve a mirror, read-only.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", default="0.0.0.0")  # noqa: S104  # a mirror is there for the lab's hosts
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    if not (given.folder / MANIFEST).is_file():
        sys.stderr.write(f"{given.folder} is no mirror: it has no {MANIFEST}\n")
        return 2
    try:
        server = make_server(given.folder, given.address, given.port)
    except OSError as error:
        sys.stderr.write(f"port {given.port} of {given.address} cannot be served: {error.strerror}\n")
        return 5
    serve(server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
