"""Keep a connection to each watched host, and open it again when it is lost; what they say goes into one queue."""

from __future__ import annotations

import contextlib
import inspect
import queue
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from mlperf_ops.campaign import host_side
from mlperf_ops.campaign.access import Reach
from mlperf_ops.campaign.ask import LOCAL
from mlperf_ops.campaign.host_side import BEAT_SECONDS
from mlperf_ops.campaign.wire import Back, Conversation, Lost, News
from mlperf_ops.doctor.model import Access, Progress
from mlperf_ops.doctor.ssh_settings import HostProblemError
from mlperf_ops.errors import ResultError

_CHUNK_BYTES = 65536
_SILENT_SECONDS = 3 * BEAT_SECONDS
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 8.0
_OPENING = 8  # connections that are opened at the same time: their key exchange is work for the controller
_CLOSE_SECONDS = 5.0
# The Python that Ansible was told of, or the first that there is. The names are ours.
_START = r"""
for python in "$0" /usr/bin/python3 /usr/libexec/platform-python python3; do
  command -v "$python" >/dev/null 2>&1 && exec "$python" -I -S -c "$1" "$2"
done
echo "there is no python3 (install it, or correct ansible_python_interpreter)"
"""


class Stream(Protocol):
    """A socket's part of a connection, which a channel of Paramiko has as well."""

    def recv(self, size: int, /) -> bytes:
        """Return what came, b"" at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Limit both."""


class Links:
    """The connections to all hosts: one of each, and one thread that reads it.

    Args:
        reached: How the hosts are reached.
        conversations: What is said with each.
        timeout_seconds: To log in.
    """

    def __init__(self, reached: Reach, conversations: Mapping[str, Conversation], timeout_seconds: float) -> None:
        """Prepare them; entering the context begins."""
        self.news: queue.Queue[News] = queue.Queue()
        self._stop = threading.Event()
        self._opening = threading.Semaphore(_OPENING)
        self._timeout_seconds = timeout_seconds
        self._threads = []
        for name, conversation in conversations.items():
            if name in reached.access:
                # Daemons: a name server that does not answer cannot be interrupted, and must not keep us from ending.
                arguments = (name, reached.access[name], conversation)
                self._threads.append(threading.Thread(target=self._keep, args=arguments, daemon=True))
            else:
                why = reached.problems.get(name, "the inventory does not have it in group 'sut'")
                self.news.put(Lost(name, why))

    def __enter__(self) -> Links:  # noqa: PYI034  # Self came with Python 3.11
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up; what runs on the hosts for us ends by that."""
        self._stop.set()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _keep(self, name: str, access: Access, conversation: Conversation) -> None:
        is_lost, pause = False, _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                with self._opened(access, conversation.home) as stream:
                    stream.sendall(conversation.opening())
                    for news in self._read(stream, conversation):
                        if is_lost:
                            is_lost = False
                            self.news.put(Back(name))
                        pause = _FIRST_PAUSE_SECONDS
                        self.news.put(news)
                complaint = conversation.complaint()
                why = f"it cannot be watched: {complaint}" if complaint else "the connection was lost"
            except HostProblemError as problem:
                why = f"{problem.message} ({problem.remedy})" if problem.remedy else problem.message
            except ResultError as error:
                why = str(error)
            except TimeoutError:
                why = f"it was silent for {_SILENT_SECONDS:g} s"
            except (OSError, EOFError) as error:
                why = f"the connection was lost: {error}"
            except Exception as error:  # noqa: BLE001  # a defect of ours must be that host's row, not everybody's end
                why = f"watching it failed: {type(error).__name__}: {error}"
            if self._stop.is_set():
                return
            if not is_lost:
                is_lost = True
                self.news.put(Lost(name, why))
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _read(self, stream: Stream, conversation: Conversation) -> Iterator[News]:
        """Yield what a host says until it hangs up, we do, or it is silent for too long."""
        stream.settimeout(1.0)
        heard = time.monotonic()
        while not self._stop.is_set():
            try:
                data = stream.recv(_CHUNK_BYTES)
            except TimeoutError:
                if time.monotonic() - heard > _SILENT_SECONDS:
                    raise
                continue
            if not data:
                return
            heard = time.monotonic()
            replies, news = conversation.feed(data)
            if replies:
                stream.settimeout(_SILENT_SECONDS)
                stream.sendall(replies)
                stream.settimeout(1.0)
            yield from news

    @contextmanager
    def _opened(self, access: Access, home: str) -> Iterator[Stream]:
        python = access.python if access.python and not access.python.startswith("auto") else "python3"
        source = inspect.getsource(host_side)
        argv = ["/bin/sh", "-c", _START, python.rsplit(maxsplit=1)[-1], source, home]
        if access.connection == LOCAL:
            with _local(argv) as stream:
                yield stream
            return
        if access.connection not in {"ssh", "smart"}:
            raise HostProblemError("address", f"Ansible reaches it by the connection {access.connection}", "")
        from mlperf_ops.doctor import remote  # noqa: PLC0415  # as in `ask`

        with contextlib.ExitStack() as stack:
            with self._opening:
                deadline = time.monotonic() + self._timeout_seconds
                connection = stack.enter_context(remote.connected(access, Progress(deadline, deadline)))
            channel = stack.enter_context(connection.transport.open_session(timeout=self._timeout_seconds))
            channel.set_combine_stderr(True)
            channel.exec_command(shlex.join(argv))
            yield channel


@contextmanager
def _local(argv: list[str]) -> Iterator[Stream]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL, start_new_session=True
            )
        try:
            yield ours
        finally:
            ours.close()
            try:
                process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
