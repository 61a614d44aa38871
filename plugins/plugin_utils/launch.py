"""Start a cell on its host: by the agent alone, or in a systemd unit that the module `loadgen_unit` starts as root."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, privileged

_MODULE = "mlperf_ops.lab.loadgen_unit"
_LAUNCHERS = ("auto", "systemd", "session")
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
display = Display()


class Launcher:
    """Starts the cells of one host. Where it cannot become root once, it does not try again in this play."""

    def __init__(self, action: ActionBase, variables: Mapping[str, Any], ask: Ask, launcher: object) -> None:
        """Keep how the host is reached, and `mlperf_launcher`.

        Raises:
            AnsibleActionFail: There is no such launcher.
        """
        wanted = str(launcher).strip()
        if wanted not in _LAUNCHERS:
            with controller.sentences():
                raise controller.errors.unknown_name("launcher", wanted, _LAUNCHERS, where="mlperf_launcher")
        host = variables["hostvars"][variables["inventory_hostname"]]
        self._action, self._variables, self._ask = action, variables, ask
        self._told: list[str] = []
        self._asked: dict[str, Any] = {"launcher": wanted, "may_become": boolean(host.get("mlperf_become", True))}

    def start(self, title: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cell and return the agent's answer to "start", or a failed one.

        Shows what the host does not offer of the cell's limits, each sentence once in a play.
        """
        started = self._started(question)
        launched = {} if started.get("failed") else started["answer"].get("launched", {})
        for lost in launched.get("not_offered", []):
            if lost not in self._told:
                display.display(f"{title}   {lost}", color="yellow")
                self._told.append(lost)
        return started

    def _started(self, question: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._ask("start", {**question, **self._asked})
        prepared = {} if answer.get("failed") else answer["answer"]
        if prepared.get("state") != "prepared":
            return answer
        told = self._start_unit(prepared["unit"])
        if told.get("failed"):
            self._asked["refused"] = _sentence(told)
            return self._ask("start", {**question, **self._asked, "abandon": prepared["path"]})
        kept = {name: value for name, value in prepared.items() if name != "unit"}
        if told["state"] != "started":
            return self._ask("started", {**kept, "unit": prepared["unit"]["name"]})
        begun = {**kept, "state": "started", "pid": told["pid"], "launched": told["launched"]}
        return {**answer, "answer": begun}

    def _start_unit(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with self._root(unit):
                told: dict[str, Any] = self._action._execute_module(  # noqa: SLF001  # as Ansible's own actions do
                    module_name=_MODULE, module_args={"unit": unit}, task_vars=self._variables, wrap_async=False
                )
        except AnsibleConnectionFailure:
            raise  # the host is away: nobody knows whether the unit runs, and the next play finds out
        except AnsibleError as error:  # no password for sudo, among others
            return {"failed": True, "msg": f"cannot become root: {error}"}
        return told

    @contextlib.contextmanager
    def _root(self, unit: Mapping[str, Any]) -> Iterator[None]:
        if unit["uid"] == 0:
            yield
            return
        with privileged.as_root(self._action, self._variables):
            yield


def _sentence(told: Mapping[str, Any]) -> str:
    """Return why a call failed, in one line: sudo's own words where the module did not even begin."""
    said = str(told.get("module_stderr") or "").strip() or str(told.get("msg") or "")
    return next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
