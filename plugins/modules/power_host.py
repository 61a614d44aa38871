"""Ansible module: what a host needs to take part in a power measurement, as director or as SUT."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: power_host
short_description: Give a power director or a measured SUT what MLPerf's power measurement needs
version_added: "0.3.0"
description:
  - On a director, power-dev, PTDaemon, a configuration for each server, a systemd template and udev rules; on a SUT
    power-dev's client below mlperf_home. Nothing is started, and nothing starts at boot.
  - Judges the clock without ntpdate, by the time daemon and by the time server's own answer.
  - Usually called through the action of the same name, which transfers only what this module says is missing.
options:
  part:
    description: What the host is.
    type: str
    choices: [director, sut]
    required: true
  state:
    description:
      - V(applied) makes the host so. V(verified) changes nothing and fails unless it is so and can measure.
        V(reverted) puts back what was there before the first change.
    type: str
    choices: [applied, verified, reverted]
    default: applied
  results:
    description: Results folder of the run, on the controller. Read by the action only.
    type: str
    default: ""
  checkout:
    description: power-dev on the controller, or the URL of a repository. Read by the action only.
    type: str
    default: ""
  mirror:
    description: Mirror that may hold power-dev. Read by the action only.
    type: str
    default: ""
  cache:
    description: Folder on the controller for fetched checkouts. Read by the action only.
    type: str
    default: ""
  ptdaemon:
    description: Path of PTDaemon. Read by the action only.
    type: str
    default: ""
  ptdaemon_on:
    description: Where O(ptdaemon) is. Read by the action only.
    type: str
    choices: [controller, director]
    default: controller
  ptdaemon_sha256:
    description: Digest of PTDaemon.
    type: str
    default: ""
  folder:
    description: Folder of a director for power-dev and PTDaemon.
    type: str
    default: /opt/mlperf-power
  home:
    description: mlperf_home of a SUT, absolute or starting with C(~).
    type: str
    default: ""
  python:
    description: Python 3.7 to 3.12 on the host. Empty looks for one.
    type: str
    default: ""
  listen_address:
    description: Address that a director's servers listen on. Read by the action only.
    type: str
    default: 0.0.0.0
  allow:
    description: Networks that may talk to a director's servers; empty allows all.
    type: list
    elements: str
    default: []
  usb_vendors:
    description: USB vendors of the analyzers, for udev rules.
    type: list
    elements: str
    default: []
  ntp_server:
    description: Time server that power-dev asks.
    type: str
    default: ""
  clock_limit_ms:
    description: Largest offset of the clock in milliseconds.
    type: int
    default: 100
  self_test:
    description: With O(state=verified), start each server once, until its analyzer has answered.
    type: bool
    default: false
  software_sha256:
    description: Digest of power-dev's files. Given by the action.
    type: str
    default: ""
  commit:
    description: Commit of power-dev. Given by the action.
    type: str
    default: ""
  ptd_path:
    description: PTDaemon on the director, where it is not brought. Given by the action.
    type: str
    default: ""
  configurations:
    description: Text of each server's configuration. Given by the action.
    type: dict
    default: {}
  ports:
    description: Ports of each server. Given by the action.
    type: dict
    default: {}
  measured:
    description: How the SUT is measured, as the plan says. Given by the action.
    type: dict
    default: {}
  server:
    description: Address and port of the director's server, for a SUT. Given by the action.
    type: dict
    default: {}
  staged:
    description: Archives that the action has brought to the host. Given by the action.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Names what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows each file before and after, and what would be brought.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Give the director what it needs
  mlperf_ops.lab.power_host:
    part: director
    ptdaemon: ~/ptd/ptd-linux-x86
    ptdaemon_sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    ntp_server: 10.77.1.14
"""

