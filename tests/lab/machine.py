"""The machine that carries the lab: its tools, its folders, and the few of its settings that a lab changes."""

from __future__ import annotations

import ctypes.util
import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import Json, read_json, write_json

CHECKOUT = Path(__file__).resolve().parents[2]
HOME_VARIABLE = "MLPERF_OPS_LAB_DIR"
PREFIX = "mlops"  # of every namespace, cgroup and interface of every lab
NETNS = Path("/run/netns")

# Executable -> package of Debian and Ubuntu.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "fusermount3": "fuse3",
}
_LIBFUSE = "libfuse2"  # a library, so no executable tells whether it is there

# A host needs about 4 inotify instances of root; the kernel's default of 128 is used up by some 30 hosts, and the
# systemd of the next one hangs in "initializing".
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_NEEDED = 8192

_LAST_LINES = 3


def home() -> Path:
    """Return the folder of all labs of this machine; `MLPERF_OPS_LAB_DIR` names another."""
    return Path(os.environ.get(HOME_VARIABLE) or "/var/lib/mlperf-ops/lab").absolute()


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal.

    Args:
        argv: The command.
        stdin: What it reads; None is an empty input.
        check: Raise when it fails.
        timeout: Seconds.
        env: The whole environment; None is the caller's.
        cwd: Where it runs.

    Raises:
        ToolError: It cannot start, took too long or (with `check`) failed; holds the last lines that it wrote.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=env,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise ToolError(f"cannot run {argv[0]}: {error.strerror}", hint=INSTALL_HINT) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"`{_shown(argv)}` did not end within {timeout:g} s") from error
    if check and done.returncode != 0:
        said = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LAST_LINES:])
        raise ToolError(f"`{_shown(argv)}` failed with exit code {done.returncode}: {said or 'it said nothing'}")
    return done


def start_detached(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Start a process that goes on when this one ends, and is no child of it.

    Args:
        argv: The command.
        log: Where its output is appended.
        env: The whole environment; None is the caller's.
    """
    with log.open("a") as stream:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=env,
            cwd="/",
            check=True,
        )


def _shown(argv: Sequence[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 160 else f"{text[:159]}…"


INSTALL_HINT = "install it with: python -m tests.lab install"


def missing_packages() -> tuple[str, ...]:
    """Return the packages whose tools this machine lacks, in a fixed order."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool, path=path) is None]
    return tuple(dict.fromkeys(packages))


def need() -> None:
    """Check that a lab can be made here at all.

    Raises:
        ConfigError: Not Linux, not root, or a tool is missing.
    """
    if not Path("/proc/self/ns/net").exists():
        raise ConfigError("the lab needs Linux with network namespaces and a mounted /proc")
    if os.geteuid() != 0:
        raise ConfigError("the lab needs root for namespaces and mounts", hint="call it with sudo")
    if packages := missing_packages():
        raise ConfigError(
            f"the lab needs {', '.join(packages)}",
            hint=f"apt-get install {' '.join(packages)}, or: python -m tests.lab install",
        )


def install() -> tuple[str, ...]:
    """Install what `missing_packages` names, and the library of the FUSE views, on Debian or Ubuntu.

    Returns:
        The packages; empty when nothing was missing.

    Raises:
        ConfigError: Not root, or a distribution without apt-get.
        ToolError: apt-get failed.
    """
    packages = missing_packages()
    if ctypes.util.find_library("fuse") is None:
        packages = (*packages, _LIBFUSE)
    if not packages:
        return ()
    if os.geteuid() != 0:
        raise ConfigError("only root can install packages", hint="call it with sudo")
    if shutil.which("apt-get") is None:
        raise ConfigError(
            "only Debian and Ubuntu are installed automatically",
            hint=f"install what your distribution calls {', '.join(packages)}",
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-qq", "update"], timeout=300, env=env)
    run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], timeout=600, env=env)
    return packages


@contextmanager
def locked(name: str, folder: Path | None = None) -> Iterator[None]:
    """Hold a lock of this machine's labs, or of one lab; the kernel frees it when the holder dies.

    Args:
        name: labs (which exist, and the machine's settings), base, sweep, or hosts of one lab.
        folder: Of the lab; None for all labs.
    """
    folder = folder or home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ToolError(
            f"cannot use {folder}: {error.strerror or error}", hint=f"set {HOME_VARIABLE} to another folder"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """Return what is different after each start of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def change_settings() -> None:
    """Set what labs need outside of them, and remember the values of before. Call with the lock `labs` held."""
    path = home() / "machine.json"
    if path.exists() and read_json(path).get("boot_id") == boot_id():
        return
    before: dict[str, Json] = {"schema": 1, "boot_id": boot_id(), "netns_mounted": os.path.ismount(NETNS)}
    if (value := int(_INOTIFY.read_text())) < _INOTIFY_NEEDED:
        before["max_user_instances"] = value
    write_json(path, before)
    if "max_user_instances" in before:
        try:
            _INOTIFY.write_text(str(_INOTIFY_NEEDED))
        except OSError as error:
            raise ToolError(f"cannot set {_INOTIFY}: {error.strerror}") from error


def restore_settings() -> None:
    """Put back what `change_settings` changed, unless somebody else changed it since. Call with the lock held."""
    path = home() / "machine.json"
    if not path.exists():
        return
    before = read_json(path)
    if before.get("boot_id") == boot_id():
        value = before.get("max_user_instances")
        if value is not None and int(_INOTIFY.read_text()) == _INOTIFY_NEEDED:
            _INOTIFY.write_text(str(value))
        # `ip netns add` makes this mount point on its first use.
        if not before["netns_mounted"] and os.path.ismount(NETNS) and not any(NETNS.iterdir()):
            run(["umount", str(NETNS)], check=False)
    path.unlink()
