"""`mlperf-ops loadgen-onnx`: any ONNX model under LoadGen with generated inputs, performance only."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlperf_ops.errors import ConfigError, ToolError, unknown_name
from mlperf_ops.files import JsonObject
from mlperf_ops.harness.generic.launch import run_scenarios
from mlperf_ops.harness.generic.request import RUNNERS, SCENARIOS, GenericRequest, GenericScenario, Runner

_NEEDED = {"mlperf_loadgen": "mlcommons-loadgen", "onnxruntime": "onnxruntime", "numpy": "numpy"}
_EXECUTION_MODES = ("sequential", "parallel")
_ALL = "all"


def command(  # noqa: PLR0917  # one parameter per option
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    scenario: Annotated[str, typer.Option(help="SingleStream, MultiStream, Server, Offline or all.")] = _ALL,
    runner: Annotated[
        str,
        typer.Option(
            "--runner",
            "-r",
            help="Who infers. inline: LoadGen's own thread. threads: threads that share a session. "
            "threads+replication: threads with a session each. processes: processes with a session each.",
        ),
    ] = "inline",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Threads or processes. Default: one for each CPU that may be used.")
    ] = None,
    provider: Annotated[
        str, typer.Option("--provider", "--ep", help="Execution provider of ONNX Runtime, such as CPU or CUDA.")
    ] = "CPUExecutionProvider",
    intraop: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Threads within an operator, of each session; 0 is the runtime's default. "
            "Default: 0 for one session, the CPUs shared out for several.",
        ),
    ] = None,
    interop: Annotated[int | None, typer.Option(min=0, help="Threads across operators (execution mode parallel).")] = (
        None
    ),
    execmode: Annotated[str, typer.Option(help="sequential or parallel.")] = "sequential",
    batch: Annotated[int, typer.Option(min=1, help="Most samples in one inference.")] = 1,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples in the library. Default: 100, or what the --input files hold.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=1,3,224,224",
            help="Sizes of an input, or of one symbolic dimension by its name (sequence=128). May be repeated. "
            "Dimensions without a size are 1.",
        ),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=FILE.npy",
            help="Your own samples of an input (numpy.save; the first dimension counts samples). May be repeated.",
        ),
    ] = None,
    int_max: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Largest generated integer. Default: the last row of the table that an input indexes (token ids), "
            "the whole range of 8-bit types, else 1.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generated samples.")] = 0,
    expected_qps: Annotated[
        float | None,
        typer.Option(help="target_qps of Server and Offline; expected rate of the streams. Default: measured."),
    ] = None,
    target_latency_ms: Annotated[
        float | None,
        typer.Option(help="Latency bound of Server (LoadGen's default: 10); expected latency of the streams."),
    ] = None,
    duration_sec: Annotated[
        float | None, typer.Option(min=0, help="Shortest duration. Default: 10, or what --user-conf says.")
    ] = None,
    min_queries: Annotated[int | None, typer.Option(min=1, help="Fewest queries. Default: LoadGen's.")] = None,
    max_queries: Annotated[int | None, typer.Option(min=1, help="Most queries. Default: no limit.")] = None,
    user_conf: Annotated[
        Path | None, typer.Option(help="Your own user.conf; options given here win over its keys.")
    ] = None,
    cmd_prefix: Annotated[str, typer.Option(help="Words before the measuring process, such as 'numactl -N0'.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="Results go to OUTPUT/<model>/attempt_N.")] = Path(
        "results/loadgen-onnx"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run any ONNX model under LoadGen with generated inputs: performance only, nothing to submit.

    Exit code 1 when LoadGen calls a run INVALID.

    Example: mlperf-ops loadgen-onnx model.onnx --scenario Offline --batch 8 --shape input=1,3,224,224
    """
    _need_harness()
    chosen = _scenarios(scenario)
    request = GenericRequest(
        model=str(model.resolve()),
        scenario=chosen[0],
        runner=_runner(runner, concurrency),
        concurrency=concurrency,
        provider=provider,
        intra_op_threads=intraop,
        inter_op_threads=interop,
        execution_mode=_execution_mode(execmode),
        batch=batch,
        samples=samples,
        seed=seed,
        int_max=int_max,
        shapes={name: _sizes(name, text) for name, text in _pairs("--shape", shape, "NAME=1,3,224,224")},
        files={name: str(Path(text).resolve()) for name, text in _pairs("--input", input_, "NAME=FILE.npy")},
        expected_qps=_positive("--expected-qps", expected_qps),
        target_latency_ms=_positive("--target-latency-ms", target_latency_ms),
        duration_seconds=duration_sec,
        min_queries=min_queries,
        max_queries=max_queries,
        user_conf=None if user_conf is None else _read(user_conf),
        user_conf_path="" if user_conf is None else str(user_conf),
    )
    talk = Console(stderr=True)
    with talk.status("starting") as status:

        def progress(name: str, phase: str, seconds: float) -> None:
            status.update(f"{name}: {phase}, {seconds:.0f} s")

        result = run_scenarios(request, chosen, output, cmd_prefix=cmd_prefix, progress=progress)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result)
    runs: Any = result["runs"]
    if any(run["verdict"] != "valid" for run in runs):
        raise typer.Exit(1)


