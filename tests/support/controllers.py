"""Controllers of lab hosts: each with its inventory, known_hosts and results, and plays of the checkout from there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mlperf_ops.files import Json, JsonObject, read_json
from tests.lab import Host, Lab, egress
from tests.lab.host import enter_argv
from tests.support.playbooks import CHECKOUT, Played, Running, command, environ, start

_VARIABLES: JsonObject = {
    "ansible_user": "ops",
    "mlperf_round": "v6.1",
    "mlperf_division": "open",
    "mlperf_submitter": "example",
    "mlperf_system_type": "edge",
    "mlperf_home": "~/mlperf",
    "mlperf_run_style": "test",
    "mlperf_test_query_count": 10,
    "mlperf_tuning_profile": "generic-linux",
    "time_sync_manage": True,
    "time_sync_local_stratum": 10,
    "time_sync_chronyd_options": "-x",  # the hosts share one clock
    "lab_preflight_timeout_seconds": 10,
    "ansible_ssh_retries": 0,  # each further try to reach a host that is gone takes half a minute
}
_CELLS: JsonObject = {
    "benchmark": "efficientnet-lite0",
    "scenarios": ["Offline"],
    "backend": {"allow_spinning": False},
}


class Controller:
    """An inventory folder, whose name is the run id, known_hosts, and the results below a folder."""

    def __init__(self, lab: Lab, folder: Path, hosts: Sequence[Host], run_id: str, **changes: Json) -> None:
        self.lab = lab
        self.folder = folder
        self.inventory = folder / run_id
        self.run = folder / "results" / run_id
        self.known_hosts = folder / "known_hosts"
        self._plays = 0
        self.inventory.mkdir(parents=True)
        self.known_hosts.write_text(lab.known_hosts.read_text())
        reached: dict[str, Any] = yaml.safe_load((lab.inventory / "hosts.yml").read_text())["all"]["vars"]
        arguments = str(reached["ansible_ssh_common_args"]).replace(str(lab.known_hosts), str(self.known_hosts))
        variables = {**reached, **_VARIABLES, "mlperf_benchmarks": [_CELLS], **changes}
        # A socket's path has at most 107 characters, and pytest's folders are deep.
        masters = tempfile.mkdtemp(prefix="masters-", dir=lab.folder)
        variables |= {"ansible_ssh_common_args": arguments, "ansible_control_path_dir": masters}
        members = {host.name: {"ansible_host": host.address} for host in hosts}
        tree = {"all": {"vars": variables, "children": {"sut": {"hosts": members}}}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(tree))

    def start(self, playbook: str = "run-inference.yml", *arguments: str) -> Running:
        """Start a play, as a user would on the controller."""
        self._plays += 1
        log = self.folder / f"play_{self._plays}.log"
        addresses = [host.address for host in self.lab.hosts]
        argv = [*enter_argv(self.lab.id), *command(str(CHECKOUT / playbook), self.inventory, *arguments)]
        return start(argv, self.folder, environ(**egress.controller_environment(self.lab.id, addresses)), log)

    def play(self, playbook: str = "run-inference.yml", *arguments: str) -> Played:
        """Run a play to its end."""
        return self.start(playbook, *arguments).end()

    def systems(self) -> set[str]:
        """Return the systems in the checked tree."""
        checked: Any = read_json(self.run / "report" / "checks.json")
        assert checked["verdict"] == "demonstration", checked["findings"]
        return {result["location"].split("/")[3] for result in checked["results"]}
