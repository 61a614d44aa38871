"""What the controller asks a host about cells: status, start, started, poll. One JSON object in, one out.

A cell is skipped only when an attempt's result.json carries the sha256 of the very spec that would run, and its
verdict is valid; never because files exist. Standard library only: an answer must cost the host little.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from mlperf_ops.errors import BusyError, MlperfOpsError, ResultError, ToolError
from mlperf_ops.files import Json, JsonObject, pretty_json, read_json, write_atomic
from mlperf_ops.harness import launching, unit_end
from mlperf_ops.harness.attempt_files import PHASE, RESULT, SPEC, STATE, SUPERVISOR_LOG
from mlperf_ops.harness.better_target import better_target
from mlperf_ops.harness.host_drift import drift_now
from mlperf_ops.harness.host_readings import HostReader
from mlperf_ops.harness.resolve import resolve
from mlperf_ops.harness.supervisor import boot_id, new_attempt, running_since, settle
from mlperf_ops.model import Spec
from mlperf_ops.typed import dump

_START_WAIT_SECONDS = 20.0
_NOTHING: JsonObject = {"state": "needed", "path": None, "attempt": None, "verdict": None, "reasons": []}


def folder_of(home: Path, run_id: str, spec: Spec) -> Path:
    """Folder of a spec's attempts."""
    cell = spec.cell
    return home / "runs" / run_id / cell.system / cell.benchmark / cell.scenario / cell.mode / spec.sha256[:12]


def status(home: Path, question: JsonObject) -> JsonObject:
    """Say of each cell whether its result is good, needed or under way; what vanished becomes failed.

    Where the question is `tolerant`, a cell whose model or data set is not here is `lacking` and says why.
    """
    provision = read_json(home / "state" / "provision.json")
    answers: list[Json] = []
    for item in cast("list[JsonObject]", question["cells"]):
        try:
            spec = resolve(cast("JsonObject", item["request"]), provision)
        except ResultError as error:
            if not question.get("tolerant"):
                raise
            answers.append({"key": item["key"], **_NOTHING, "state": "lacking", "reasons": [str(error)]})
            continue
        state = _state(home, str(question["run_id"]), spec, _rejected(question), settles=not question.get("read_only"))
        answers.append({"key": item["key"], **state})
    return {"cells": answers}


def _rejected(question: JsonObject) -> frozenset[str]:
    """Return the attempts, by path, whose power measurement the controller has rejected."""
    return frozenset(cast("list[str]", question.get("rejected", [])))


def _state(home: Path, run_id: str, spec: Spec, rejected: frozenset[str], *, settles: bool = True) -> JsonObject:
    folder = folder_of(home, run_id, spec)
    attempts = sorted(folder.glob("attempt_*"), key=lambda path: int(path.name.partition("_")[2]))
    found: JsonObject = {**_NOTHING}
    clean = False
    for attempt in attempts:
        where: JsonObject = {"path": str(attempt.relative_to(home)), "attempt": attempt.name}
        if settles:
            _settle(attempt)
        if (attempt / RESULT).is_file():
            result = read_json(attempt / RESULT)
            if result.get("spec_sha256") != spec.sha256:
                continue
            tainted = cast("list[str]", result.get("tainted", []))
            if tainted and clean:
                continue  # a tainted result stands for its cell only where no other does
            found = {**where, "state": "needed", "verdict": result["verdict"], "reasons": result["reasons"]}
            if tainted:
                found["reasons"] = [*cast("list[Json]", result["reasons"]), *(f"tainted: {one}" for one in tainted)]
            elif result["verdict"] == "valid" and where["path"] not in rejected:
                found["state"] = "good"
                break
            else:
                clean = result["verdict"] != "failed"
        elif _alive(attempt):
            found = {**where, "state": "running", "verdict": None, "reasons": []}
            break
    return {"spec_sha256": spec.sha256, **found}


