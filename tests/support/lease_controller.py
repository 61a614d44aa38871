"""A controller that takes one turn at a thing whose owner is reached over SSH; says each step on standard output.

`python -m tests.support.lease_controller ACCESS NAME SECONDS`: ACCESS is the JSON of `mlperf_ops.doctor.model.Access`.
"""

from __future__ import annotations

import json
import sys
import time

from mlperf_ops.doctor.model import Access
from mlperf_ops.lease.turn import Turn, new_claim
from mlperf_ops.typed import load


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> None:
    owner, name, seconds = load(Access, json.loads(sys.argv[1]), "access"), sys.argv[2], float(sys.argv[3])
    turn = Turn({"meter1": owner}, new_claim(name, f"{name}/cell", name, "/home"), lambda _: False)
    shown = ""
    while (waiting := turn.step()) is not None:
        words = "away" if waiting.problem else f"behind {waiting.holder['host'] if waiting.holder else 'nobody'}"
        if words != shown:
            say(words)
            shown = words
        time.sleep(0.5)
    say("holds")
    time.sleep(seconds)
    say(turn.give_back() or "gave back")


if __name__ == "__main__":
    main()
