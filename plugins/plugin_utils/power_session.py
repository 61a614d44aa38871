"""The director's server around a measured cell, and what our rules say of the measurement as soon as it is here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import access, controller, fetch, leases

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.doctor.model import Access
    from mlperf_ops.power import inventory, rejected

_LIMIT = "power_director_clock_limit_ms"
_LIMIT_MS = 100.0
_OFFICIAL = "mlperf_inference_checkout"
display = Display()


class PowerSessions:
    """The measured cells of one host; of a host without an analyzer nothing is ever asked."""

    def __init__(self, play: Any, variables: Mapping[str, Any], plan: Mapping[str, Any], run: Path, name: str) -> None:  # noqa: ANN401  # PlayContext
        """Keep how the director is reached."""
        self._play, self._variables, self._plan, self._run, self._name = play, variables, plan, run, name
        with controller.sentences():
            self._lab = inventory.from_plan(plan.get("power"))
        self._session: Any = None

    def start(self, title: str, cell: Mapping[str, Any]) -> str:
        """Start the server of a measured cell; return why it could not be, or ""."""
        if not is_measured(cell):
            return ""
        session = self._of_host()
        display.display(f"{title}   starting the server of {session.server.instance} on {session.director}")
        problem = str(session.start())
        self._session = None if problem else session
        return f"its power cannot be measured: {problem}" if problem else ""

    def adopt(self, cell: Mapping[str, Any]) -> None:
        """Take over the server of a measured cell that runs already."""
        if is_measured(cell):
            self._session = self._of_host()

    def end(self, title: str, held: leases.Leases) -> None:
        """Stop the server, unless the cell may still need it: then it ends with the client."""
        session, self._session = self._session, None
        if session is None or held.still_used:
            return
        if problem := session.stop():
            display.display(f"{title}   {problem}", color="yellow")

    def judge(self, title: str, cell: Mapping[str, Any], path: str, verdict: str) -> list[str]:
        """Show what the rules say of an attempt's measurement; return a sentence for each reason to reject it.

        Args:
            title: Of the cell, in progress lines.
            cell: As planned.
            path: Of the attempt, which has been brought here.
            verdict: A failed cell has nothing to judge.
        """
        if not is_measured(cell) or verdict == "failed":
            return []
        place = fetch.place_of(path, self._plan["run_id"], cell["cell"]["system"])
        folder = self._run / "hosts" / self._name / place
        try:
            told = self._judged(folder, cell)
            if told.repeat:
                rejected.note(self._run / "hosts" / self._name, place, told.repeat)
        except controller.errors.MlperfOpsError as error:
            display.display(f"{title}   power: {error}", color="yellow")
            return []
        for sentence in told.rejected:
            display.display(f"{title}   power, rejected: {sentence}", color="yellow")
        for sentence in told.advice:
            display.display(f"{title}   power, advice: {sentence}")
        display.display(f"{title}   power: {told.figures}", color="yellow" if told.rejected else "green")
        if told.repeat:
            display.display(f"{title}   power: the next run measures this cell again", color="yellow")
        key = controller.cell_key(cell["cell"])
        return [f"{key}: power: {sentence}" for sentence in told.rejected]

    def _judged(self, folder: Path, cell: Mapping[str, Any]) -> Any:  # noqa: ANN401  # mlperf_ops.power.early
        # Only labs with an analyzer pay for these imports.
        from mlperf_ops.power.early import judged  # noqa: PLC0415

        host = self._variables["hostvars"][self._name]
        checkout = str(host.get(_OFFICIAL) or "")
        official = Path(checkout).expanduser() if checkout else None
        scenario, round_name = str(cell["cell"]["scenario"]), str(self._plan["round"])
        return judged(folder, round_name, scenario, self._lab, self._name, official)

    def _of_host(self) -> Any:  # noqa: ANN401  # mlperf_ops.power.session, which may not be installed
        from mlperf_ops.power.session import session_of  # noqa: PLC0415  # as above

        sut = self._lab.sut(self._name)
        assert sut is not None  # noqa: S101  # its cell is measured
        values = self._variables["hostvars"][sut.director]
        reached = access.of(sut.director, values, self._play)
        way = controller.typed.load(Access, reached, f"access of {sut.director}")
        return session_of(self._lab, self._name, way, float(controller.plain(values.get(_LIMIT)) or _LIMIT_MS))


def rejected_paths(plan: Mapping[str, Any], run: Path, host: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what the agent is told of measurements that do not stand for their cells; {} where there are none."""
    if not plan.get("power"):
        return {}
    places = rejected.rejected(run / "hosts" / host["name"])
    prefix = f"runs/{plan['run_id']}/{host['system']}"
    return {"rejected": [f"{prefix}/{place}" for place in places]} if places else {}


def is_measured(cell: Mapping[str, Any]) -> bool:
    """Whether a planned cell's power is measured."""
    return bool((cell.get("request") or {}).get("power"))
