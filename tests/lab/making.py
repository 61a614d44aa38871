"""Make the file systems of hosts: keys, overlay on the base, and the few files in which hosts differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from mlperf_ops.errors import ConfigError, ToolError
from tests.lab import base, egress, network, records, sources
from tests.lab.machine import run
from tests.lab.records import HostRecord, folder_of

_KEY = "ssh_host_ed25519_key"
_VIEW = "view"  # folder of a host's simulated hardware


def make_key(path: Path, comment: str) -> str:
    """Make an ed25519 key pair and return the public key without its comment."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def write_skeleton(lab_id: str) -> None:
    """Write down what all hosts of a lab have and the base has not: login, proxy, pip, environment."""
    ssh = records.ssh_folder(lab_id)
    ssh.mkdir(mode=0o700)
    login = f"{make_key(ssh / 'id_ed25519', f'lab {lab_id}')} lab\n"
    variables = {**sources.environment(), **egress.environment()}
    session = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    # A unit has no session, so systemd hands the same variables to it.
    quoted = " ".join(f'"{name}={value.replace("%", "%%")}"' for name, value in variables.items())
    files = {
        "root/.ssh/authorized_keys": login,
        f"home/{base.USER}/.ssh/authorized_keys": login,
        "etc/environment": f"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n{session}",
        "etc/systemd/system.conf.d/lab.conf": f"[Manager]\nDefaultEnvironment={quoted}\n",
        # Debian's sudo drops the environment; without this, nothing under `become` would reach a package source.
        "etc/sudoers.d/lab": f'Defaults env_keep += "{" ".join(variables)}"\n',
        # Last in the order of names, so that it wins over the machine's own proxy.
        "etc/apt/apt.conf.d/zz-lab": "".join(
            f'Acquire::{scheme}::Proxy "{egress.URL}";\n' for scheme in ("http", "https")
        ),
    }
    if text := sources.pip_conf():
        files["etc/pip.conf"] = text
    (folder_of(lab_id) / "skeleton.json").write_text(json.dumps(files, indent=2) + "\n")


def make_host(lab_id: str, root: Path, name: str, index: int, hardware: str | None) -> HostRecord:
    """Make a host's folder and mount its root; its network comes by `network.connect`.

    Args:
        lab_id: The lab.
        root: Of the base.
        name: The host.
        index: Its place in the lab, from 1.
        hardware: View of its hardware, or None for the machine's own.
    """
    folder = folder_of(lab_id) / "hosts" / name
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    record = HostRecord(name, index, make_key(folder / _KEY, name), hardware)
    records.write_host(folder, record)
    mount_root(folder, root)
    _write_files(lab_id, folder, record)
    if hardware is not None:
        _start_view(hardware, folder)
    return record


def mount_root(folder: Path, root: Path) -> None:
    """Mount a host's overlay.

    Raises:
        ToolError: The kernel refuses, mostly because the folder itself is on an overlay.
    """
    # volatile: nothing is synced to disk, which makes apt three times as fast; a lab needs no disk after a power cut.
    overlay = f"lowerdir={root},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    said = ""
    for options in (f"{overlay},volatile", overlay):
        done = run(["mount", "-t", "overlay", "overlay", "-o", options, str(folder / "root")], check=False)
        if done.returncode == 0:
            return
        said = done.stderr.strip()
    kind = run(["stat", "--file-system", "--format=%T", str(folder)]).stdout.strip()
    raise ToolError(
        f"cannot mount the root of a host in {folder} ({kind}): {said}",
        hint="set MLPERF_OPS_LAB_DIR to a folder on ext4 or xfs",
    )


def _write_files(lab_id: str, folder: Path, record: HostRecord) -> None:
    root = folder / "root"
    for relative, text in json.loads((folder_of(lab_id) / "skeleton.json").read_text()).items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    owner = (root / "home" / base.USER).stat()
    shutil.chown(root / "home" / base.USER / ".ssh/authorized_keys", owner.st_uid, owner.st_gid)
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        path = root / "etc/ssh" / f"{_KEY}{suffix}"
        shutil.copy(folder / f"{_KEY}{suffix}", path)
        path.chmod(mode)
    (root / "etc/hostname").write_text(f"{record.name}\n")


def write_names(lab_id: str, among: Sequence[HostRecord]) -> None:
    """Tell hosts the names and addresses of all hosts of the lab; there is no DNS.

    Args:
        lab_id: The lab.
        among: Hosts whose /etc/hosts is written whole; all others get the lines of these in addition.
    """
    everyone = records.read_hosts(lab_id)
    fixed = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{network.GATEWAY} controller"]
    whole = "\n".join([*fixed, *(f"{host.address} {host.name}" for host in everyone)]) + "\n"
    added = "".join(f"{host.address} {host.name}\n" for host in among)
    for host in everyone:
        path = folder_of(lab_id) / "hosts" / host.name / "root" / "etc/hosts"
        if host in among:
            path.write_text(whole)
        elif path.is_file():
            with path.open("a") as stream:
                stream.write(added)


def check_view(hardware: str) -> None:
    """Check that there is such a hardware view and that this machine can show it.

    Raises:
        ConfigError: It cannot.
    """
    from tests.lab.hardware import ViewName, missing  # noqa: PLC0415  # a lab without views works without FUSE

    ViewName.parse(hardware)
    if reason := missing():
        raise ConfigError(f"no hardware view: {reason}", hint="python -m tests.lab install")


def _start_view(hardware: str, folder: Path) -> None:
    from tests.lab.hardware import View  # noqa: PLC0415  # as above

    View.start(hardware, folder / "root", folder / _VIEW)


def stop_view(folder: Path) -> None:
    """Stop the view of a host that is off; nothing to do for a host without one."""
    if not (folder / _VIEW).is_dir():
        return
    from tests.lab.hardware import View  # noqa: PLC0415  # as above

    View("", folder / "root", folder / _VIEW).stop()
