"""user.conf of a generic run: the user's own file, the command line's flags above it, measured values below both.

Key names are LoadGen's. LoadGen ignores a key that it does not know, so a typing error would go unnoticed: here it is
an error that names file and line.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlperf_ops.errors import ConfigError, unknown_name
from mlperf_ops.harness.generic.request import DEFAULT_DURATION_SECONDS, SCENARIOS, GenericRequest, GenericScenario
from mlperf_ops.loadgen_keys import PERFORMANCE_KEYS

ANY = "*"
_PARTS = 3
# LoadGen makes its queries ahead of time. When they run out before the shortest duration is over, the run is INVALID:
# the speed seen in a fraction of a second needs a reserve.
_STREAM_RESERVE = 2.0
_OFFLINE_RESERVE = 1.3
# Half of what the streams manage at full load leaves room for the bursts of Poisson arrivals.
_SERVER_SHARE = 0.5
_SAMPLES_PER_QUERY = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Speed seen while warming up."""

    latency_seconds: float  # of one sample on one stream
    samples_per_second: float  # of all streams together


@dataclass(frozen=True, slots=True)
class Conf:
    """A user.conf and the model name under which LoadGen looks its keys up."""

    text: str
    model: str


def parse(text: str, path: str) -> dict[tuple[str, str, str], str]:
    """Read user.conf lines "model.Scenario.key = number".

    Raises:
        ConfigError: A line has another form, an unknown scenario or an unknown key; names file and line.
    """
    found: dict[tuple[str, str, str], str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        where = f"{path}:{number}"
        left, equals, value = (part.strip() for part in content.partition("="))
        parts = left.rsplit(".", _PARTS - 1)
        if not equals or len(parts) != _PARTS:
            raise ConfigError(f"{where}: '{content}' is not of the form model.Scenario.key = number")
        model, scenario, key = parts
        if scenario not in (*SCENARIOS, ANY):
            raise unknown_name("scenario", scenario, SCENARIOS, where=where)
        if key not in PERFORMANCE_KEYS:
            raise unknown_name("user.conf key", key, PERFORMANCE_KEYS, where=where)
        try:
            float(value)
        except ValueError as error:
            raise ConfigError(f"{where}: '{value}' is not a number") from error
        found[model, scenario, key] = value
    return found


def compose(request: GenericRequest, measured: Measured) -> Conf:
    """Write the user.conf of a run.

    A key that the command line sets wins over the user's file. What neither sets comes from the measurement, but for
    the duration, which is DEFAULT_DURATION_SECONDS without a file and LoadGen's own with one.

    Raises:
        ConfigError: The user's file names two models, or a value cannot be told to LoadGen.
    """
    own = parse(request.user_conf, request.user_conf_path) if request.user_conf is not None else {}
    models = sorted({model for model, _, _ in own} - {ANY})
    if len(models) > 1:
        raise ConfigError(f"{request.user_conf_path} names the models {', '.join(models)}; a run has one")
    model = models[0] if models else "generic"
    scenario = request.scenario
    flags = _flags(request)
    present = {key for _, where, key in own if where in (scenario, ANY)} | set(flags)
    below = {key: value for key, value in _measured(scenario, measured).items() if key not in present}
    if request.user_conf is None and "min_duration" not in present:
        below["min_duration"] = round(DEFAULT_DURATION_SECONDS * 1000)
    lines = [f"{ANY}.{scenario}.{key} = {_number(value)}" for key, value in sorted(below.items())]
    lines += [] if request.user_conf is None else [f"# {request.user_conf_path}", *request.user_conf.splitlines()]
    # The most specific form, and the last: no other line beats it.
    lines += [f"{model}.{scenario}.{key} = {_number(value)}" for key, value in sorted(flags.items())]
    return Conf("\n".join(lines) + "\n", model)


def _flags(request: GenericRequest) -> dict[str, float]:
    scenario = request.scenario
    flags: dict[str, float | None] = {
        "min_duration": None if request.duration_seconds is None else round(request.duration_seconds * 1000),
        "min_query_count": request.min_queries,
        "max_query_count": request.max_queries,
    }
    if scenario in {"Server", "Offline"}:
        flags["target_qps"] = request.expected_qps
    if scenario == "Server" and request.target_latency_ms is not None:
        if not request.target_latency_ms.is_integer():
            raise ConfigError(
                f"--target-latency-ms {request.target_latency_ms:g}: LoadGen takes whole milliseconds in Server"
            )
        flags["target_latency"] = request.target_latency_ms
    if scenario in {"SingleStream", "MultiStream"}:
        flags["target_latency"] = request.target_latency_ms
        if request.target_latency_ms is None and request.expected_qps is not None:
            flags["target_latency"] = 1000 / request.expected_qps
    return {key: value for key, value in flags.items() if value is not None}


def _measured(scenario: GenericScenario, measured: Measured) -> dict[str, float]:
    if scenario == "SingleStream":
        return {"target_latency": measured.latency_seconds * 1000 / _STREAM_RESERVE}
    if scenario == "MultiStream":
        return {"target_latency": _SAMPLES_PER_QUERY / measured.samples_per_second * 1000 / _STREAM_RESERVE}
    if scenario == "Server":
        return {"target_qps": measured.samples_per_second * _SERVER_SHARE}
    return {"target_qps": measured.samples_per_second * _OFFLINE_RESERVE}


def _number(value: float) -> str:
    """Write a number as LoadGen reads it: an integer without a point, else six significant digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