def start(home: Path, question: JsonObject) -> JsonObject:
    """Start a cell detached from the caller: it survives the connection.

    Another controller may have started it, or have its result, since this one asked: then that is the answer, in
    `state` "running" or "good", and nothing is started. Where it is to run in a systemd unit, `state` is "prepared",
    and `unit` is for the module that may start units. `abandon` names an attempt that was prepared for a unit that
    could not be started.

    Raises:
        BusyError: The host runs another cell.
        ToolError: The supervisor did not start, or the inventory asks for a unit and there can be none.
    """
    item = cast("JsonObject", question["cell"])
    if given_up := question.get("abandon"):
        launching.abandon(home / str(given_up))
    host = launching.facts()
    why = launching.why_no_unit(
        str(question.get("launcher", launching.BY_SESSION)),
        host,
        may_become=bool(question.get("may_become")),
        refused=str(question.get("refused", "")),
    )
    provision = read_json(home / "state" / "provision.json")
    spec = resolve(cast("JsonObject", item["request"]), provision)
    found = _state(home, str(question["run_id"]), spec, _rejected(question))
    if found["state"] in ("running", "good"):
        return {"key": item["key"], **found}
    _end_what_was_left(home)
    attempt = new_attempt(folder_of(home, str(question["run_id"]), spec))
    write_atomic(attempt / SPEC, pretty_json(dump(spec)))
    lock = home / "runs" / ".lock"
    argv = [
        sys.executable, "-m", "mlperf_ops.harness", "--spec", str(attempt / SPEC), "--attempt", str(attempt),
        "--lock", str(lock), "--request-sha256", str(item["request_sha256"]), "--home", str(home),
        "--host-state", json.dumps(question.get("host_state", {})),
        "--unofficial-energy", json.dumps(question.get("unofficial_energy", [])),
    ]  # fmt: skip
    where: JsonObject = {
        "key": item["key"],
        "spec_sha256": spec.sha256,
        "path": str(attempt.relative_to(home)),
        "attempt": attempt.name,
    }
    if not why:
        unit = launching.prepare_unit(str(question["run_id"]), spec, attempt, argv, host.uid)
        return {**where, "state": "prepared", "unit": unit}
    launched = launching.in_session(why, spec.confinement)
    argv += ["--launched", json.dumps(launched)]
    with (attempt / SUPERVISOR_LOG).open("wb") as stream:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=attempt
        )
    deadline = time.monotonic() + _START_WAIT_SECONDS
    while not (attempt / STATE).is_file():
        returncode = process.poll()
        if returncode is not None or time.monotonic() > deadline:
            raise _not_started(attempt, str(item["key"]), returncode)
        time.sleep(0.02)
    return {**where, "state": "started", "pid": process.pid, "launched": launched}


def started(home: Path, question: JsonObject) -> JsonObject:
    """Say of a prepared cell whose unit was over at once why it did not start, or that it has ended already.

    Raises:
        BusyError: The host runs another cell.
        ToolError: The supervisor did not start.
    """
    attempt = home / str(question["path"])
    if not attempt.is_dir():  # asked again, after an answer that was lost: the host was busy
        raise BusyError(f"the cell {question['key']} did not start: this host ran another cell")
    if (attempt / STATE).is_file():
        return {**question, "state": "started", "attempt": attempt.name, "pid": read_json(attempt / STATE)["pid"]}
    ended = unit_end.await_end(attempt, str(question["unit"]))
    status = ended.status if ended is not None else ""
    raise _not_started(attempt, str(question["key"]), int(status) if status.isdigit() else None)


def _not_started(attempt: Path, key: str, returncode: int | None) -> MlperfOpsError:
    log = attempt / SUPERVISOR_LOG
    told = log.read_text().strip().rpartition("error: ")[2] if log.is_file() else ""
    kind = BusyError if returncode == BusyError.exit_code else ToolError
    if kind is BusyError:
        shutil.rmtree(attempt)  # nothing was measured there
    return kind(f"the cell {key} did not start: {told or 'it said nothing'}")


def poll(home: Path, question: JsonObject) -> JsonObject:
    """Say how far an attempt is."""
    attempt = home / str(question["path"])
    _settle(attempt)
    if (attempt / RESULT).is_file():
        result = read_json(attempt / RESULT)
        return {
            "state": "ended",
            "elapsed_seconds": result["elapsed_seconds"],
            "phase": None,
            "verdict": result["verdict"],
            "reasons": result["reasons"],
            "tainted": result.get("tainted", []),
            "kind": cast("JsonObject", result["failure"])["kind"] if result["failure"] else None,
            "hint": cast("JsonObject", result["failure"])["hint"] if result["failure"] else None,
            "summary": summary(result),
            "target": _target(result),
        }
    state = read_json(attempt / STATE) if (attempt / STATE).is_file() else {}
    try:
        phase = (attempt / PHASE).read_text()
    except FileNotFoundError:  # not begun, or the supervisor has just folded it into the result
        phase = "starting"
    return {
        "state": "running" if _alive(attempt) else "vanished",
        "elapsed_seconds": max(0.0, round(time.time() - (attempt / STATE).stat().st_mtime, 1)) if state else 0.0,
        "phase": phase,
        "verdict": None,
        "reasons": [],
        "tainted": [],
        "kind": None,
        "hint": None,
        "summary": None,
        "target": None,
    }


