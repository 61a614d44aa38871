"""Ask the module host_tuning for what the plan wants: the one place where an action of ours tunes a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, privileged

MODULE = "mlperf_ops.lab.host_tuning"
_BEFORE_CELLS = "drop_caches"  # done before a cell, no state of the host


def state_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are a state of the host."""
    return {name: value for name, value in settings.items() if name != _BEFORE_CELLS}


def drop_caches(settings: Mapping[str, Any]) -> int:
    """Return what is to be dropped before a cell, 0 for nothing."""
    return int(settings.get(_BEFORE_CELLS, 0))


def tune(action: ActionBase, variables: Mapping[str, Any], home: str, **arguments: object) -> dict[str, Any]:
    """Call the module on the action's host, with the privileges that the connection has now."""
    answer: dict[str, Any] = action._execute_module(  # noqa: SLF001  # as Ansible's own actions do
        module_name=MODULE,
        module_args={"home": home, "user": action._get_remote_user() or "", **arguments},  # noqa: SLF001
        task_vars=variables,
        wrap_async=False,
    )
    return answer


class CellTuning:
    """Gives each cell the host that its request names, and the host its own settings back afterwards.

    With no tuning asked for and none on the host nothing is called.
    """

    def __init__(
        self, action: ActionBase, variables: Mapping[str, Any], home: str, host: Mapping[str, Any], have: object
    ) -> None:
        """Keep what the host is to be like between cells, and what it says that it is like."""
        self._action = action
        self._variables = variables
        self._home = home
        self._level = state_of(host.get("tuning", {}))
        self._have: dict[str, Any] | None = None
        self.told(have)

    def told(self, have: object) -> None:
        """Take over what the host says that it is like."""
        self._have = have if isinstance(have, dict) else {}

    def forget(self) -> None:
        """Take nothing for granted: a cell of an earlier play was running, so nobody could tune the host."""
        if self._level or self._have:
            self._have = None

    def prepare(self, request: Mapping[str, Any]) -> str:
        """Tune the host for a cell; return why that failed, or "".

        Raises:
            BusyError: It measures a cell, so it is left alone.
        """
        settings = request.get("host_profile", {})
        told, waits_for = self._become_like(state_of(settings), drop_caches(settings))
        if waits_for and not told:
            raise controller.errors.BusyError(f"the host could not be tuned: {waits_for} is being measured")
        return told

    def finish(self, *, ran: bool) -> str:
        """Give the host its own settings back; return why that failed, or ""."""
        return self._become_like(self._level, 0)[0] if ran or self._have else ""

    def _become_like(self, wanted: dict[str, Any], drop: int) -> tuple[str, str]:
        """Return why the host could not be tuned, and the cell that it is measuring; "" for neither."""
        if wanted == self._have and not drop:
            return "", ""
        with privileged.as_root(self._action, self._variables):
            answer = tune(self._action, self._variables, self._home, settings=wanted, drop_caches=drop)
        self._have = None if answer.get("failed") or answer.get("waits_for") else wanted
        told = f"the host could not be tuned: {answer['msg']}" if answer.get("failed") else ""
        return told, str(answer.get("waits_for") or "")
