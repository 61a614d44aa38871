"""An SNTP responder for the official software, which asks UDP port 123 and no other: root is needed.

As a program, `sntp.py ADDRESS SECONDS`, it is a time server whose time is ahead; standard library only.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PORT = 123
_REQUEST_BYTES = 48
_STRATUM = 10
_SINCE_1900_S = 2_208_988_800


@contextmanager
def responder(address: str = "127.0.0.1", port: int = PORT, ahead_seconds: float = 0.0) -> Iterator[int]:
    """Answer with this machine's time, or one ahead of it, until the block ends; yield the port.

    Raises:
        PermissionError: The port is for root only.
        OSError: A time server runs here already.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((address, port))
        link.settimeout(0.2)
        end = threading.Event()
        thread = threading.Thread(target=_answer, args=(link, end, ahead_seconds), daemon=True)
        thread.start()
        try:
            yield link.getsockname()[1]
        finally:
            end.set()
            thread.join()


def _answer(link: socket.socket, end: threading.Event, ahead_seconds: float) -> None:
    while not end.is_set():
        try:
            request, peer = link.recvfrom(1024)
        except TimeoutError:
            continue
        if len(request) >= _REQUEST_BYTES:
            head = struct.pack(">BBbb", 0x24, _STRATUM, 6, -20) + bytes(8) + b"LOCL"
            now = _stamp(ahead_seconds)
            link.sendto(head + now + request[40:48] + now + _stamp(ahead_seconds), peer)


def _stamp(ahead_seconds: float) -> bytes:
    seconds = time.time() + ahead_seconds + _SINCE_1900_S
    return struct.pack(">II", int(seconds), int(seconds % 1 * (1 << 32)))


if __name__ == "__main__":
    with responder(sys.argv[1], ahead_seconds=float(sys.argv[2])):
        threading.Event().wait()
