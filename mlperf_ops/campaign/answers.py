"""What a host says of its attempts: the answer to `look_script`, read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mlperf_ops.errors import MlperfOpsError, ResultError
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.harness.failures import KILLED, REBOOTED
from mlperf_ops.harness.resolve import resolve
from mlperf_ops.harness.unit_end import unit_of
from mlperf_ops.model import Result
from mlperf_ops.typed import load

_PARTS = 5  # runs/<run id>/<system>/<benchmark>/<scenario>/<mode>/<spec12>/attempt_N: five before the attempt


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that ended on a host and that the controller has no copy of."""

    key: str
    path: str  # below mlperf_home
    attempt: str
    result: Result


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt without a result.

    Attributes:
        alive: Its supervisor runs, on this boot of the host.
        phase: What its process is at.
        elapsed_seconds: By the host's own clock.
        request_sha256: What it answers; None where the supervisor was too old to say.
        rebooted: The host is in another boot than the one that it began in.
        unit: Its systemd unit; "" for none.
    """

    key: str
    path: str
    attempt: str
    alive: bool
    phase: str
    elapsed_seconds: float
    request_sha256: str | None
    rebooted: bool = False
    unit: str = ""

    @property
    def lost(self) -> str:
        """Why it has no result and none will come, in the words that the next play finds more about."""
        if self.rebooted:
            return REBOOTED
        return f"{KILLED}; journalctl -u {self.unit}" if self.unit else KILLED


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """A host's own word on a run.

    Attributes:
        provision: state/provision.json; None where the host was never provisioned.
        home: Absolute path of mlperf_home.
        measures: What holds the host now, as the lock says it: "system/benchmark/scenario/mode"; "" for nothing.
    """

    provision: JsonObject | None
    measures: str
    ended: tuple[Ended, ...]
    begun: tuple[Begun, ...]
    home: str = ""

    def spec_sha256(self, request: Mapping[str, Json]) -> str | None:
        """Return the identity of what this host would run for a request now; None where it lacks something of it."""
        if self.provision is None:
            return None
        try:
            return resolve(dict(request), self.provision).sha256
        except MlperfOpsError:
            return None


def read_answer(told: JsonObject) -> HostAnswer:
    """Read what a host printed.

    Raises:
        ResultError: It has another form.
    """
    provision = told.get("provision")
    ended: list[Ended] = []
    begun: list[Begun] = []
    try:
        now, boot_id = float(cast("float", told.get("now", 0))), told.get("boot_id")
        for one in cast("list[JsonObject]", told.get("attempts", [])):
            path = str(one["path"])
            *parts, attempt = path.split("/")[2:]
            key = "/".join(parts[:-1])
            if len(parts) != _PARTS:
                raise ResultError(f"it has an attempt at '{path}', which is no folder of a cell")
            if isinstance(one.get("result"), dict):
                ended.append(Ended(key, path, attempt, load(Result, one["result"], f"{path}/result.json")))
            elif isinstance(state := one.get("state"), dict):
                begun.append(_begun(key, path, attempt, one, state, now=now, boot_id=boot_id))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"its answer cannot be read: {error}") from error
    return HostAnswer(
        provision=provision if isinstance(provision, dict) else None,
        measures=str(told.get("lock", "")).partition(" (pid ")[0],
        ended=tuple(_in_order(ended)),
        begun=tuple(begun),
        home=str(told.get("home", "")),
    )


def _in_order(ended: Sequence[Ended]) -> list[Ended]:
    """Return attempts by time, those of one request by their numbers: a clock may have jumped between them."""
    latest: dict[str, str] = {}
    for one in ended:
        folder = one.path.rpartition("/")[0]
        latest[folder] = max(latest.get(folder, ""), one.result.started_at)

    def place(one: Ended) -> tuple[str, str, int]:
        folder, _, name = one.path.rpartition("/")
        number = name.rpartition("_")[2]
        return latest[folder], folder, int(number) if number.isdigit() else 0

    return sorted(ended, key=place)


def _begun(  # parts of one line of the answer
    key: str, path: str, attempt: str, told: JsonObject, state: JsonObject, *, now: float, boot_id: Json
) -> Begun:
    ticks = str(told.get("start_ticks") or "")
    request = state.get("request_sha256")
    return Begun(
        key=key,
        path=path,
        attempt=attempt,
        alive=bool(ticks) and ticks == str(state.get("start_ticks")) and state.get("boot_id") == boot_id,
        phase=str(told.get("phase") or "starting"),
        elapsed_seconds=max(0.0, round(now - float(cast("float", told.get("began", now))), 1)),
        request_sha256=str(request) if request else None,
        rebooted=state.get("boot_id") != boot_id,
        unit=unit_of(state),
    )
