"""README.md of a result: what ran, where, what came out, and how to run it again. Pure.

Nothing here depends on the time or the machine of the aggregation, so equal results give equal bytes.
"""

from __future__ import annotations

import shlex

from mlperf_ops.attempts import Attempt
from mlperf_ops.catalogue import Round
from mlperf_ops.claims import Claim
from mlperf_ops.documents import (
    HOME,
    TAINTED,
    command_line,
    fenced,
    inventory_name,
    origin_of,
    rule_of,
    spec_text,
    without_home,
)
from mlperf_ops.files import pretty_json
from mlperf_ops.plan_model import Plan
from mlperf_ops.selection import Conflict, ScenarioAttempts
from mlperf_ops.system import SystemDescription

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


def result_readme(
    plan: Plan,
    round_: Round,
    *,
    claim: Claim,
    description: SystemDescription,
    summary: str,
    accuracy_text: str,
    conflict: Conflict | None = None,
) -> str:
    """Return README.md of a result: what ran, where, what came out, and how to run it again.

    Args:
        plan: The plan.
        round_: Its round.
        claim: The place and its two attempts.
        description: The system's description.
        summary: Text of the performance run's mlperf_log_summary.txt.
        accuracy_text: accuracy.txt as packed.
        conflict: The other results for this place, where there were some.
    """
    pair = claim.pair
    spec, cell = pair.performance.spec, pair.performance.spec.cell
    rule, origin = rule_of(claim, round_), origin_of(claim)
    # Planning and packing are plays on localhost.
    limit = ",".join(dict.fromkeys([pair.performance.planned.host, pair.accuracy.planned.host, "localhost"]))
    lines = [
        f"# {claim.benchmark.directory} {claim.scenario} on {cell.system}",
        "",
        f"MLPerf Inference {round_.name}, {claim.division} division, submitter {plan.submitter}.",
        f"The benchmark of the round is {claim.official_benchmark}.",
        *([f"This result stands on the runs of {pair.key}: {rule}."] if rule else []),
        *([f"It was {origin}."] if origin else []),
        *_choice(conflict),
        "",
        "## Result",
        "",
        f"- Performance: {_performance(round_, claim)}",
        f"- LoadGen: {_validity(pair.performance)}",
        f"- Accuracy: {_accuracy(pair.accuracy)}",
        f"- Run style: {spec.run_style}",
        *(f"- Not valid ({mode}): {reason}" for mode, reason in _reasons(pair)),
        *(f"{TAINTED}{mode}): {sentence}" for mode, sentence in _tainted(pair)),
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
        *_command(pair.performance),
        *_effective(pair.performance),
        "## System",
        "",
        *(
            f"- {key}: {description.content[key]}"
            for key in _HARDWARE
            if description.content.get(key) not in {None, ""}
        ),
        "",
        *(_made_elsewhere(claim) if origin else _again(plan, limit)),
        "## user.conf",
        "",
        "Performance:",
        "",
        fenced(spec.loadgen.user_conf),
        "",
        "Accuracy:",
        "",
        fenced(pair.accuracy.spec.loadgen.user_conf),
        *([] if origin else _specs(pair)),  # of runs made elsewhere most of it is not known
    ]
    return without_home("\n".join(lines).rstrip() + "\n", (pair.performance, pair.accuracy))


def _command(attempt: Attempt) -> list[str]:
    if not attempt.spec.argv:
        return []  # runs made elsewhere may not tell theirs
    told = "Command of the measuring process, in a folder with spec.json and user.conf:"
    return [told, "", fenced(command_line(attempt)), ""]


def _specs(pair: ScenarioAttempts) -> list[str]:
    performance, accuracy = fenced(spec_text(pair.performance)), fenced(spec_text(pair.accuracy))
    return ["", "## Specs", "", "Performance:", "", performance, "", "Accuracy:", "", accuracy]


def _again(plan: Plan, limit: str) -> list[str]:
    return [
        "## Run it again",
        "",
        "All cells of this system, from a checkout of mlperf-ops; only what is missing or stale is run:",
        "",
        fenced(f"ansible-playbook run-inference.yml -i {inventory_name(plan)} --limit {shlex.quote(limit)}"),
        "",
        "One cell, on the host, with the spec below saved as spec.json; the result is in again/attempt_1.",
        f"`{HOME}` stands for the folder of mlperf-ops on the host:",
        "",
        fenced("python -m mlperf_ops.harness --spec spec.json --out again"),
        "",
    ]


def _made_elsewhere(claim: Claim) -> list[str]:
    origin = claim.benchmark.origin
    return [
        "## Where it was made",
        "",
        f"mlperf-ops did not run this: it was made by {origin.get('made_by', '?')}, and its logs were taken over as",
        "they are. What LoadGen logs was verified; what the lines above say of the implementation is its maker's word.",
        *([f"Source: {origin['source']}"] if origin.get("source") else []),
        "",
    ]


def _effective(attempt: Attempt) -> list[str]:
    if not attempt.result.effective:
        return []
    return ["What took effect, as the process saw it:", "", fenced(pretty_json(attempt.result.effective)), ""]


def _run(attempt: Attempt) -> str:
    result = attempt.result
    return f"spec sha256 `{attempt.spec.sha256}`, started {result.started_at}, took {result.elapsed_seconds:.0f} s"


def _performance(round_: Round, claim: Claim) -> str:
    stated = claim.merit(round_)
    if stated is None or stated.value is None:
        return "LoadGen states no result" if stated is None else f"LoadGen states no {stated.field}"
    return f"{stated.text} (`{stated.field}`)"


def _choice(conflict: Conflict | None) -> list[str]:
    return [] if conflict is None else [f"There were several results for this place: {conflict.sentence}."]


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
    if not dataset.sha256:  # of a result that was made elsewhere
        return lines
    return [*lines, f"- Data set: {dataset.component}, sha256 `{dataset.sha256}`"]
