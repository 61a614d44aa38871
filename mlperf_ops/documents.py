"""The pages and small files that a submission tells its readers with. Pure: text and JSON from what really ran.

Nothing here depends on the time or the machine of the aggregation, so equal results give equal bytes. Text of logs and
specs is shown in fenced blocks only, whose fence no line of it can close.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from mlperf_ops import __version__
from mlperf_ops.attempts import Attempt, ScenarioAttempts
from mlperf_ops.catalogue import Benchmark, Round
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, JsonObject, pretty_json
from mlperf_ops.model import Component, Plan
from mlperf_ops.system import SystemDescription
from mlperf_ops.typed import dump

HARNESS = "mlperf_ops.harness"
"""Key of spec.packages that holds the digest of the shipped harness."""

_SECRET = re.compile(r"(?i)secret|token|passw|credential|api_?key|private_?key")
_HIDDEN = "(hidden)"
_NANOSECONDS = {"(ms)": 1e6, "(s)": 1e9}
_HARDWARE = (
    "system_name",
    "number_of_nodes",
    "host_processors_per_node",
    "host_processor_model_name",
    "host_processor_core_count",
    "host_memory_capacity",
    "accelerators_per_node",
    "accelerator_model_name",
    "framework",
    "operating_system",
    "other_software_stack",
    "hw_notes",
    "sw_notes",
)


def measurements(round_: Round, benchmark: Benchmark, attempt: Attempt) -> JsonObject:
    """Return measurements.json of a result.

    Raises:
        SubmissionError: The round wants a field that nothing tells.
    """
    told: dict[str, Json] = dict(benchmark.measurements.model_dump()) if benchmark.measurements is not None else {}
    if attempt.spec.model is not None:
        told["starting_weights_filename"] = PurePosixPath(attempt.spec.model.path).name
    lacking = [key for key in round_.measurements_required_non_empty if not told.get(key)]
    if lacking:
        raise SubmissionError(
            f"measurements.json of {attempt.spec.cell.benchmark} lacks {', '.join(lacking)}",
            hint="give them under 'measurements' of the benchmark in the catalogue",
        )
    return told


def result_readme(
    plan: Plan,
    round_: Round,
    *,
    pair: ScenarioAttempts,
    benchmark: Benchmark,
    description: SystemDescription,
    summary: str,
    accuracy_text: str,
) -> str:
    """Return README.md of a result: what ran, where, what came out, and how to run it again.

    Args:
        plan: The plan.
        round_: Its round.
        pair: The two attempts.
        benchmark: The catalogue's entry.
        description: The system's description.
        summary: Text of the performance run's mlperf_log_summary.txt.
        accuracy_text: accuracy.txt as packed.
    """
    spec, cell = pair.performance.spec, pair.performance.spec.cell
    # Planning and packing are plays on localhost.
    limit = ",".join(dict.fromkeys([pair.performance.planned.host, pair.accuracy.planned.host, "localhost"]))
    lines = [
        f"# {benchmark.directory} {cell.scenario} on {cell.system}",
        "",
        f"MLPerf Inference {round_.name}, {plan.division} division, submitter {plan.submitter}.",
        f"The benchmark of the round is {spec.official_benchmark}.",
        "",
        "## Result",
        "",
        f"- Performance: {_performance(round_, pair.performance)}",
        f"- LoadGen: {_validity(pair.performance)}",
        f"- Accuracy: {_accuracy(pair.accuracy)}",
        f"- Run style: {spec.run_style}",
        *(f"- Not valid ({mode}): {reason}" for mode, reason in _reasons(pair)),
        *(f"- Tainted ({mode}): {sentence}" for mode, sentence in _tainted(pair)),
        "",
        "LoadGen's summary of the performance run:",
        "",
        fenced(summary),
        "",
        "accuracy.txt:",
        "",
        fenced(accuracy_text),
        "",
        "## What ran",
        "",
        f"- Performance: {_run(pair.performance)}",
        f"- Accuracy: {_run(pair.accuracy)}",
        f"- Implementation: {spec.implementation}, backend {spec.backend.name} ({spec.backend.provider})",
        *_inputs(pair.performance),
        *(f"- {name}: {version}" for name, version in sorted(spec.packages.items())),
        "",
        "Command of the measuring process, in a folder with spec.json and user.conf:",
        "",
        fenced(command_line(pair.performance)),
        "",
        "What took effect, as the process saw it:",
        "",
        fenced(pretty_json(pair.performance.result.effective)),
        "",
        "## System",
        "",
        *(
            f"- {key}: {description.content[key]}"
            for key in _HARDWARE
            if description.content.get(key) not in {None, ""}
        ),
        "",
        "## Run it again",
        "",
        "All cells of this system, from a checkout of mlperf-ops; only what is missing or stale is run:",
        "",
        fenced(f"ansible-playbook run-inference.yml -i {shlex.quote(plan.inventory)} --limit {shlex.quote(limit)}"),
        "",
        "One cell, on the host, with the spec below saved as spec.json; the result is in again/attempt_1:",
        "",
        fenced("python -m mlperf_ops.harness --spec spec.json --out again"),
        "",
        "## user.conf",
        "",
        "Performance:",
        "",
        fenced(spec.loadgen.user_conf),
        "",
        "Accuracy:",
        "",
        fenced(pair.accuracy.spec.loadgen.user_conf),
        "",
        "## Specs",
        "",
        "Performance:",
        "",
        fenced(spec_text(pair.performance)),
        "",
        "Accuracy:",
        "",
        fenced(spec_text(pair.accuracy)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def source_readme(plan: Plan, benchmark: Benchmark, pairs: Sequence[ScenarioAttempts]) -> str:
    """Return src/<benchmark>/README.md: the code and data behind the results of a benchmark."""
    attempts = [attempt for pair in pairs for attempt in (pair.performance, pair.accuracy)]
    names = {name for attempt in attempts for name in _component_names(attempt)}
    components = [component for component in plan.components if component.name in names]
    lines = [
        f"# Code behind the results of {benchmark.directory}",
        "",
        f"The results were made with mlperf-ops {__version__} (Apache-2.0). The part of it that runs on a host is",
        "named by the sha256 of its files; equal digests mean the same code.",
        "",
        *_bullets("Implementation", (attempt.spec.implementation for attempt in attempts)),
        *_bullets("Harness sha256", (attempt.spec.packages.get(HARNESS, "") for attempt in attempts)),
        *_bullets(
            "Packages",
            (
                ", ".join(
                    f"{name} {version}" for name, version in sorted(attempt.spec.packages.items()) if name != HARNESS
                )
                for attempt in attempts
            ),
        ),
        *_bullets("Command", (_argv(attempt) for attempt in attempts)),
        "",
        "## Model and data",
        "",
        *(_component(component) for component in components),
        "",
        "## Run it again",
        "",
        "In a checkout of mlperf-ops with this version, the inventory names systems, scenarios and settings. The play",
        "installs the pinned packages on the hosts, fetches model and data, verifies their digests and runs the cells:",
        "",
        fenced(f"ansible-playbook run-inference.yml -i {shlex.quote(plan.inventory)}"),
        "",
        "The README.md of each result holds its spec, and the command that runs this one cell again.",
    ]
    return "\n".join(lines) + "\n"


def calibration(benchmarks: Iterable[Benchmark]) -> str:
    """Return the calibration document: what was done to the weights of each benchmark."""
    lines = ["# Calibration", ""]
    for benchmark in sorted(benchmarks, key=lambda entry: entry.directory):
        told = benchmark.measurements
        if told is None:
            continue
        lines += [
            f"## {benchmark.directory}",
            "",
            f"- Weights: {told.weight_data_types}; inputs: {told.input_data_types}",
            f"- Weight transformations: {told.weight_transformations}; retraining: {told.retraining}",
            "- No quantization was applied, so no calibration data was used."
            if {told.weight_data_types, told.input_data_types} == {"fp32"}
            else "- Not all numbers are fp32: the model came as described above, and mlperf-ops calibrated nothing.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def fenced(text: str) -> str:
    """Return text as a Markdown code block that none of its lines can end."""
    body = "".join(char if char in "\n\t" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{body.strip(chr(10))}\n{fence}"


def command_line(attempt: Attempt) -> str:
    """Return the real command of an attempt's process, with the environment that was set for it."""
    environment = [f"{key}={shlex.quote(value)}" for key, value in sorted(_shown(attempt.spec.env).items())]
    return " ".join([*environment, _argv(attempt)])


