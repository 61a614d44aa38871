"""The command line's side of a generic run: one child process per scenario, and its result. Standard library only.

`<output>/<model>/attempt_N/<Scenario>/` holds request.json, user.conf, console.log and LoadGen's logs; result.json in
attempt_N is written last. An earlier attempt is never touched.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import mlperf_ops
from mlperf_ops.errors import ConfigError, MlperfOpsError, ResultError, ToolError
from mlperf_ops.files import Json, JsonObject, read_json, sha256_file, write_json
from mlperf_ops.harness import verdicts
from mlperf_ops.harness.attempt_files import CONSOLE, EFFECTIVE, PHASE, RESULT, USER_CONF
from mlperf_ops.harness.failures import CellError
from mlperf_ops.harness.generic.outcome import read_outcome
from mlperf_ops.harness.generic.request import REQUEST, GenericRequest, GenericScenario
from mlperf_ops.harness.onnx_inspect import inspect
from mlperf_ops.harness.supervisor import new_attempt
from mlperf_ops.harness.vanished import oom_kills
from mlperf_ops.model import SCHEMA
from mlperf_ops.typed import dump

Progress = Callable[[str, str, float], None]  # scenario, phase, seconds since its start

_POLL_SECONDS = 0.1
_GIVEN = frozenset({"bad_input", "bad_model", "bad_settings", "bad_shape", "no_provider", "no_program"})
_MEMORY_HINT = "lower --samples, --batch or --concurrency, or fix large dimensions with --shape"


def check_model(path: Path) -> JsonObject:
    """Return what identifies a model: path, sha256, size, precision, opset.

    Raises:
        ConfigError: There is no such file, or it is not an ONNX model.
    """
    try:
        held = inspect(path)
        digest = sha256_file(path)
    except OSError as error:
        raise ConfigError(f"cannot read the model {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not an ONNX model: {error}", hint="give the path of a .onnx file") from error
    return {
        "path": str(path.resolve()),
        "sha256": digest,
        "size_bytes": path.stat().st_size,
        "precision": held["precision"],
        "opset": held["opset"],
    }


def run_scenarios(
    request: GenericRequest,
    scenarios: Sequence[GenericScenario],
    output: Path,
    *,
    cmd_prefix: str = "",
    progress: Progress = lambda *_: None,
) -> JsonObject:
    """Run a model in each scenario and write result.json.

    Args:
        request: What to run; its scenario is replaced.
        scenarios: Which, in order.
        output: Folder for `<model>/attempt_N`.
        cmd_prefix: Words before the child's command line, as in a shell.
        progress: Called about ten times a second.

    Raises:
        ConfigError: The input is wrong.
        ToolError: Memory, the disk or a program outside failed.
        ResultError: LoadGen's process died. Scenarios that ended before are in result.json all the same.
    """
    model = check_model(Path(request.model))
    try:
        prefix = shlex.split(cmd_prefix)
    except ValueError as error:
        raise ConfigError(f"--cmd-prefix: {error}") from error
    try:
        attempt = new_attempt(output.resolve() / Path(request.model).name)
    except ToolError as error:
        raise ToolError(error.message, hint="choose another folder with --output") from error
    runs: list[Json] = []
    result: JsonObject = {
        "schema": SCHEMA,
        "model": model,
        "cmd_prefix": list[Json](prefix),
        "folder": str(attempt),
        "runs": runs,
    }
    try:
        for scenario in scenarios:
            folder = attempt / scenario
            folder.mkdir()
            try:
                runs.append(_run_one(replace(request, scenario=scenario), folder, prefix, progress))
            except CellError as error:
                runs.append(_failed(scenario, folder, error))
                raise _told(error, folder) from error
    finally:
        write_json(attempt / RESULT, result)
    return result


def _run_one(request: GenericRequest, folder: Path, prefix: Sequence[str], progress: Progress) -> Json:
    clock = time.monotonic()
    write_json(folder / REQUEST, dump(request))
    _run_child(request.scenario, folder, prefix, progress)
    outcome = read_outcome(request.scenario, folder)
    return {
        "scenario": request.scenario,
        **outcome,
        "effective": read_json(folder / EFFECTIVE),
        "request": dump(request),
        "user_conf": (folder / USER_CONF).read_text(),
        "folder": str(folder),
        "elapsed_seconds": round(time.monotonic() - clock, 3),
    }


def _failed(scenario: str, folder: Path, error: CellError) -> Json:
    return {
        "scenario": scenario,
        "verdict": "failed",
        "reasons": [error.message],
        "failure": {
            "kind": error.kind,
            "message": error.message,
            "hint": error.hint,
            "last_lines": list[Json](verdicts.last_lines(folder / CONSOLE)),
        },
        "folder": str(folder),
    }


def _told(error: CellError, folder: Path) -> MlperfOpsError:
    """Turn the child's failure into what the user reads."""
    if error.kind in _GIVEN:
        hint = error.hint.replace("console.log", str(folder / CONSOLE))
        return ConfigError(error.message, hint=hint or None)
    if error.kind == "out_of_memory":
        return ToolError(error.message, hint=_MEMORY_HINT)
    if error.kind == "disk_full":
        return ToolError(error.message, hint="free space, or choose another folder with --output")
    return ResultError(error.message, hint=f"see {folder / CONSOLE}")


def _run_child(scenario: str, folder: Path, prefix: Sequence[str], progress: Progress) -> None:
    argv = [*prefix, sys.executable, "-m", "mlperf_ops.harness.generic"]
    package_root = str(Path(mlperf_ops.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    kills_before = oom_kills()
    started = time.monotonic()
    with (folder / CONSOLE).open("wb") as console:
        try:
            child = subprocess.Popen(
                argv,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CellError("no_program", f"cannot start {argv[0]}: {error.strerror}", "is it installed?") from error
        with _ending(child):
            while (returncode := _wait(child)) is None:
                progress(scenario, _read_phase(folder), time.monotonic() - started)
    if returncode != 0:
        raise verdicts.explain_exit(returncode, folder, oom_kills=oom_kills() - kills_before)


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _read_phase(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / PHASE).read_text() or "loading"
    return "loading"


@contextlib.contextmanager
def _ending(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the child's whole group, workers included, when this process is told to end."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the handler's signature
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
