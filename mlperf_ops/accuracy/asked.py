"""What the user gave, checked against what the scorer takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlperf_ops.accuracy.model import Request
from mlperf_ops.catalogue.scorer import Scorer
from mlperf_ops.catalogue.scorer_parameters import METHOD_PARAMETERS
from mlperf_ops.errors import ConfigError
from mlperf_ops.files import Json


def parameters_from(texts: Iterable[str]) -> dict[str, Json]:
    """Read NAME=VALUE, where VALUE is JSON or else a text.

    Raises:
        ConfigError: A text has no "=".
    """
    found: dict[str, Json] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ConfigError(f"--parameter {text}: expected NAME=VALUE, such as dtype=int32")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def request_for(
    scorer: Scorer,
    log: Path,
    inputs: Mapping[str, Path | None],
    parameters: Mapping[str, Json],
    *,
    sample_count: int,
    partial: bool = False,
    jobs: int = 1,
) -> Request:
    """Put a request together.

    Args:
        scorer: What scores the benchmark; it has a method.
        log: mlperf_log_accuracy.json.
        inputs: Everything that may be given, None for what is not.
        parameters: The user's; they win over the catalogue's.
        sample_count: What the round demands, for methods whose labels do not say how many samples there are.
        partial: Score the samples that the log has.
        jobs: Processes.

    Raises:
        ConfigError: An input is missing, not taken, or does not exist; or the scorer has no method.
    """
    official = scorer.official
    if scorer.method is None:
        raise ConfigError(
            f"{', '.join(scorer.metrics)} of {', '.join(scorer.models)} is computed by the official script "
            f"{official.script} only: {scorer.note}",
            hint="run it, and let --text accuracy.txt judge what it wrote",
        )
    given = {name: path for name, path in inputs.items() if path is not None}
    for name, path in given.items():
        if name not in {str(known) for known in scorer.inputs}:
            takes = ", ".join(f"--{known}" for known in scorer.inputs) or "none"
            raise ConfigError(f"--{name} is no input of {scorer.name}, which takes {takes}")
        if not path.exists():
            raise ConfigError(f"--{name}: there is no {path}")
    for known, entry in scorer.inputs.items():
        if entry.required and known not in given:
            raise ConfigError(f"--{known} is missing", hint=f"{scorer.name} needs {entry.help}")
    merged: dict[str, Json] = {**scorer.parameters, **parameters}
    if "sample_count" in METHOD_PARAMETERS[scorer.method].model_fields:
        merged.setdefault("sample_count", sample_count)
    return Request(log, given, merged, partial, jobs)