def spec_text(attempt: Attempt) -> str:
    """Return an attempt's spec as JSON, without the values of variables that are called like secrets."""
    spec = dump(attempt.spec)
    return pretty_json({**spec, "env": _shown(attempt.spec.env)})


def _argv(attempt: Attempt) -> str:
    words = (word.replace("{python}", "python").replace("{attempt}", ".") for word in attempt.spec.argv)
    return shlex.join(words)


def _shown(env: Mapping[str, str]) -> dict[str, str]:
    return {key: _HIDDEN if _SECRET.search(key) else value for key, value in env.items()}


def _run(attempt: Attempt) -> str:
    result = attempt.result
    return f"spec sha256 `{attempt.spec.sha256}`, started {result.started_at}, took {result.elapsed_seconds:.0f} s"


def _performance(round_: Round, attempt: Attempt) -> str:
    scenario, loadgen = attempt.spec.cell.scenario, attempt.result.loadgen
    rules = round_.rules(attempt.spec.official_benchmark)
    key = rules.result_field_override.get(scenario) or round_.result_field[scenario]
    unit = rules.units_override.get(scenario) or round_.units_default[scenario]
    value = None if loadgen is None else loadgen.fields.get(key)
    if not isinstance(value, (int, float)):
        return f"LoadGen states no {key}"
    scale = next((factor for ending, factor in _NANOSECONDS.items() if unit.endswith(ending)), 1.0)
    return f"{value / scale:.6g} {unit} (`{key}`)"


