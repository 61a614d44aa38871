"""The base: one root file system of the machine's own distribution, made once and shared by all hosts read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mlperf_ops.errors import ToolError
from mlperf_ops.files import JsonObject, sha256_file, sha256_json, write_json
from tests.lab import sources
from tests.lab.machine import home, locked, run

_RECIPE = 1  # raise it when the code below makes another base from the same data

USER = "ops"  # the ordinary user, beside root
FOLDER = "lab"  # /lab in a host: what belongs to the lab and not to a real machine

_PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
)
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")

# What a lab host does not need. Not systemd-logind: shutdown and reboot are scheduled by it.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "console-getty.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
)

_FILES = {
    "etc/ssh/sshd_config.d/lab.conf": (
        # Without these limits sshd refuses part of many logins at once. One key type is enough and starts faster.
        "UseDNS no\nMaxStartups 100:30:200\nMaxSessions 100\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
    ),
    # Before user sessions are allowed, pam_nologin would refuse everybody but root.
    "etc/systemd/system/ssh.service.d/lab.conf": "[Unit]\nAfter=systemd-user-sessions.service\n",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    f"etc/sudoers.d/{USER}": f"{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n",
    "etc/machine-id": "",
    "etc/resolv.conf": "",
}
_MODES = {f"etc/sudoers.d/{USER}": 0o440}

_BUILD_SECONDS = 900
_BASE_KEPT_SECONDS = 24 * 3600
_PACKAGE_KEPT_SECONDS = 30 * 24 * 3600
_PID1 = Path(__file__).with_name("pid1.sh")


def _content() -> JsonObject:
    """Return all that decides what the base holds."""
    listed = sources.apt_sources()
    keyrings = {source.signed_by for source in listed if source.signed_by}
    return {
        "recipe": _RECIPE,
        "machine": os.uname().machine,
        "release": sources.release(),
        "sources": [source.line() for source in listed],
        "keyrings": {path: sha256_file(Path(path)) for path in sorted(keyrings)},
        "apt_settings": sources.apt_settings(),
        "certificates": dict(sources.local_certificates()),
        "packages": [*_PACKAGES],
        "left_out": [*_LEFT_OUT],
        "masked": [*_MASKED],
        "files": dict(_FILES),
        "pid1": sha256_file(_PID1),
    }


def prepare(say: Callable[[str], None], *, rebuild: bool = False) -> Path:
    """Return the root of the base, built first where there is none of this content yet.

    Args:
        say: Told when something takes long.
        rebuild: Build it again, for newer packages of the same sources.

    Raises:
        ToolError: mmdebstrap failed, mostly because the apt mirror cannot be reached.
    """
    content = _content()
    folder = home() / "base" / sha256_json(content)[:16]
    with locked("base"):
        if (folder / "base.json").exists() and not rebuild:
            os.utime(folder / "base.json")
            return folder / "root"
        say("building the base of all hosts (about a minute, only this once)")
        folder.parent.mkdir(parents=True, exist_ok=True)
        for half_built in folder.parent.glob("*.building"):
            remove_tree(half_built)
        building = folder.with_suffix(".building")
        (building / "root").mkdir(parents=True)
        try:
            _bootstrap(building / "root", content)
            _configure(building / "root")
        except BaseException:
            remove_tree(building)
            raise
        write_json(building / "base.json", content)
        remove_tree(folder)
        building.rename(folder)
    return folder / "root"


def collect_garbage(used: set[str]) -> None:
    """Remove what was not used for long: bases that no lab is on, and package files. Call with the lock `labs` held.

    Args:
        used: The roots of the bases of all labs.
    """
    now = time.time()
    for stamp in (home() / "base").glob("*/base.json"):
        if str(stamp.parent / "root") not in used and now - stamp.stat().st_mtime > _BASE_KEPT_SECONDS:
            remove_tree(stamp.parent)
    for path in (home() / "packages").glob("*"):
        if now - path.stat().st_mtime > _PACKAGE_KEPT_SECONDS:
            path.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Delete a folder, but nothing that is mounted in it."""
    if folder.exists():
        run(["rm", "-rf", "--one-file-system", str(folder)], check=False, timeout=300)


def _bootstrap(root: Path, content: JsonObject) -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-base-") as name:
        work = Path(name)
        lists, settings = work / "sources.list", work / "apt.conf"
        lists.write_text("".join(f"{line}\n" for line in content["sources"]))  # type: ignore[union-attr]
        settings.write_text(str(content["apt_settings"]))
        argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        argv += [f"--aptopt={settings}", *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT)]
        argv += [str(content["release"]), str(root), str(lists)]
        log = home() / "base" / "build.log"
        with log.open("w") as stream:
            try:
                code = subprocess.run(
                    argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=_BUILD_SECONDS, check=False
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise ToolError(
                    f"the base was not built within {_BUILD_SECONDS} s", hint=f"is the apt mirror slow? see {log}"
                ) from error
    if code != 0:
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E:")]
        mirrors = sorted({source.uri for source in sources.apt_sources()})
        raise ToolError(
            f"the base could not be built: {errors[0][2:].strip() if errors else 'mmdebstrap failed'}",
            hint=f"can this machine reach {', '.join(mirrors)}? `apt-get update` tells; all is in {log}",
        )


def _configure(root: Path) -> None:
    for relative, text in _FILES.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(_MODES.get(relative, 0o644))
    for pattern in ("etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "etc/hostname"):
        for path in root.glob(pattern):
            path.unlink()
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (root / FOLDER).mkdir()
    shutil.copy(_PID1, root / FOLDER / "pid1")
    (root / FOLDER / "pid1").chmod(0o755)
    nsswitch = root / "etc/nsswitch.conf"
    lines = nsswitch.read_text().splitlines() if nsswitch.exists() else []
    # Without DNS any other service costs 10 s for each name that is not found.
    lines = [line for line in lines if not line.startswith("hosts:")] + ["hosts: files myhostname"]
    nsswitch.write_text("\n".join(lines) + "\n")
    run(["chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", USER])
    for user in ("root", f"home/{USER}"):
        (root / user / ".ssh").mkdir(exist_ok=True)
        (root / user / ".ssh").chmod(0o700)
    run(["chroot", str(root), "chown", f"{USER}:", f"/home/{USER}/.ssh"])
    for keyring in {source.signed_by for source in sources.apt_sources() if source.signed_by}:
        target = root / keyring.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(keyring, target)
    if certificates := sources.local_certificates():
        for name in certificates:
            target = root / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
        run(["chroot", str(root), "update-ca-certificates"])
