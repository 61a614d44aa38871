"""What `mlperf-ops watch` runs on a host: its source is sent there. For any Python from 3.8 on, and on its own.

One process per connection. It sleeps in the kernel, looks at a few small files once a second, and starts another
process only when a cell begins or ends. It ends with its connection, also with one that was cut: whoever watches is
heard every few seconds, or the alarm clock ends it.

Standard input, from the controller: "script 0 0 N" and N bytes, the shell script that tells of all attempts; "follow
PATH OFFSET OFFSET" for the attempt whose two logs are sent; "beat 0 0 0". Standard output: lines "KIND NAME OFFSET N",
each with N bytes, of the kinds answer, phase, data and beat.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

HELLO = b"mlperf-ops watch 1\n"
LOGS = ("console.log", "mlperf_log_summary.txt")
TICK_SECONDS, BEAT_SECONDS, DEAF_SECONDS = 1.0, 5.0, 40
PIECE_BYTES = 65536  # of a log, per look: a cell that prints more is sent the rest when it has ended
LONGEST_PAUSE_SECONDS = 60.0


class Watcher:
    """The files of one mlperf_home.

    Attributes:
        home: Its absolute path.
        script: What tells of all attempts.
        attempt: The folder that is followed; "" for none.
        offsets: How far its logs were sent.
    """

    def __init__(self, home: str) -> None:
        """Begin without an attempt to follow."""
        self.home = home
        self.script = ""
        self.attempt = ""
        self.offsets: dict[str, int] = {}
        self.phase = b""
        self.seen: tuple[bytes, int, bool] = (b"", 0, False)
        self.looked = self.sent = 0.0
        self.pause = TICK_SECONDS

    def obey(self, words: list[str], payload: bytes) -> None:
        """Carry out one line of the controller's."""
        if words[0] == "script":
            first = not self.script
            self.script = payload.decode()
            if first:
                self.seen = self.signature()
                self.look()
        elif words[0] == "follow":
            self.pump(whole=True)
            self.attempt = os.path.join(self.home, words[1])
            self.offsets = {name: int(word) for name, word in zip(LOGS, words[2:])}  # noqa: B905  # strict came with Python 3.10
            self.phase = b""
            self.pump()

    def step(self, now: float) -> None:
        """Look once, and tell what is new."""
        if not self.script:
            return
        self.pump()
        phase = content(os.path.join(self.attempt, "phase"), 256).strip() if self.attempt else b""
        if phase and phase != self.phase:
            self.phase = phase
            send("phase", "-", 0, phase)
        seen = self.signature()
        if seen != self.seen:
            self.seen, self.pause = seen, TICK_SECONDS
            self.pump(whole=True)
            self.look()
        elif self.unsettled() and now - self.looked >= self.pause:
            # A cell holds the host, but the attempt is not there yet, or it is another run's: ask ever more rarely.
            self.pause = min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            self.look()
        if now - self.sent >= BEAT_SECONDS:
            send("beat", "-", 0, b"")
            self.sent = now

    def signature(self) -> tuple[bytes, int, bool]:
        """Return what changes when a cell begins or ends, or the host's packages do."""
        lock = content(os.path.join(self.home, "runs", ".lock"), 512)
        pid = lock.strip().rpartition(b"(pid ")[2].rstrip(b")").decode(errors="replace")
        holds = lock if pid.isdigit() and os.path.exists("/proc/" + pid) else b""
        try:
            provisioned = os.stat(os.path.join(self.home, "state", "provision.json")).st_mtime_ns
        except OSError:
            provisioned = 0
        return holds, provisioned, self.ended()

    def ended(self) -> bool:
        """Tell whether the followed attempt has its result."""
        return bool(self.attempt) and os.path.exists(os.path.join(self.attempt, "result.json"))

    def unsettled(self) -> bool:
        """Tell whether a cell holds the host that is not followed."""
        return bool(self.seen[0]) and (not self.attempt or self.seen[2])

    def look(self) -> None:
        """Run the script and send what it prints."""
        self.looked = time.monotonic()
        reading, writing = os.pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", self.script], os.environ, file_actions=actions)
        os.close(writing)
        told = b""
        while True:
            chunk = os.read(reading, PIECE_BYTES)
            if not chunk:
                break
            told += chunk
        os.close(reading)
        os.waitpid(pid, 0)
        send("answer", "-", 0, told)

    def pump(self, *, whole: bool = False) -> None:
        """Send what the followed logs have grown by, at most one piece of each, or all of it."""
        for name in LOGS if self.attempt else ():
            path = os.path.join(self.attempt, name)
            try:
                size = os.stat(path).st_size
            except OSError:
                continue
            if self.offsets[name] < 0:  # the last bytes
                self.offsets[name] = max(0, size + self.offsets[name])
            while size > self.offsets[name]:
                piece = content(path, PIECE_BYTES, self.offsets[name])
                if not piece:
                    break
                send("data", name, self.offsets[name], piece)
                self.offsets[name] += len(piece)
                if not whole:
                    break


def content(path: str, most: int, offset: int = 0) -> bytes:
    """Return bytes of a file, none where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, most, offset)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def send(kind: str, name: str, offset: int, payload: bytes) -> None:
    """Write one message, whole."""
    write(f"{kind} {name} {offset} {len(payload)}\n".encode() + payload)


def write(data: bytes) -> None:
    """Write all bytes to the controller."""
    while data:
        data = data[os.write(1, data) :]


def main(home: str) -> None:
    """Watch until the controller hangs up, or was not heard for too long."""
    os.nice(19)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(DEAF_SECONDS)
    write(HELLO)
    watcher = Watcher(os.path.abspath(os.path.expanduser(home)))
    heard = b""
    while True:
        if select.select([0], [], [], TICK_SECONDS)[0]:
            chunk = os.read(0, PIECE_BYTES)
            if not chunk:
                return
            signal.alarm(DEAF_SECONDS)
            heard += chunk
            while b"\n" in heard:
                line, _, rest = heard.partition(b"\n")
                words = line.decode().split(" ")
                length = int(words[3]) if words[0] == "script" else 0
                if len(rest) < length:
                    break
                watcher.obey(words, rest[:length])
                heard = rest[length:]
        watcher.step(time.monotonic())


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:
        os._exit(0)
