"""A lab: up, one more host, down; and commands in its network."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from mlperf_ops.errors import BusyError, ConfigError, ToolError, unknown_name
from mlperf_ops.files import Json
from mlperf_ops.runlock import current_owner
from tests.lab import base, cgroups, egress, machine, making, network, records, sources, supervisor, sweep
from tests.lab.host import Host, enter_argv, wait_for_all
from tests.lab.machine import CHECKOUT
from tests.lab.records import HostRecord, LabRecord

PUBLISHED = CHECKOUT / ".lab"  # where inventory/lab finds key and known_hosts

_START_SECONDS = 60.0
_SECONDS_PER_HOST = 2.0
_RUN_SECONDS = 600.0


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A switch with a proxy and some hosts. Use it as a context manager, or call `down`."""

    id: str

    @classmethod
    def up(
        cls,
        hosts: int | Sequence[str] = 0,
        *,
        lab_id: str | None = None,
        hardware: str | Mapping[str, str] | None = None,
        uplink: bool = False,
        stays: bool = False,
        allow: Sequence[str] = (),
        rebuild: bool = False,
        say: Callable[[str], None] = _quiet,
    ) -> Lab:
        """Start a lab and wait until all its hosts answer ssh. Labs whose owner died are removed first.

        Args:
            hosts: How many (h1, h2, …), or their names.
            lab_id: Its name; None takes a free one.
            hardware: View of all hosts, or by host name.
            uplink: Make the hosts reachable from the machine's own network namespace.
            stays: It outlives this process; otherwise the next `up` removes it when this process has died.
            allow: Targets ("host" or "host:port") that hosts may reach beside the package sources.
            rebuild: Build the base again.
            say: Told about slow steps.

        Raises:
            ConfigError: This machine cannot carry a lab, or an argument is wrong.
            BusyError: There is a lab of this id.
            ToolError: A step failed; what was made of the lab is gone again.
        """
        machine.need()
        names = records.check_names([f"h{i + 1}" for i in range(hosts)] if isinstance(hosts, int) else hosts)
        lab = cls(records.check_id(lab_id or f"t{secrets.token_hex(3)}"))
        views = _views(hardware, names)
        allowed = sources.allowed(tuple(allow))
        for swept in sweep.sweep():
            say(f"removed the lab '{swept}', whose owner died")
        others = {name: record.base for name, record in records.find_labs().items()}
        if rebuild and others:
            raise BusyError(f"the base cannot be built again under the hosts of {', '.join(others)}", hint="down first")
        root = base.prepare(say, rebuild=rebuild)
        above = tuple(str(path) for path in cgroups.parents())
        record = LabRecord(lab.id, str(root), current_owner(), above, uplink)
        with machine.locked("labs"):
            records.create(record)
            base.collect_garbage({str(root), *others.values()})
            machine.change_settings()
        try:
            network.make_switch(lab.id)
            egress.start(lab.id, allowed)
            making.write_skeleton(lab.id)
            lab._add([(name, views.get(name)) for name in names])
            if uplink:
                network.make_uplink(lab.id)
            if stays:
                records.write_lab(replace(record, owner=None))
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def attach(cls, lab_id: str) -> Lab:
        """Return a lab that is up.

        Raises:
            ConfigError: There is none of this id.
        """
        return cls(records.read_lab(lab_id).id)

    def __enter__(self) -> Lab:  # noqa: PYI034  # typing has no Self before Python 3.11
        """Return the lab itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it down."""
        self.down()

    def down(self) -> bool:
        """Remove all of it and say whether there was anything; a second call is no error."""
        return sweep.down(self.id)

    # What it has ------------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Folder of the lab on the machine: hosts, keys, logs, inventory."""
        return records.folder_of(self.id)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order in which they were made."""
        return tuple(self._host(record) for record in records.read_hosts(self.id))

    @property
    def inventory(self) -> Path:
        """Folder with hosts.yml; hosts named services… are in the group services, all others in sut."""
        return self.folder / "inventory"

    @property
    def key(self) -> Path:
        """Private key that every host accepts for root and ops."""
        return records.ssh_folder(self.id) / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Host keys of all hosts."""
        return records.ssh_folder(self.id) / "known_hosts"

    def _host(self, record: HostRecord) -> Host:
        return Host(self.id, record.name, record.index, self.folder / "hosts" / record.name)

    def host(self, name: str) -> Host:
        """Return one host.

        Raises:
            ConfigError: There is none of this name; names the nearest.
        """
        found = {host.name: host for host in self.hosts}
        if name not in found:
            raise unknown_name("host", name, found)
        return found[name]

    # Hosts ------------------------------------------------------------------------------------------------------------

    def fresh(self, hardware: str | None = None, name: str | None = None) -> Host:
        """Start one more virgin host and wait until it answers ssh.

        Args:
            hardware: View of its hardware; None shows the machine's own.
            name: Its name; None counts on.
        """
        return self.add([(name, hardware)])[0]

    def add(self, wanted: Sequence[tuple[str | None, str | None]]) -> tuple[Host, ...]:
        """Start several virgin hosts at once, each given by name and hardware as in `fresh`."""
        for _, hardware in wanted:
            if hardware is not None:
                making.check_view(hardware)
        return self._add(wanted)

    def _add(self, wanted: Sequence[tuple[str | None, str | None]]) -> tuple[Host, ...]:
        lab = records.read_lab(self.id)
        above = [Path(name) for name in lab.cgroups]
        made: list[HostRecord] = []
        with machine.locked("hosts", self.folder):
            taken = {host.name for host in self.hosts}
            for name, hardware in wanted:
                index = records.next_index(self.id)
                chosen = records.check_names([name or f"h{index}"])[0]
                if chosen in taken:
                    raise ConfigError(f"the lab '{self.id}' has a host {chosen} already")
                taken.add(chosen)
                made.append(making.make_host(self.id, Path(lab.base), chosen, index, hardware))
            making.write_names(self.id, made)
            records.write_ssh_files(self.id)
            records.write_inventory(self.id)
            network.connect(self.id, [(host.name, host.index) for host in made])
        hosts = tuple(self._host(record) for record in made)
        for host in hosts:
            supervisor.start(self.id, host.name, host.folder, above)
        wait_for_all(self.id, hosts, _START_SECONDS + _SECONDS_PER_HOST * len(hosts))
        return hosts

    def remove(self, host: Host) -> None:
        """Remove one host and all that belongs to it."""
        record = next((one for one in records.read_hosts(self.id) if one.name == host.name), None)
        if record is None:
            return
        host.forget_masters()
        sweep.remove_host(self.id, record)
        with machine.locked("hosts", self.folder):
            records.write_ssh_files(self.id)
            records.write_inventory(self.id)

    # Commands and package sources -------------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        timeout: float = _RUN_SECONDS,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine, in the lab's network: what a controller would do.

        Args:
            argv: The command.
            check: Raise when it fails.
            env: Variables to set in addition to the caller's and those of the proxy.
            timeout: Seconds.
            cwd: Where it runs.

        Raises:
            ToolError: It failed (with `check`) or took too long; holds the end of what it wrote.
        """
        variables = egress.controller_environment(self.id, [host.address for host in self.hosts])
        done = machine.run(
            [*enter_argv(self.id), *argv], check=False, env={**variables, **(env or {})}, timeout=timeout, cwd=cwd
        )
        if check and done.returncode != 0:
            raise ToolError(f"{argv[0]} failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def playbook(
        self,
        *args: str,
        check: bool = True,
        extra_vars: Mapping[str, Json] | None = None,
        inventory: Path | None = None,
        user: str = "root",
        cwd: Path | None = None,
        timeout: float = _RUN_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the checkout on the hosts.

        Args:
            args: Arguments of ansible-playbook; a path that exists in the checkout means that one.
            check: Raise when it fails.
            extra_vars: For -e.
            inventory: Another one than the lab's.
            user: Account on the hosts: root, or ops with sudo.
            cwd: Where it runs and results/ appears; None is a folder of the lab.
            timeout: Seconds.
        """
        place = cwd or self.folder / "controller"
        place.mkdir(exist_ok=True)
        found = [str(CHECKOUT / arg) if not arg.startswith("-") and (CHECKOUT / arg).is_file() else arg for arg in args]
        variables: dict[str, Json] = {"ansible_user": user, **(extra_vars or {})}
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), *found]
        argv += ["-i", str(inventory or self.inventory), "-e", json.dumps(variables)]
        env = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
        return self.run(argv, check=check, env=env, cwd=place, timeout=timeout)

    def outage(self, *, hang: bool = False) -> AbstractContextManager[None]:
        """Let no host reach any package source for a while: answered with 503, or not at all with `hang`."""
        return egress.outage(self.id, hang=hang)

    def requests(self, host: Host) -> list[str]:
        """Return what a host asked the proxy for, in order, each with what became of it: "hit http://…"."""
        return egress.requests(self.id, host.address)


def _views(hardware: str | Mapping[str, str] | None, names: Sequence[str]) -> dict[str, str]:
    if hardware is None:
        return {}
    views = dict.fromkeys(names, hardware) if isinstance(hardware, str) else dict(hardware)
    for name, view in views.items():
        if name not in names:
            raise unknown_name("host", name, names, where="--hardware")
        making.check_view(view)
    return views
