"""Start and stop a director's server for one measurement: sent to the director as it is, and run there as root.

`python3 - start|stop JSON` prints one JSON object with `problem`, "" when all went well. Python 3.8, standard library
only. `clock_problem` is that of `mlperf_ops.harness.clock`, which is sent in front of it.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import time
from pathlib import Path

CONFIGURATIONS = "/etc/mlperf-power"
UNIT = "mlperf-power@{}.service"
READY_SECONDS = 90.0  # the meter may take half a minute, and the time server is asked before
STOP_SECONDS = 75.0  # systemd kills what is left after 60
_ASK_SECONDS = 20.0
_POLL_SECONDS = 0.2
_ALIVE = {"active", "activating", "deactivating", "reloading"}
_TELLING = ("ERROR", "CRITICAL", "FATAL", "Error:")


def start(told: dict) -> str:  # type: ignore[type-arg]  # JSON
    """Start a server and wait until it listens, which it does after its meter has answered.

    Whoever calls holds the lease of the analyzer: a server that uses it now has been left by somebody who is gone.
    """
    instance, ports = told["instance"], [int(port) for port in told["ports"]]
    conf = Path(CONFIGURATIONS, f"{instance}.conf")
    if not conf.is_file():
        return f"it has no {conf}: run the provisioning (playbooks/power.yml)"
    settings = configparser.ConfigParser()
    settings.read(str(conf))
    problem = clock_problem(settings["server"]["ntpServer"], float(told["clock_limit_ms"]))  # type: ignore[name-defined]  # noqa: F821  # see above
    if problem:
        return f"{problem}; let role time_sync keep it (time_sync_manage, time_sync_servers)"
    for other in told["others"]:
        problem = stop({"instance": other})
        if problem:
            return f"a server that was left behind does not stop: {problem}"
    taken = sorted(listening() & set(ports))
    if taken:
        return f"another program listens on port {', '.join(map(str, taken))}: end it"
    unit, since = UNIT.format(instance), int(time.time())
    systemctl("reset-failed", unit)
    code, said = systemctl("start", unit)
    if code:
        return f"{unit} does not start: {said}"
    deadline = time.monotonic() + READY_SECONDS
    while ports[0] not in listening():
        if state(unit) not in _ALIVE:
            return f"{unit} ended: {last_words(unit, since)}"
        if time.monotonic() > deadline:
            stop({"instance": instance})
            return f"{unit} was not ready after {READY_SECONDS:.0f} s: {last_words(unit, since)}"
        time.sleep(_POLL_SECONDS)
    return ""


def stop(told: dict) -> str:  # type: ignore[type-arg]  # JSON
    """Stop a server, by SIGINT as its unit says; one that does not run is stopped already."""
    unit = UNIT.format(told["instance"])
    if state(unit) not in _ALIVE:
        return ""
    code, said = systemctl("stop", unit, seconds=STOP_SECONDS)
    return said if code else ""


def state(unit: str) -> str:
    """Return systemd's word for how a unit is, such as "active"."""
    said: str = run(["systemctl", "show", "--property=ActiveState", unit])[1]
    return said.strip().partition("=")[2]


def systemctl(verb: str, unit: str, seconds: float = _ASK_SECONDS) -> tuple:  # type: ignore[type-arg]  # code, text
    """Call systemctl."""
    return run(["systemctl", "--quiet", verb, unit], seconds)


def run(argv: list, seconds: float = _ASK_SECONDS) -> tuple:  # type: ignore[type-arg]  # words; code, text
    """Run a command; return its exit code, and all that it said."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.strip()


def listening(proc: str = "/proc") -> set:  # type: ignore[type-arg]  # of numbers
    """Return the TCP ports that somebody here listens on; asks nobody, as a meter's daemon has one client."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(proc, "net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        fields = [line.split() for line in lines]
        found |= {int(one[1].rpartition(":")[2], 16) for one in fields if one[3] == "0A"}
    return found


def last_words(unit: str, since: int) -> str:
    """Return what a unit said last, errors first."""
    argv = ["journalctl", "--unit", unit, "--since", f"@{since}", "--output", "cat", "--no-pager"]
    lines = [line.strip() for line in run(argv)[1].splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith((unit, "Started ", "Stopping ", "Stopped "))]
    telling = [line for line in own if any(word in line for word in _TELLING)]
    return "; ".join((telling or own or lines)[-2:]) or "it said nothing"


def main() -> None:
    """Do what the command line says."""
    verb, told = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps({"problem": {"start": start, "stop": stop}[verb](told)}))  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
