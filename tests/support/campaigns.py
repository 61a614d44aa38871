"""What plans, collected files and the words of hosts make of a campaign, for its tests."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from mlperf_ops.campaign.answers import Begun, Ended, HostAnswer
from mlperf_ops.campaign.model import Play, Status
from mlperf_ops.campaign.states import states
from mlperf_ops.campaign.summary import status_of
from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.collected import Collection, read_collection
from mlperf_ops.files import Json, JsonObject, read_json
from mlperf_ops.model import Result
from mlperf_ops.plan import make_plan
from mlperf_ops.plan_model import Plan, PlannedCell
from mlperf_ops.typed import load
from tests.support.earlier import leave_attempt

NOW = dt.datetime(2026, 11, 27, 14, 0, tzinfo=dt.timezone.utc)
PLAY = Play(4711, "ansible-playbook run-inference.yml -i lab")


def lab(hosts: int, **more: Json) -> Plan:
    """Plan several hosts, each with two benchmarks' worth of cells in all scenarios and modes."""
    variables: dict[str, Json] = {
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_home": "/srv/mlperf",
        "mlperf_system_type": "edge",
        "mlperf_run_style": "valid",
        "mlperf_targets": {"efficientnet-lite0": {"Offline": {"target_qps": 100}}},
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
        **{f"mlperf_{key}": value for key, value in more.items()},
    }
    names = [f"sut{number}" for number in range(1, hosts + 1)]
    return make_plan(dict.fromkeys(names, variables), load_catalogue(), "lab", lambda _host, _path, _value: "")[0]


def begun(planned: PlannedCell, **changes: object) -> Begun:
    made = Begun(
        key=planned.cell.key,
        path=f"runs/lab/{planned.cell.key}/0123456789ab/attempt_1",
        attempt="attempt_1",
        alive=True,
        phase="measuring",
        elapsed_seconds=20.0,
        request_sha256=planned.request_sha256,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of Begun


def says(*parts: Begun | Ended, provision: JsonObject | None = None, measures: str = "") -> HostAnswer:
    return HostAnswer(
        provision=provision,
        measures=measures or next((one.key for one in parts if isinstance(one, Begun) and one.alive), ""),
        ended=tuple(one for one in parts if isinstance(one, Ended)),
        begun=tuple(one for one in parts if isinstance(one, Begun)),
    )


def on_host(run: Path, planned: PlannedCell, **how: object) -> Ended:
    """Return an attempt that ended on a host, made as collected ones are, but elsewhere."""
    held = leave_attempt(run / "elsewhere", planned, **how)  # type: ignore[arg-type]  # its options
    path = run / "elsewhere/hosts" / planned.host / held.path / "result.json"
    return Ended(
        held.key, f"runs/lab/{planned.cell.system}/{held.path}", held.attempt, load(Result, read_json(path), "")
    )


def state_of(made: Plan, run: Path, scenario: str, **more: object) -> tuple[str, str]:
    found = states(made, read_collection(run).earlier, **more)  # type: ignore[arg-type]  # its options
    one = next(one for one in found if one.scenario == scenario)
    return one.state, one.reason


def whole(made: Plan, run: Path | None = None, **more: object) -> Status:
    collection = Collection((), ()) if run is None else read_collection(run)
    return status_of(made, "results/lab", collection, inventory="inventory/lab", **more)  # type: ignore[arg-type]


def commands(status: Status) -> list[str]:
    return [action.command for action in status.next]