def _target(result: JsonObject) -> JsonObject | None:
    """Return what an INVALID performance run says of the target to try next; None of other results."""
    cell, loadgen = cast("JsonObject", result["cell"]), result.get("loadgen")
    if result["verdict"] != "invalid" or cell["mode"] != "performance" or not isinstance(loadgen, dict):
        return None
    if loadgen["validity"] != "INVALID":
        return None
    scenario = "Server" if cell["scenario"] == "Interactive" else cell["scenario"]
    step = better_target(
        scenario,  # type: ignore[arg-type]  # one of the names, as the spec was checked
        cast("JsonObject", loadgen["fields"]),
        cast("list[str]", loadgen["errors"]),
    )
    return {"key": None, "value": None, "why": step} if isinstance(step, str) else {**dump(step), "why": ""}


def summary(result: JsonObject) -> str | None:
    """The one figure of a result: LoadGen's metric of the scenario, or the accuracy."""
    accuracy = result.get("accuracy")
    if isinstance(accuracy, dict):
        return f"{accuracy['metric']} {float(cast('float', accuracy['value'])):.3f}{accuracy['unit']}"
    loadgen = result.get("loadgen")
    if not isinstance(loadgen, dict):
        return None
    fields = cast("JsonObject", loadgen["fields"])
    scenario = cast("JsonObject", result["cell"])["scenario"]
    for key, unit, scale in _FIGURES[str(scenario)]:
        # LoadGen writes 0 for an estimate that it could not make.
        if isinstance(value := fields.get(key), (int, float)) and value > 0:
            return f"{value * scale:.4g} {unit}"
    return None


# Scenario -> LoadGen keys in order of preference, the unit and the factor to it.
_FIGURES: dict[str, tuple[tuple[str, str, float], ...]] = {
    "Offline": (("result_samples_per_second", "samples/s", 1.0),),
    "Server": (("result_completed_samples_per_sec", "queries/s", 1.0),),
    "Interactive": (("result_completed_samples_per_sec", "queries/s", 1.0),),
    "SingleStream": (
        ("early_stopping_latency_ss", "ms p90", 1e-6),
        ("result_90.00_percentile_latency_ns", "ms p90", 1e-6),
    ),
    "MultiStream": (
        ("early_stopping_latency_ms", "ms p99", 1e-6),
        ("result_99.00_percentile_per_query_latency_ns", "ms p99", 1e-6),
    ),
}


def _alive(attempt: Path) -> bool:
    """Whether the supervisor that made the attempt still runs, on this boot."""
    path = attempt / STATE
    if not path.is_file():
        return False
    state = read_json(path)
    pid = state.get("pid")
    return (
        state.get("boot_id") == boot_id()
        and isinstance(pid, int)
        and state.get("start_ticks") is not None
        and running_since(pid) == state["start_ticks"]
    )


def _settle(attempt: Path) -> None:
    """Make an attempt that vanished a failed one; one that never began, or cannot be written, stays as it is."""
    if (attempt / RESULT).is_file() or not (attempt / STATE).is_file() or _alive(attempt):
        return
    with contextlib.suppress(ToolError, ResultError, OSError), (attempt / STATE).open("r+") as state:
        fcntl.flock(state, fcntl.LOCK_EX)  # two controllers may ask: the second finds the result of the first
        if not (attempt / RESULT).is_file():  # looked for again: it may have ended in between
            settle(attempt)


def _end_what_was_left(home: Path) -> None:
    """Settle what vanished of any run: a supervisor that was killed outside a unit leaves a child that measures on."""
    for state in (home / "runs").glob("*/*/*/*/*/*/attempt_*/" + STATE):
        with contextlib.suppress(ResultError):  # a damaged file of another run is that run's matter
            _settle(state.parent)


def state(home: Path, question: JsonObject) -> JsonObject:  # noqa: ARG001  # every verb is called alike
    """Read the host's state now, and say what is not as tuning has set it."""
    reader = HostReader(home)
    snapshot = reader.snapshot()
    return {
        "tuned_knobs": len(reader.knobs),
        "drifted": list(drift_now(reader.knobs, snapshot, reader.tuned_boot_id)),
        "snapshot": dump(snapshot),
    }


_VERBS = {"status": status, "start": start, "started": started, "poll": poll, "state": state}


def main() -> int:
    """Answer one question."""
    parser = argparse.ArgumentParser(prog="python -m mlperf_ops.harness.agent", description="Answer one question.")
    parser.add_argument("verb", choices=sorted(_VERBS))
    parser.add_argument("--home", type=Path, required=True, help="mlperf_home of this host")
    arguments = parser.parse_args()
    try:
        question = json.load(sys.stdin)
        if not isinstance(question, dict):
            raise ResultError("expected a JSON object on standard input")  # answered like the others
        answer = _VERBS[arguments.verb](arguments.home.expanduser(), question)
    except MlperfOpsError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}))  # noqa: T201  # stdout is the answer
        return error.exit_code
    print(json.dumps(answer))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