def _validity(attempt: Attempt) -> str:
    loadgen = attempt.result.loadgen
    if loadgen is None:
        return "no outcome"
    version = loadgen.fields.get("loadgen_version")
    errors = f", {len(loadgen.errors)} errors" if loadgen.errors else ""
    return f"{loadgen.validity or 'no validity'}{errors}" + (f", version {version}" if version else "")


def _accuracy(attempt: Attempt) -> str:
    accuracy = attempt.result.accuracy
    if accuracy is None:
        return "no outcome"
    wanted = attempt.spec.accuracy
    bounds = [
        f"{word} {bound:g}{accuracy.unit}"
        for word, bound in (("at least", wanted.minimum), ("at most", wanted.maximum))
        if bound is not None
    ]
    target = f"; target: {' and '.join(bounds)}" if bounds else ""
    return f"{accuracy.metric} = {accuracy.value:.5g}{accuracy.unit} on {accuracy.sample_count} samples{target}"


def _reasons(pair: ScenarioAttempts) -> list[tuple[str, str]]:
    return [
        (mode, " ".join(reason.split()))
        for mode, attempt in (("performance", pair.performance), ("accuracy", pair.accuracy))
        for reason in attempt.result.reasons
    ]


def _tainted(pair: ScenarioAttempts) -> list[tuple[str, str]]:
    return [
        (mode, " ".join(sentence.split()))
        for mode, attempt in (("performance", pair.performance), ("accuracy", pair.accuracy))
        for sentence in attempt.result.tainted
    ]


def _inputs(attempt: Attempt) -> list[str]:
    model, dataset = attempt.spec.model, attempt.spec.dataset
    lines = [] if model is None else [f"- Model: {model.component} ({model.format}), sha256 `{model.sha256}`"]
    return [*lines, f"- Data set: {dataset.component}, sha256 `{dataset.sha256}`"]


def _component_names(attempt: Attempt) -> list[str]:
    model = attempt.spec.model
    return [attempt.spec.dataset.component, *([] if model is None else [model.component])]


def _component(component: Component) -> str:
    digest = f", sha256 `{component.sha256}`" if component.sha256 else ""
    return f"- {component.name} ({component.kind} {component.version}): {component.source}{digest}".replace(" )", ")")


def _bullets(label: str, values: Iterable[str]) -> list[str]:
    return [f"- {label}: {value}" for value in sorted({value for value in values if value})]
