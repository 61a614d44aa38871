"""Methods by name: the module that has `Parameters` and `score`."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, get_args

from mlperf_ops.accuracy.model import Request, Scored
from mlperf_ops.catalogue.scorer import Method
from mlperf_ops.errors import ConfigError, ResultError, unknown_name
from mlperf_ops.typed import load

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

    Parameters: type[Any]

    def score(self, request: Request, parameters: Any) -> Scored:  # noqa: ANN401  # an instance of its Parameters
        """Score a log."""


def module_of(method: str) -> MethodModule:
    """Import a method's module.

    Raises:
        ConfigError: No such method.
    """
    for name in get_args(Method):
        if name == method:
            module: Any = importlib.import_module(METHODS[name])
            return module  # type: ignore[no-any-return]  # a test holds every module against the protocol
    raise unknown_name("method", method, METHODS)


def compute(method: str, request: Request) -> Scored:
    """Score an accuracy log.

    Raises:
        ConfigError: The method, a parameter or an input is wrong.
        ResultError: The log cannot be used.
        ToolError: A library is missing.
    """
    module = module_of(method)
    try:
        parameters = load(module.Parameters, dict(request.parameters), f"parameters of {method}")
    except ResultError as error:  # JSON that a host wrote is a result; a parameter is the user's
        raise ConfigError(error.message, hint=error.hint) from error
    return module.score(request, parameters)
