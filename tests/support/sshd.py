"""A real sshd on this machine, on a port and with keys of its own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.files import Json, JsonObject

PROGRAM = shutil.which("sshd", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
_PRIVILEGE_SEPARATION = Path("/run/sshd")


def why_not() -> str:
    """Say why there can be no sshd here; "" when there can be one."""
    if PROGRAM is None:
        return "there is no sshd on this machine (install openssh-server)"
    return ""


@contextmanager
def _privilege_separation() -> Iterator[None]:
    """Have the folder that an sshd of root wants, and that its service makes where it was ever started."""
    made = os.getuid() == 0 and not _PRIVILEGE_SEPARATION.is_dir()
    if made:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            _PRIVILEGE_SEPARATION.rmdir()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as stream:
        stream.bind(("127.0.0.1", 0))
        port: int = stream.getsockname()[1]
        return port


def keygen(path: Path, *, passphrase: str = "") -> Path:
    """Make an ed25519 key."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


@dataclass(slots=True)
class Sshd:
    """A running sshd, the key that opens it and the known_hosts that knows it."""

    folder: Path
    port: int
    key: Path
    known_hosts: Path
    user: str
    process: subprocess.Popen[bytes] | None = field(default=None)

    def access(self, **changes: Json) -> JsonObject:
        """Return the fields of `mlperf_ops.doctor.model.Access` that reach it."""
        options = f"-F none -o UserKnownHostsFile={self.known_hosts} -o GlobalKnownHostsFile=none -o IdentityAgent=none"
        base: JsonObject = {
            "connection": "ssh",
            "address": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key_file": str(self.key),
            "arguments": [*options.split(), "-o", "IdentitiesOnly=yes"],
        }
        return {**base, **changes}

    def variables(self) -> JsonObject:
        """Return the variables of an inventory that reach it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": self.user,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes",
        }

    def know(self, host_key: Path) -> None:
        """Write known_hosts with a host key of which only we say that it is this sshd's."""
        public = " ".join(Path(f"{host_key}.pub").read_text().split()[:2])
        self.known_hosts.write_text(f"# a comment first\n[127.0.0.1]:{self.port} {public}\n")


@contextmanager
def running(folder: Path, **options: str) -> Iterator[Sshd]:
    """Run an sshd that lets the current user in.

    Args:
        folder: For its files.
        options: Further options of sshd_config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host_key, key = keygen(folder / "host_key"), keygen(folder / "id_ed25519")
    (folder / "authorized_keys").write_text((folder / "id_ed25519.pub").read_text())
    one = Sshd(folder, free_port(), key, folder / "known_hosts", pwd.getpwuid(os.getuid()).pw_name or getpass.getuser())
    one.know(host_key)
    config = {
        "Port": str(one.port),
        "ListenAddress": "127.0.0.1",
        "HostKey": str(host_key),
        "PidFile": "none",
        "AuthorizedKeysFile": str(folder / "authorized_keys"),
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "yes",
        "UseDNS": "no",
        **options,
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    with _privilege_separation(), (folder / "sshd.log").open("wb") as log:
        one.process = subprocess.Popen(
            [str(PROGRAM), "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
        )
        try:
            _wait(one)
            yield one
        finally:
            one.process.kill()
            one.process.wait()


def _wait(one: Sshd) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert one.process is not None
        assert one.process.poll() is None, (one.folder / "sshd.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", one.port), timeout=1) as stream:
                if stream.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError((one.folder / "sshd.log").read_text())
