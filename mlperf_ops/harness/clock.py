"""Compare this host's clock with a time server, as power-dev's client does before each phase. Standard library only.

Also sent to power directors as it is, so Python 3.8 has to run it.
"""

from __future__ import annotations

import socket
import struct
import time

_PORT, _SECONDS, _BYTES = 123, 5.0, 48  # power-dev asks no other port, and waits as long
_REQUEST = bytes([4 << 3 | 3]) + bytes(_BYTES - 1)  # version 4, a client
_SERVER_MODE, _STRATA = 4, range(1, 16)
_SINCE_1900_SECONDS = 2208988800


def clock_problem(server: str, limit_ms: float) -> str:
    """Say what is wrong with this host's clock, in one sentence; "" when all is well.

    Args:
        server: Name or address of the time server.
        limit_ms: Largest offset.
    """
    try:
        offset_ms = _offset_ms(server)
    except OSError as error:
        why = "does not answer" if isinstance(error, (TimeoutError, socket.timeout)) else error.strerror or str(error)
        return f"time server {server}: {why}"
    if abs(offset_ms) <= limit_ms:
        return ""
    way = "behind" if offset_ms > 0 else "ahead of"
    return f"the clock is {abs(offset_ms):.0f} ms {way} time server {server}, more than {limit_ms:g} ms"


def _offset_ms(server: str) -> float:
    """Return by how many ms this clock is behind a time server.

    Raises:
        OSError: It does not answer, or with no time.
    """
    family, _, _, _, address = socket.getaddrinfo(server, _PORT, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as query:
        query.settimeout(_SECONDS)
        query.connect(address)
        sent = time.time()
        query.send(_REQUEST)
        answer = query.recv(512)
        received = time.time()
    if len(answer) < _BYTES or answer[0] & 7 != _SERVER_MODE or answer[1] not in _STRATA:
        raise OSError("it answers, but is not synchronised itself")
    theirs = [_seconds(answer[at : at + 8]) for at in (32, 40)]
    return (theirs[0] - sent + theirs[1] - received) / 2 * 1e3


def _seconds(stamp: bytes) -> float:
    whole, part = struct.unpack("!II", stamp)
    return float(whole - _SINCE_1900_SECONDS + part / (1 << 32))
