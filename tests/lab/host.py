"""One host of a lab: run commands on it, break it, mend it."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.errors import ToolError
from tests.lab import cgroups, network, processes, records, supervisor
from tests.lab.machine import NETNS

_SIGNAL_REBOOT = 5  # SIGRTMIN+5 asks systemd for reboot.target
_BOOT_SECONDS = 60.0
_SSH_FAILED = 255


@dataclass(frozen=True, slots=True)
class Host:
    """A Debian host with its own root file system, address, systemd and sshd."""

    lab_id: str
    name: str
    index: int
    folder: Path  # on the machine: overlay, console log, records

    @property
    def address(self) -> str:
        """IPv4 address in the lab's network."""
        return network.address(self.index)

    @property
    def root(self) -> Path:
        """The host's root file system as the machine sees it; what is mounted inside the host is not there."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """What the host's PID 1 wrote, boot by boot."""
        return self.folder / "console.log"

    # Commands ---------------------------------------------------------------------------------------------------------

    def ssh_argv(self, command: str | Sequence[str], *, user: str = "root", terminal: bool = False) -> list[str]:
        """Return the argv that runs a command here, over OpenSSH from the lab's network.

        Args:
            command: Words that arrive exactly so, or a line for the host's shell.
            user: Account on the host.
            terminal: Ask for one.
        """
        line = command if isinstance(command, str) else shlex.join(command)
        config = records.ssh_folder(self.lab_id) / "config"
        argv = [*enter_argv(self.lab_id), "ssh", "-F", str(config), "-l", user]
        return [*argv, *(["-t"] if terminal else []), self.address, *([line] if line else [])]

    def exec(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        check: bool = True,
        input: str | None = None,  # noqa: A002  # named as in subprocess.run
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host and wait for it.

        Args:
            command: Words that arrive exactly so, or a line for the host's shell.
            user: Account on the host: root or ops.
            check: Raise when it fails.
            input: What it reads.
            timeout: Seconds.

        Raises:
            ToolError: It failed (with `check`) or took too long; holds all that it wrote.
        """
        try:
            done = subprocess.run(
                self.ssh_argv(command, user=user),
                input=input or "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{self.name}: `{command}` did not end within {timeout:g} s") from error
        if check and done.returncode != 0:
            why = "ssh did not reach it" if done.returncode == _SSH_FAILED else f"exit code {done.returncode}"
            raise ToolError(f"{self.name}: `{command}` failed, {why}:\n{done.stdout}{done.stderr}")
        return done

    def read(self, path: str) -> str:
        """Return the text of a file of the host."""
        return self.exec(["cat", path]).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of the host as root; its folder must exist."""
        self.exec(f"cat > {shlex.quote(path)}", input=text)

    def boot_id(self) -> str:
        """Return the kernel's boot_id as the host sees it; nspawn gives each boot its own."""
        return self.read("/proc/sys/kernel/random/boot_id").strip()

    # State ------------------------------------------------------------------------------------------------------------

    def pid1(self) -> int | None:
        """Return the host's PID 1 as the machine counts it; None while it is off."""
        return processes.pid1(self.folder)

    def state(self) -> str:
        """Return up, booting, frozen, cut or off; what is frozen and cut is frozen."""
        pid = self.pid1()
        if pid is None:
            return "off"
        if cgroups.is_frozen(pid):
            return "frozen"
        if network.port(self.index) in network.cut_ports(self.lab_id):
            return "cut"
        return "up" if network.answering(self.lab_id, {self.name: self.address}, 1) else "booting"

    def wait(self, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until sshd answers.

        Raises:
            ToolError: It does not; names the console log.
        """
        if not network.answering(self.lab_id, {self.name: self.address}, seconds):
            raise ToolError(f"{self.name} does not answer ssh within {seconds:g} s", hint=f"see {self.console}")

    def _need_pid1(self, verb: str) -> int:
        pid = self.pid1()
        if pid is None:
            raise ToolError(f"cannot {verb} {self.name}: it is off", hint=f"`reboot {self.name}` starts it again")
        return pid

    def forget_masters(self) -> None:
        """End the shared ssh connections: the next command must not wait for a peer that is gone."""
        folder = records.ssh_folder(self.lab_id) / "masters"
        config = records.ssh_folder(self.lab_id) / "config"
        for path in folder.glob(f"{self.address}-*"):
            user = path.name.rpartition("-")[2]
            argv = ["ssh", "-F", str(config), "-l", user, "-O", "exit", self.address]
            subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
            path.unlink(missing_ok=True)

    # Faults -----------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Take its power away: all processes die at once and the address is silent. `reboot` starts it again."""
        network.set_cable(self.lab_id, self.index, up=False)
        supervisor.power_off(self.folder, [self.folder])
        self.forget_masters()

    def cut(self) -> None:
        """Pull its network cable: it goes on running, and nobody reaches it."""
        network.set_cable(self.lab_id, self.index, up=False)

    def heal(self) -> None:
        """Plug the cable in again."""
        network.set_cable(self.lab_id, self.index, up=True)

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing answers."""
        cgroups.freeze(self._need_pid1("freeze"))

    def thaw(self) -> None:
        """Let a frozen host go on."""
        cgroups.thaw(self._need_pid1("thaw"))

    def reboot(self, *, wait: bool = True) -> None:
        """Reboot it in an orderly way, or start it again when it is off; its files stay.

        Args:
            wait: Return when sshd answers again.

        Raises:
            ToolError: It is frozen, or does not come back.
        """
        pid = self.pid1()
        if pid is None:
            self.heal()
            above = [Path(name) for name in records.read_lab(self.lab_id).cgroups]
            supervisor.start(self.lab_id, self.name, self.folder, above)
        else:
            if cgroups.is_frozen(pid):
                raise ToolError(f"cannot reboot {self.name}: it is frozen", hint=f"`thaw {self.name}` first")
            supervisor.signal_systemd(pid, _SIGNAL_REBOOT)
            if not processes.wait_until(lambda: self.pid1() != pid, _BOOT_SECONDS):
                raise ToolError(f"{self.name} does not shut down", hint=f"see {self.console}")
        self.forget_masters()
        if wait:
            self.wait()


def enter_argv(lab_id: str) -> list[str]:
    """Return the start of an argv that runs in the lab's network.

    Raises:
        ToolError: It is missing; then nothing may run, because the machine's own network would carry it elsewhere.
    """
    path = NETNS / network.switch(lab_id)
    if not path.exists():
        raise ToolError(f"the lab '{lab_id}' has no network: {path} is missing", hint="python -m tests.lab down")
    return ["nsenter", f"--net={path}", "--"]


def wait_for_all(lab_id: str, hosts: Sequence[Host], seconds: float) -> float:
    """Wait until the sshd of all hosts answers and return the seconds that it took.

    Raises:
        ToolError: Some do not; names them and the console log of the first.
    """
    start = time.monotonic()
    ready = network.answering(lab_id, {host.name: host.address for host in hosts}, seconds)
    silent = [host for host in hosts if host.name not in ready]
    if silent:
        names = ", ".join(host.name for host in silent)
        raise ToolError(f"no ssh within {seconds:g} s on {names}", hint=f"see {silent[0].console}")
    return time.monotonic() - start
