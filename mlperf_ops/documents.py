"""The pages and small files that a submission tells its readers with. Pure: text and JSON from what really ran.

Nothing here depends on the time or the machine of the aggregation, so equal results give equal bytes. Text of logs and
specs is shown in fenced blocks only, whose fence no line of it can close.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath, PurePosixPath

from mlperf_ops import __version__
from mlperf_ops.attempts import Attempt
from mlperf_ops.catalogue import Round
from mlperf_ops.claims import Claim
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import Json, JsonObject, pretty_json
from mlperf_ops.filings import inference_words
from mlperf_ops.layout import MADE_HERE
from mlperf_ops.plan_model import Component, Plan
from mlperf_ops.typed import dump

HARNESS = "mlperf_ops.harness"
"""Key of spec.packages that holds the digest of the shipped harness."""

_SECRET = re.compile(r"(?i)secret|token|passw|credential|api_?key|private_?key")
_HIDDEN = "(hidden)"
TAINTED = "- Tainted ("
"""How the line of a result's README.md starts that says how its host drifted; `mlperf-ops pack` looks for it."""

HOME = "{mlperf_home}"
"""Stands in every text of the tree for the folder of a host that mlperf-ops owns: no path of a machine gets out."""

_STORE = re.compile(r"(?P<home>/[^\"'\s:=]*?)/(?:store|python|harness|runs)/")


def measurements(round_: Round, claim: Claim) -> JsonObject:
    """Return measurements.json of a result.

    Raises:
        SubmissionError: The round wants a field that nothing tells.
    """
    told: dict[str, Json] = dict(claim.benchmark.measurements)
    model = claim.pair.performance.spec.model
    if model is not None:
        told["starting_weights_filename"] = PurePosixPath(model.path).name
    elif claim.pair.performance.spec.simulated:
        told["starting_weights_filename"] = "simulated: no weights"  # only ever in a tree of mlperf_ops.simulated
    lacking = [key for key in round_.measurements_required_non_empty if not told.get(key)]
    if lacking:
        raise SubmissionError(
            f"the measurements of {claim.key} lack {', '.join(lacking)}",
            hint="give them under 'measurements' of the benchmark in the catalogue, or of the import",
        )
    return told


def rule_of(claim: Claim, round_: Round) -> str:
    """Say how a result follows from what ran where that is not plain, "" where it is."""
    measured = claim.pair.performance.spec.loadgen.scenario
    told = []
    if claim.official_benchmark != claim.pair.performance.spec.official_benchmark:
        told.append(f"a run that meets the target of {claim.pair.performance.spec.official_benchmark} meets this one")
    if claim.scenario != claim.measured or claim.scenario not in {measured, "Interactive"}:
        told.append(inference_words(round_, measured, claim.scenario))
    return "; ".join(told)


def origin_of(claim: Claim) -> str:
    """Say where an imported result comes from, "" for our own."""
    origin = claim.benchmark.origin
    return f"imported from {origin.get('from', '?')}: {origin.get('made_by', '?')}" if origin else ""


def source_readme(plan: Plan, directory: str, claims: Sequence[Claim]) -> str:
    """Return README.md of a benchmark's folder of code: the code and data behind its results."""
    attempts = [attempt for claim in claims for attempt in (claim.pair.performance, claim.pair.accuracy)]
    names = {name for attempt in attempts for name in _component_names(attempt)}
    components = [component for component in plan.components if component.name in names]
    imported = [claim for claim in claims if claim.benchmark.origin]
    own = len(imported) < len(claims)
    lines = [
        f"# Code behind the results of {directory}",
        "",
        *(_OWN_CODE if own else ()),
        *_bullets("Made elsewhere, and imported", (_maker(claim) for claim in imported)),
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
        *_bullets(
            "Weights", (str(claim.benchmark.measurements.get("starting_weights_filename", "")) for claim in imported)
        ),
        "",
        *(_run_again(plan) if own else ()),
    ]
    return without_home("\n".join(lines).rstrip() + "\n", attempts)


