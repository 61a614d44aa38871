"""A process that takes turns at a shared thing, for tests; it writes each step into an append-only log.

`python -m tests.support.lease_worker FOLDER THING LOG NAME TURNS`: a line "enter NAME" and "leave NAME" per turn, all
with O_APPEND, while a flock of its own tells whether anybody else is inside ("clash").
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from mlperf_ops.lease import book


def main() -> None:
    folder, thing, log, name, turns = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    inside = os.open(f"{log}.inside", os.O_RDWR | os.O_CREAT)
    for turn in range(turns):
        claim = {
            "id": f"{name}.{turn}", "controller": "test", "process": book.this_process(), "host": name,
            "cell": f"cell{turn}", "purpose": "test", "where": name, "home": "", "ticket": 0,
        }  # fmt: skip
        while not book.perform(folder, {"verb": "ask", "thing": thing, "claim": claim})["held"]:
            time.sleep(0.02)
        try:
            fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.write(out, f"clash {claim['id']}\n".encode())
        os.write(out, f"enter {claim['id']}\n".encode())
        time.sleep(0.002)
        os.write(out, f"leave {claim['id']}\n".encode())
        fcntl.flock(inside, fcntl.LOCK_UN)
        book.perform(folder, {"verb": "free", "thing": thing, "id": claim["id"]})


if __name__ == "__main__":
    main()
