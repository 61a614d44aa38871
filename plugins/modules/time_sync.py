"""Ansible module: the clock of a host, measured and, when asked to, kept by chrony."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: time_sync
short_description: Measure how far the clock of a host is off, and let chrony keep it
version_added: "0.1.0"
description:
  - Asks the time daemon that runs on the host (chronyd, systemd-timesyncd or ntpd) for the clock's offset, records it
    in C(<home>/state/time_sync.json) and judges it by a limit.
  - With O(manage) it installs, configures, enables and starts chrony. A host whose other time daemon is synchronised
    keeps that one; two are never run at once, and a package is never removed for it.
  - Keeps what was there before the first change in C(/var/lib/mlperf-ops/time_sync.json), for O(state=reverted).
  - A new measurement is no change of the host.
options:
  state:
    description:
      - V(applied) makes the host so. V(verified) changes nothing and fails unless it is so and the clock is right.
        V(reverted) puts back what was there before the first change.
    type: str
    choices: [applied, verified, reverted]
    default: applied
  home:
    description: mlperf_home of the host, absolute or starting with C(~).
    type: str
    required: true
  manage:
    description: Let chrony keep the clock. Needs root and systemd.
    type: bool
    default: false
  servers:
    description:
      - Servers for chrony to prefer, by name or address; with options of its C(server) line after a space. None leaves
        the sources of the distribution alone.
    type: list
    elements: str
    default: []
  allow:
    description: Networks that this host serves time to, such as 10.0.0.0/24.
    type: list
    elements: str
    default: []
  local_stratum:
    description: Stratum, 1 to 15, that this host serves its own clock with while it has no source. 0 serves none.
    type: int
    default: 0
  chronyd_options:
    description:
      - Further options of chronyd. C(-x) never touches the clock, for a container or a machine whose clock somebody
        else keeps.
    type: str
    default: ""
  offset_limit_ms:
    description: Largest offset in milliseconds. MLPerf's power client starts no phase of a run above 400.
    type: int
    default: 400
  required:
    description: Fail when the clock is not synchronised, or is off by more than the limit.
    type: bool
    default: false
  wait_seconds:
    description: How long to wait for the first synchronisation at most, when there is something to wait for.
    type: int
    default: 30
attributes:
  check_mode:
    description: Measures, and says what would be changed.
    support: full
  diff_mode:
    description: Shows each file, the package and the service before and after.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Let the host follow the lab's own server
  mlperf_ops.lab.time_sync:
    home: ~/mlperf
    manage: true
    servers: [10.77.1.14]
    required: true
"""

RETURN = r"""
measurement:
  description: What C(state/time_sync.json) holds.
  returned: success
  type: dict
  sample: {"daemon": "chronyd", "synchronised": true, "offset_ms": 0.012, "error_ms": 0.4, "source": "10.77.1.14"}
problem:
  description: What is wrong with the clock, empty when nothing is.
  returned: success
  type: str
notes:
  description: What was left as it is, and why.
  returned: success
  type: list
  elements: str
"""