_OWN_CODE = (
    f"{MADE_HERE} {__version__} (Apache-2.0). The part of it that runs on a host is",
    "named by the sha256 of its files; equal digests mean the same code.",
    "",
)


def _maker(claim: Claim) -> str:
    origin = claim.benchmark.origin
    return f"{claim.key}: {origin.get('made_by', '?')}" + (f", {origin['source']}" if origin.get("source") else "")


def _run_again(plan: Plan) -> list[str]:
    return [
        "## Run it again",
        "",
        "In a checkout of mlperf-ops with this version, the inventory names systems, scenarios and settings. The play",
        "installs the pinned packages on the hosts, fetches model and data, verifies their digests and runs the cells:",
        "",
        fenced(f"ansible-playbook run-inference.yml -i {inventory_name(plan)}"),
        "",
        "The README.md of each result holds its spec, and the command that runs this one cell again.",
    ]


def calibration(claims: Iterable[Claim]) -> str:
    """Return the calibration document: what was done to the weights of each benchmark, each way of it once."""
    told: dict[str, dict[str, None]] = {}
    for claim in claims:
        told.setdefault(claim.benchmark.directory, {})[_numbers(claim)] = None
    lines = ["# Calibration", ""]
    for directory, texts in sorted(told.items()):
        lines += [f"## {directory}", ""]
        for text in sorted(texts):
            lines += [text, ""]
    return "\n".join(lines).rstrip() + "\n"


def _numbers(claim: Claim) -> str:
    told = {key: str(value) for key, value in claim.benchmark.measurements.items()}
    weights, inputs = told.get("weight_data_types", ""), told.get("input_data_types", "")
    if claim.benchmark.calibration:
        closing = claim.benchmark.calibration.strip()
    elif {weights, inputs} == {"fp32"}:
        closing = "- No quantization was applied, so no calibration data was used."
    else:
        closing = "- Not all numbers are fp32: the model came as described above, and mlperf-ops calibrated nothing."
    return "\n".join(
        (
            f"- Weights: {weights}; inputs: {inputs}",
            f"- Weight transformations: {told.get('weight_transformations', '')}",
            f"- Retraining: {told.get('retraining', '')}",
            closing,
        )
    )


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


def without_home(text: str, attempts: Iterable[Attempt]) -> str:
    """Put a name in the place of the folder that mlperf-ops owns on the attempts' hosts."""
    for attempt in attempts:
        spec = attempt.spec
        paths = [spec.dataset.path, *([] if spec.model is None else [spec.model.path])]
        for home in {match["home"] for path in paths if (match := _STORE.match(path))}:
            text = text.replace(f"{home}/", f"{HOME}/")
    return text


def inventory_name(plan: Plan) -> str:
    """Return the inventory as a command needs it; of an absolute one the name only."""
    given = PurePath(plan.inventory)
    return shlex.quote(f"inventory/{given.name}" if given.is_absolute() else plan.inventory)


def _argv(attempt: Attempt) -> str:
    words = (word.replace("{python}", "python").replace("{attempt}", ".") for word in attempt.spec.argv)
    return shlex.join(words)


def _shown(env: Mapping[str, str]) -> dict[str, str]:
    return {key: _HIDDEN if _SECRET.search(key) else value for key, value in env.items()}


def _component_names(attempt: Attempt) -> list[str]:
    model = attempt.spec.model
    return [attempt.spec.dataset.component, *([] if model is None else [model.component])]


def _component(component: Component) -> str:
    digest = f", sha256 `{component.sha256}`" if component.sha256 else ""
    return f"- {component.name} ({component.kind} {component.version}): {component.source}{digest}".replace(" )", ")")


def _bullets(label: str, values: Iterable[str]) -> list[str]:
    return [f"- {label}: {value}" for value in sorted({value for value in values if value})]