def _need_harness() -> None:
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ToolError(
            f"loadgen-onnx needs {' and '.join(missing)} in this Python",
            hint="install them with: pip install 'mlperf-ops[harness]'",
        )


def _scenarios(text: str) -> tuple[GenericScenario, ...]:
    if text == _ALL:
        return SCENARIOS
    found = next((name for name in SCENARIOS if name == text), None)
    if found is None:
        raise unknown_name("scenario", text, (*SCENARIOS, _ALL))
    return (found,)


def _runner(text: str, concurrency: int | None) -> Runner:
    found = next((name for name in RUNNERS if name == text), None)
    if found is None:
        raise unknown_name("runner", text, RUNNERS)
    if found == "inline" and concurrency not in (None, 1):
        raise ConfigError(
            f"--concurrency {concurrency}: runner inline does one inference at a time",
            hint="choose another --runner",
        )
    return found


def _execution_mode(text: str) -> Literal["sequential", "parallel"]:
    if text == "parallel":
        return "parallel"
    if text == "sequential":
        return "sequential"
    raise unknown_name("execution mode", text, _EXECUTION_MODES)


def _pairs(option: str, given: Iterable[str] | None, form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text}: expected the form {form}")
        pairs.append((name, value))
    return pairs


def _sizes(name: str, text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--shape {name}={text}: '{text}' is not a list of numbers like 1,3,224,224") from error
    if min(sizes) < 1:
        raise ConfigError(f"--shape {name}={text}: sizes are at least 1")
    return sizes


def _positive(option: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{option} {value:g}: expected a number above 0")
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--user-conf: cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _show(result: JsonObject) -> None:
    console = Console(soft_wrap=True)
    runs: Any = result["runs"]
    table = Table(box=None, pad_edge=False)
    for heading, side in (("scenario", "left"), ("result", "right"), ("p50 ms", "right"), ("p90 ms", "right"),
                          ("p99 ms", "right"), ("LoadGen says", "left")):  # fmt: skip
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for run in runs:
        metric = run["metric"]
        latencies = {} if run["scenario"] == "Offline" else run["percentiles_ms"]  # Offline is one single query
        table.add_row(
            run["scenario"],
            f"{metric['value']:.4g} {metric['unit']}" if metric else "-",
            *(f"{latencies[p]:.4g}" if p in latencies else "-" for p in ("50.00", "90.00", "99.00")),
            escape("; ".join(run["reasons"]) or run["validity"]),
        )
    console.print(table)
    effective = runs[0]["effective"]
    console.print(
        escape(
            f"{effective['runner']}, {effective['streams']} stream(s), {effective['sessions']} session(s), "
            f"{effective['providers'][0]}, {effective['precision']}, intra-op threads: {effective['intra_op_threads']}"
        )
    )
    for item in effective["inputs"]:
        console.print(escape(f"input {item['name']} {item['sample_shape']}: {item['source']}"))
    console.print(escape(f"logs and result.json: {result['folder']}"))