RETURN = r"""
missing:
  description: What has to be brought to the host.
  returned: success
  type: list
  elements: str
  sample: [software, ptd]
python:
  description: The interpreter that power-dev runs with.
  returned: success, unless reverted
  type: str
  sample: /usr/bin/python3.11
firewall:
  description: Ports of a director, who may reach them, and why, for whoever keeps its firewall.
  returned: success, by the action
  type: list
  elements: dict
  sample: [{"port": 8888, "protocol": "tcp", "peers": ["localhost"], "why": "PTDaemon of wt310; nobody else"}]
tried:
  description: Servers that were started and were ready.
  returned: with self_test
  type: list
  elements: str
"""

# Ansible reads the documentation above as the head of the file.
import shutil  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import (  # noqa: E402
    host_store,
    power_director,
    power_software,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_record import Change  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.time_record import Record, text_of  # noqa: E402

ARGUMENTS = {
    "part": {"type": "str", "choices": ["director", "sut"], "required": True},
    "state": {"type": "str", "default": "applied", "choices": ["applied", "verified", "reverted"]},
    "results": {"type": "str", "default": ""},
    "checkout": {"type": "str", "default": ""},
    "mirror": {"type": "str", "default": ""},
    "cache": {"type": "str", "default": ""},
    "ptdaemon": {"type": "str", "default": ""},
    "ptdaemon_on": {"type": "str", "default": "controller", "choices": ["controller", "director"]},
    "ptdaemon_sha256": {"type": "str", "default": ""},
    "folder": {"type": "str", "default": "/opt/mlperf-power"},
    "home": {"type": "str", "default": ""},
    "python": {"type": "str", "default": ""},
    "listen_address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104  # SUTs are other hosts
    "allow": {"type": "list", "elements": "str", "default": []},
    "usb_vendors": {"type": "list", "elements": "str", "default": []},
    "ntp_server": {"type": "str", "default": ""},
    "clock_limit_ms": {"type": "int", "default": 100},
    "self_test": {"type": "bool", "default": False},
    "software_sha256": {"type": "str", "default": ""},
    "commit": {"type": "str", "default": ""},
    "ptd_path": {"type": "str", "default": ""},
    "configurations": {"type": "dict", "default": {}},
    "ports": {"type": "dict", "default": {}},
    "measured": {"type": "dict", "default": {}},
    "server": {"type": "dict", "default": {}},
    "staged": {"type": "dict", "default": {}},
}
_RUN_PROVISION = "run the provisioning again: playbooks/power.yml"


class DirectorPart:
    """A call for a director."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.record = Record(power_director.RECORD)

    def run(self) -> dict[str, Any]:
        """Do what the state asks for."""
        why_not = power_director.why_not_manageable()
        if why_not:
            raise HostError(f"a power director cannot be set up, because {why_not}", "become root")
        if self.params["state"] == "reverted":
            changes = power_director.planned_revert(self.record) if self.record.exists else []
            if self.record.exists and not self.module.check_mode:
                power_director.revert(self.record)
            return _told(changes, [])
        python = power_software.find_python(self.params["python"], "power_director_python", for_others=True)
        director = power_director.Director(self._wanted(), python, self.record)
        missing = director.missing()
        changes = director.changes(missing)
        if self.params["state"] == "verified":
            return {**self._verified(director, changes), "python": python.path}
        brought = set(missing) <= set(self.params["staged"])
        if changes and brought and not self.module.check_mode:
            director.apply(self.params["staged"], missing)
        if brought and not self.module.check_mode:
            _require_clock(self.params)
        return {**_told(changes, missing), "python": python.path}

    def _wanted(self) -> power_director.Wanted:
        params = self.params
        return power_director.Wanted(
            Path(params["folder"]),
            params["software_sha256"],
            params["ptdaemon_sha256"],
            params["ptd_path"],
            {name: str(text) for name, text in params["configurations"].items()},
            {name: [int(one) for one in ports] for name, ports in params["ports"].items()},
            params["usb_vendors"],
            params["allow"],
        )

    def _verified(self, director: power_director.Director, changes: list[Change]) -> dict[str, Any]:
        _require_same(changes)
        problems = director.problems()
        if problems:
            raise HostError("; ".join(problems))
        _require_clock(self.params)
        tried: list[str] = []
        if self.params["self_test"] and not self.module.check_mode:
            active = power_director.running()
            if active:
                raise HostError(f"{active[0]} runs, so no server can be tried", "wait until it has ended")
            for instance in director.wanted.configurations:
                problem = director.try_server(instance)
                if problem:
                    raise HostError(f"server {instance} was tried: {problem}", "see 'journalctl -u' of it on the host")
                tried.append(instance)
        return {**_told([], []), "tried": tried}


class SutPart:
    """A call for a SUT: all of it lies below mlperf_home."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.home = host_store.expand(module.params["home"])
        self.state_file = self.home / "state" / "power.json"
        self.store = self.home / "store" / "power-dev"

    def run(self) -> dict[str, Any]:
        """Do what the state asks for."""
        if self.params["state"] == "reverted":
            return self._revert()
        python = power_software.find_python(self.params["python"], "power_sut_python", for_others=False)
        folder = self.store / self.params["software_sha256"][:12]
        whole = power_software.is_whole(folder, self.params["software_sha256"])
        missing = [] if whole else ["software"]
        text = host_store.pretty_json(
            {
                "schema": 1,
                "python": {"path": python.path, "version": python.version},
                "software": {
                    "path": str(folder),
                    "sha256": self.params["software_sha256"],
                    "commit": self.params["commit"],
                },
                "ntp_server": self.params["ntp_server"],
                "clock_limit_ms": self.params["clock_limit_ms"],
                "measured": self.params["measured"],
                "server": self.params["server"],
            }
        )
        changes = [] if whole else [Change(f"power-dev in {folder}", "absent", "present")]
        now = text_of(self.state_file)
        if now != text:
            changes.append(Change(str(self.state_file), now or "", text))
        if self.params["state"] == "verified":
            _require_same(changes)
            told = power_software.start_problem(python, folder, "client.py")
            if told:
                raise HostError(f"power-dev's client does not start: {told}")
            _require_clock(self.params)
            return {**_told([], []), "python": python.path}
        if set(missing) <= set(self.params["staged"]) and not self.module.check_mode:
            if missing:
                host_store.require_usable(self.home, 1 << 20)
                host_store.install(Path(self.params["staged"]["software"]), folder, "", self.params["software_sha256"])
            host_store.write_atomic(self.state_file, text)
            _require_clock(self.params)
        return {**_told(changes, missing), "python": python.path}

    def _revert(self) -> dict[str, Any]:
        there = [path for path in (self.state_file, self.store) if path.exists()]
        if not self.module.check_mode:
            for path in there:
                shutil.rmtree(str(path)) if path.is_dir() else path.unlink()
        return _told([Change(str(path), "present", "absent") for path in there], [])


def _require_same(changes: list[Change]) -> None:
    if changes:
        listed = ", ".join(change.what for change in changes)
        raise HostError(f"not as the inventory says: {listed}", _RUN_PROVISION)


def _require_clock(params: dict[str, Any]) -> None:
    problem = power_software.clock_problem(params["ntp_server"], params["clock_limit_ms"])
    if problem:
        raise HostError(
            f"{problem}; MLPerf's power measurement starts no phase above 400 ms",
            "let role time_sync keep the clock (time_sync_manage, time_sync_servers), and the time server serve this "
            "network (time_sync_allow)",
        )


def _told(changes: list[Change], missing: list[str]) -> dict[str, Any]:
    return {
        "changed": bool(changes),
        "missing": missing,
        "msg": f"{len(changes)} changes" if changes else "as it should be",
        "diff": [
            {
                "before_header": one.what,
                "after_header": one.what,
                "before": _lines(one.before),
                "after": _lines(one.after),
            }
            for one in changes
        ],
    }


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def main() -> None:
    """Do what the state asks for."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        part = DirectorPart(module) if module.params["part"] == "director" else SutPart(module)
        answer = part.run()
    except (HostError, TimeoutError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'this host'}: {error.strerror or error}")
    else:
        module.exit_json(**answer)


if __name__ == "__main__":
    main()
