"""Methods by name: the module that has `score`, and the parameters that it takes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, get_args

from pydantic import ValidationError

from mlperf_ops.accuracy.model import Request, Scored
from mlperf_ops.catalogue.base import CatalogueModel
from mlperf_ops.catalogue.scorer_parameters import METHOD_PARAMETERS, Method
from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.expected import choices, sentence_of
from mlperf_ops.files import Json

METHODS: dict[Method, str] = {
    "top1": "mlperf_ops.accuracy.classification",
    "graph_top1": "mlperf_ops.accuracy.graph",
    "detection": "mlperf_ops.accuracy.detection",
    "squad": "mlperf_ops.accuracy.squad",
    "segmentation": "mlperf_ops.accuracy.segmentation",
    "speech": "mlperf_ops.accuracy.speech",
    "clicks": "mlperf_ops.accuracy.clicks",
    "ranking": "mlperf_ops.accuracy.ranking",
    "summary": "mlperf_ops.accuracy.summary",
    "mixed_answers": "mlperf_ops.accuracy.mixed_answers",
    "long_context": "mlperf_ops.accuracy.long_context",
}


class MethodModule(Protocol):
    """A module of METHODS."""

    def score(self, request: Request, parameters: Any) -> Scored:  # noqa: ANN401  # an instance of its parameters
        """Score a log."""


def known(method: str) -> Method:
    """Return a method's name as one of those that there are.

    Raises:
        ConfigError: No such method.
    """
    for name in get_args(Method):
        if name == method:
            return name  # type: ignore[no-any-return]  # one of the literals
    raise unknown_name("method", method, METHODS)


def module_of(method: str) -> MethodModule:
    """Import a method's module."""
    module: Any = importlib.import_module(METHODS[known(method)])
    return module  # type: ignore[no-any-return]  # a test holds every module against the protocol


def parameters_of(method: str, given: Mapping[str, Json]) -> CatalogueModel:
    """Check a method's parameters.

    Raises:
        ConfigError: A parameter is unknown or of another type; names the nearest.
    """
    model = METHOD_PARAMETERS[known(method)]
    try:
        return model.model_validate_json(json.dumps(dict(given)))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name = ".".join(map(str, detail["loc"]))
        if detail["type"] == "extra_forbidden":
            raise unknown_name("parameter", name, model.model_fields) from error
        if detail["type"] == "literal_error":
            raise unknown_name("value", str(detail["input"]), choices(detail), where=f"parameter {name}") from error
        if detail["type"] == "missing":
            raise ConfigError(f"parameter {name} is missing") from error
        raise ConfigError(f"parameter {name}: {sentence_of([detail])}") from error


def compute(method: str, request: Request) -> Scored:
    """Score an accuracy log.

    Raises:
        ConfigError: The method, a parameter or an input is wrong.
        ResultError: The log cannot be used.
        ToolError: A library is missing.
    """
    return module_of(method).score(request, parameters_of(method, request.parameters))
