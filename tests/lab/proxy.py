"""Way of the hosts to packages: listens in the lab's network, connects from the machine's, to listed targets only.

Hosts have no route, no NAT and no DNS, so whatever they fetch goes through here and can be counted, refused or made to
fail. Started as a file of its own with the path of its configuration; standard library only, so that it starts fast.

Package files of apt are kept by URL, for this and later labs, because their names and digests never change; of N hosts
that ask at once, one downloads. Everything else passes through.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import http.client
import http.server
import ipaddress
import json
import os
import re
import selectors
import socket
import socketserver
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

_CLONE_NEWNET = 0x40000000
_CHUNK = 1 << 16
_SECONDS = 60
_IMMUTABLE = re.compile(r"/pool/.+\.u?deb$|/by-hash/")
_PASSED_ON = ("content-length", "content-type", "last-modified", "etag", "content-range", "location", "accept-ranges")
_ASKED_ON = ("user-agent", "range", "if-range", "if-modified-since", "cache-control", "accept")


@dataclass(frozen=True, slots=True)
class Config:
    """What the file on the command line holds."""

    netns: str  # path of the switch namespace
    address: str
    port: int
    subnet: str  # of the lab: hosts may serve packages to each other
    allow: frozenset[tuple[str, int]]
    upstream: dict[str, str]  # by scheme: the proxy that the machine itself needs
    cache: Path
    log: Path
    outage: Path  # while it exists nothing passes: "refuse" is answered with 503, "hang" never answers


def read_config(path: Path) -> Config:
    """Read the configuration that the lab tool wrote."""
    told = json.loads(path.read_text())
    told["allow"] = frozenset((host, port) for host, port in told["allow"])
    return Config(**{**told, **{name: Path(told[name]) for name in ("cache", "log", "outage")}})


@contextlib.contextmanager
def _inside(netns: str) -> Iterator[None]:
    """Make the sockets of this thread in another namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as own, open(netns, "rb") as target:
        if libc.setns(target.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {netns}")
        try:
            yield
        finally:
            libc.setns(own.fileno(), _CLONE_NEWNET)


class Proxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread for each connection; 100 hosts open a few hundred at most."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, config: Config) -> None:
        """Listen in the lab's network."""
        self.config = config
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        with _inside(config.netns):
            super().__init__((config.address, config.port), Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the own name, which takes seconds where there is no DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.config.address, self.config.port

    def note(self, event: str, target: str, client: str = "") -> None:
        """Append one line to the log."""
        line = json.dumps({"time": round(time.time(), 3), "client": client, "event": event, "target": target}) + "\n"
        with open(self.config.log, "a", encoding="utf-8") as stream:
            stream.write(line)

    def lock_of(self, url: str) -> threading.Lock:
        """Return the lock of a file that is kept."""
        with self._guard:
            return self._locks.setdefault(url, threading.Lock())

    def connect(self, host: str, port: int, scheme: str) -> tuple[socket.socket, bool]:
        """Connect to a target, from the side of the proxy where it is.

        Returns:
            The socket, and whether it ends at the proxy that the machine itself needs.

        Raises:
            PermissionError: The target is not allowed.
        """
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(self.config.subnet):
                with _inside(self.config.netns):
                    return socket.create_connection((host, port), timeout=_SECONDS), False
        if (host, port) not in self.config.allow:
            raise PermissionError(f"{host}:{port} is not allowed in this lab")
        parts = urlsplit(self.config.upstream.get(scheme, ""))
        if parts.hostname:
            return socket.create_connection((parts.hostname, parts.port or 80), timeout=_SECONDS), True
        return socket.create_connection((host, port), timeout=_SECONDS), False


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of plain http, CONNECT for https; nothing else."""

    protocol_version = "HTTP/1.1"
    timeout = 300
    server: Proxy

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the parent
        """Keep quiet: the log has what happened."""

    def _note(self, event: str, target: str) -> None:
        self.server.note(event, target, self.client_address[0])

    def _refuse(self, status: int, event: str, target: str, reason: str) -> None:
        self._note(event, target)
        body = f"{reason}\n".encode()
        self.send_response(status, reason)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _out_of_order(self) -> bool:
        """Play the outage that the lab asks for."""
        try:
            how = self.server.config.outage.read_text().strip()
        except OSError:
            return False
        while how == "hang" and self.server.config.outage.exists():
            time.sleep(0.2)
        self._refuse(503, "outage", self.path, "the lab plays an outage")
        return True

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        if self._out_of_order():
            return
        host, _, port = self.path.rpartition(":")
        try:
            sock, chained = self.server.connect(host.strip("[]"), int(port or 443), "https")
        except PermissionError as error:
            self._refuse(403, "denied", self.path, str(error))
            return
        except (OSError, ValueError) as error:
            self._refuse(502, "failed", self.path, f"cannot reach {self.path}: {error}")
            return
        self._note("connect", self.path)
        with sock:
            if chained:  # the answer of the machine's own proxy is the answer to the host
                sock.sendall(f"CONNECT {self.path} HTTP/1.1\r\nHost: {self.path}\r\n\r\n".encode())
            else:
                self.send_response(200, "Connection established")
                self.end_headers()
            _relay(self.connection, sock)
        self.close_connection = True

    def do_GET(self) -> None:
        """Pass a request on, or answer it from what is kept."""
        if self._out_of_order():
            return
        parts = urlsplit(self.path)
        if parts.scheme != "http" or not parts.hostname:
            self._refuse(403, "denied", self.path, "only http:// URLs and CONNECT are served")
            return
        try:
            if self.command == "GET" and _IMMUTABLE.search(parts.path):
                self._kept(parts)
            else:
                self._pass_on(parts, None)
        except PermissionError as error:
            self._refuse(403, "denied", self.path, str(error))
        except (http.client.HTTPException, OSError) as error:
            if not isinstance(error, (BrokenPipeError, ConnectionResetError)):
                self._refuse(502, "failed", self.path, f"cannot reach {parts.hostname}: {error}")
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815  # the name that the parent calls

    def _kept(self, parts: SplitResult) -> None:
        kept = self.server.config.cache / hashlib.sha256(self.path.encode()).hexdigest()
        with self.server.lock_of(self.path):
            if not kept.exists():
                self._pass_on(parts, kept)
                return
        self._note("hit", self.path)
        with kept.open("rb") as stream:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            self.end_headers()
            while chunk := stream.read(_CHUNK):
                self.wfile.write(chunk)

    def _pass_on(self, parts: SplitResult, kept: Path | None) -> None:
        """Fetch from the target and answer at once; keep a whole body with status 200 under a name.

        HTTP/1.1 upstream, because mirrors refuse 1.0.
        """
        port = parts.port or 80
        upstream = http.client.HTTPConnection(str(parts.hostname), port, timeout=_SECONDS)
        upstream.sock, chained = self.server.connect(str(parts.hostname), port, "http")
        target = self.path if chained else parts._replace(scheme="", netloc="").geturl() or "/"
        asked = {name: value for name in _ASKED_ON if (value := self.headers.get(name))}
        if kept is not None:
            asked.pop("range", None)
        with contextlib.closing(upstream):
            upstream.request(self.command, target, headers={**asked, "Host": parts.netloc, "Connection": "close"})
            answer = upstream.getresponse()
            self._note("miss" if kept else "pass", self.path)
            self.send_response(answer.status, answer.reason)
            for name in _PASSED_ON:
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            if answer.headers.get("content-length") is None and answer.status not in {204, 304}:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self._copy(answer, kept if answer.status == 200 else None)

    def _copy(self, answer: http.client.HTTPResponse, kept: Path | None) -> None:
        if kept is None:
            while chunk := answer.read(_CHUNK):
                self.wfile.write(chunk)
            return
        descriptor, temporary = tempfile.mkstemp(dir=kept.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                while chunk := answer.read(_CHUNK):
                    stream.write(chunk)
                    self.wfile.write(chunk)
            length = answer.headers.get("content-length")
            if length is None or os.path.getsize(temporary) == int(length):
                os.replace(temporary, kept)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until either side closes or nothing is said for some minutes."""
    with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while ready := selector.select(timeout=Handler.timeout):
            for key, _ in ready:
                source, sink = key.fileobj, key.data
                data = source.recv(_CHUNK)  # type: ignore[union-attr]
                if not data:
                    return
                sink.sendall(data)


def main() -> None:
    """Serve until killed."""
    config = read_config(Path(sys.argv[1]))
    config.cache.mkdir(parents=True, exist_ok=True)
    proxy = Proxy(config)
    proxy.note("listening", f"{config.address}:{config.port}")
    proxy.serve_forever()


if __name__ == "__main__":
    main()