# Ansible reads the documentation above as the head of the file.
import os  # noqa: E402
from datetime import datetime, timezone  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import (  # noqa: E402
    host_store,
    packages_accounts,
    packages_family,
    time_chrony,
    time_measure,
    time_record,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402

ARGUMENTS = {
    "state": {"type": "str", "default": "applied", "choices": ["applied", "verified", "reverted"]},
    "home": {"type": "str", "required": True},
    "manage": {"type": "bool", "default": False},
    "servers": {"type": "list", "elements": "str", "default": []},
    "allow": {"type": "list", "elements": "str", "default": []},
    "local_stratum": {"type": "int", "default": 0},
    "chronyd_options": {"type": "str", "default": ""},
    "offset_limit_ms": {"type": "int", "default": 400},
    "required": {"type": "bool", "default": False},
    "wait_seconds": {"type": "int", "default": 30},
}
_LOCK_SECONDS = 300
_INDEX_SECONDS = 120


class TimeSync:
    """One call of the module."""

    def __init__(self, params: dict[str, Any], *, check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self.notes: list[str] = []
        self.changes: list[Any] = []
        self.home = _expand(params["home"])
        self.wanted = time_chrony.Wanted(
            tuple(params["servers"]), tuple(params["allow"]), params["local_stratum"], params["chronyd_options"]
        )
        self.record = time_record.Record()

    def run(self) -> dict[str, Any]:
        """Do what the state asks for and measure."""
        state = self.params["state"]
        time_chrony.check(self.wanted)
        if state == "reverted":
            self._revert()
        elif self.params["manage"]:
            self._manage(verify=state == "verified")
        return self._measured()

    def _parts(self) -> tuple[time_chrony.Chrony, Any]:
        host = packages_family.distribution()
        manager = host.manager(_LOCK_SECONDS, _INDEX_SECONDS)
        if manager is None:
            raise HostError(
                f"nothing is known of chrony on distribution '{host.id or 'without os-release'}'",
                "install a time daemon yourself and set time_sync_manage: false for this host",
            )
        return time_chrony.Chrony(time_chrony.FAMILIES[host.family], self.wanted), manager

    def _manage(self, *, verify: bool) -> None:
        if self._other_daemon_keeps_the_clock():
            return
        chrony, manager = self._parts()
        self.changes = chrony.changes(manager, self.record)
        if not self.changes:
            return
        listed = ", ".join(change.what for change in self.changes)
        if verify:
            raise HostError(f"not as the inventory says: {listed}", "run the provision playbook")
        why_not = _why_not_manageable()
        if why_not:
            self.notes.append(f"left as it is, because {why_not}: {listed}")
            self.changes = []
        elif not self.check_mode:
            chrony.apply(manager, self.record)

    def _other_daemon_keeps_the_clock(self) -> bool:
        daemons = time_measure.running_daemons()
        if not daemons or daemons == [time_measure.CHRONY]:
            return False
        if len(daemons) > 1:
            raise HostError(
                f"{' and '.join(daemons)} fight over the clock of this host", "stop and disable all but one"
            )
        found = time_measure.measure()
        if not found.synchronised:
            raise HostError(
                f"{found.daemon} runs on this host and is not synchronised; chrony beside it would fight with it",
                f"give {found.daemon} a server, or remove its package so that chrony can take over",
            )
        unused = [
            f"time_sync_{name}"
            for name, value in self.wanted._asdict().items()
            if value and name in {"servers", "allow", "local_stratum"}
        ]
        told = f", so {' and '.join(unused)} of the inventory are not used" if unused else ""
        self.notes.append(f"{found.daemon} keeps the clock already{told}")
        return True

    def _revert(self) -> None:
        if not self.record.exists:
            return
        chrony, manager = self._parts()
        self.changes = chrony.planned_revert(self.record)
        if not self.check_mode:
            why_not = _why_not_manageable()
            if why_not:
                raise HostError(f"cannot put the clock service back, because {why_not}", "become root")
            self.notes += chrony.revert(manager, self.record)

    def _measured(self) -> dict[str, Any]:
        params = self.params
        required = params["state"] == "verified" or (params["required"] and params["state"] == "applied")
        waits = (params["manage"] or required) and params["state"] != "reverted" and not self.check_mode
        found = time_measure.measure_when_synchronised(params["wait_seconds"] if waits else 0)
        problem = time_measure.judge(found, params["offset_limit_ms"])
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        told = {
            "schema": 1,
            **found.as_dict(),
            "offset_limit_ms": params["offset_limit_ms"],
            "problem": problem,
            "measured_at": now,
        }
        if not self.check_mode and params["state"] != "reverted":
            self._write(told)
        changed = bool(self.changes)
        if problem and required and not (self.check_mode and changed):
            raise HostError(problem, "see 'chronyc sources' on the host; time_sync_servers names servers")
        message = problem or f"{found.daemon} follows {found.source}, the clock is off by {found.offset_ms:g} ms"
        return {
            "changed": changed,
            "msg": "; ".join([message, *self.notes]),
            "measurement": told,
            "problem": problem,
            "notes": self.notes,
            "diff": [
                {
                    "before_header": one.what,
                    "after_header": one.what,
                    "before": _lines(one.before),
                    "after": _lines(one.after),
                }
                for one in self.changes
            ],
        }

    def _write(self, told: dict[str, Any]) -> None:
        """Write state/time_sync.json; folders that are made belong to whom the home belongs to."""
        folder = self.home / "state"
        try:
            for made in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
                made.mkdir()
                if os.geteuid() == 0:
                    account = packages_accounts.login()
                    os.chown(made, account.pw_uid, account.pw_gid)
            host_store.write_atomic(folder / "time_sync.json", host_store.pretty_json(told))
        except OSError as error:
            self.notes.append(f"{folder / 'time_sync.json'} was not written: {error.strerror}")


def _expand(text: str) -> Path:
    """Return an absolute path; `~` is the home of the account that logged in, also when it became root."""
    if text == "~" or text.startswith("~/"):
        text = packages_accounts.login().pw_dir + text[1:]
    return host_store.expand(text)


def _why_not_manageable() -> str:
    if os.geteuid() != 0:
        return "this needs root (mlperf_become: true)"
    return "" if time_chrony.has_systemd() else "systemd does not run this host"


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def main() -> None:
    """Apply, verify or revert, and measure."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        answer = TimeSync(module.params, check_mode=module.check_mode).run()
    except (HostError, TimeoutError) as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(**answer)


if __name__ == "__main__":
    main()
