"""What a lab writes down about itself, so that another process can use it, take it down, or sweep it after a crash."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from mlperf_ops.errors import BusyError, ConfigError, MlperfOpsError, unknown_name
from mlperf_ops.files import JsonObject, read_json, write_atomic
from mlperf_ops.runlock import Owner
from mlperf_ops.typed import load
from tests.lab.machine import home, run
from tests.lab.network import address

_ID = re.compile(r"[a-z][a-z0-9]{0,8}")  # with the prefix it fits into the 15 characters of an interface's name
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SERVICES = "services"


@dataclass(frozen=True, slots=True)
class HostRecord:
    """host.json: one host."""

    name: str
    index: int
    public_key: str  # of its sshd
    hardware: str | None = None

    @property
    def address(self) -> str:
        """Its address in the lab's network."""
        return address(self.index)


@dataclass(frozen=True, slots=True)
class LabRecord:
    """lab.json: what was written before anything was made, so that it can always be undone."""

    id: str
    base: str  # root of the base
    owner: Owner | None  # who takes it along when it dies; None for a lab that stays until `down`
    cgroups: tuple[str, ...]  # folders that hold a group of the lab
    uplink: bool = False
    schema: int = 1


def check_id(lab_id: str) -> str:
    """Return a valid lab id.

    Raises:
        ConfigError: It is none.
    """
    if not _ID.fullmatch(lab_id):
        raise ConfigError(
            f"'{lab_id}' is no lab id; expected a lower-case letter and up to 8 more letters or digits, such as lab2"
        )
    return lab_id


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return valid host names.

    Raises:
        ConfigError: One is none, is reserved, or stands there twice.
    """
    listed = tuple(names)
    for name in listed:
        if not _NAME.fullmatch(name) or name in {"sw", "localhost", "controller"}:
            raise ConfigError(f"'{name}' is no host name; expected lower-case letters, digits and hyphens, such as h1")
        if listed.count(name) > 1:
            raise ConfigError(f"the host name '{name}' stands there twice")
    return listed


def labs_folder() -> Path:
    """Return the folder that holds one folder for each lab."""
    return home() / "labs"


def folder_of(lab_id: str) -> Path:
    """Return the folder of a lab, whether it exists or not."""
    return labs_folder() / check_id(lab_id)


def known_ids() -> list[str]:
    """Return the ids of all labs that exist, in whatever state."""
    if not labs_folder().is_dir():
        return []
    return sorted(path.name for path in labs_folder().iterdir() if path.is_dir() and _ID.fullmatch(path.name))


def read_lab(lab_id: str) -> LabRecord:
    """Return the record of a lab.

    Raises:
        ConfigError: There is no such lab.
    """
    path = folder_of(lab_id) / "lab.json"
    if not path.exists():
        if not known_ids():
            raise ConfigError(f"there is no lab '{lab_id}'", hint="start one: python -m tests.lab up --hosts 3")
        raise unknown_name("lab", lab_id, known_ids())
    return load(LabRecord, read_json(path), str(path))


def find_lab(lab_id: str) -> LabRecord | None:
    """Return the record of a lab, None for one that is half removed or going."""
    try:
        return read_lab(lab_id)
    except MlperfOpsError:
        return None


def find_labs() -> dict[str, LabRecord]:
    """Return the records of all labs by id."""
    return {lab_id: record for lab_id in known_ids() if (record := find_lab(lab_id))}


def write(path: Path, value: JsonObject) -> None:
    """Write a record whole, without waiting for the disk: after a power cut of the machine there is no lab either."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)


def write_lab(record: LabRecord) -> None:
    """Write lab.json."""
    write(folder_of(record.id) / "lab.json", asdict(record))


def create(record: LabRecord) -> None:
    """Make the folder of a new lab, with its record in it from the first moment. Call with the lock `labs` held.

    Raises:
        BusyError: There is a lab of this id.
    """
    folder = folder_of(record.id)
    if folder.exists():
        raise BusyError(f"the lab '{record.id}' exists already", hint="take it down or choose another --id")
    labs_folder().mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=labs_folder()))
    new.chmod(0o755)
    write(new / "lab.json", asdict(record))
    (new / "hosts").mkdir()
    new.rename(folder)


def next_index(lab_id: str) -> int:
    """Return an index that no host of the lab ever had; others still know the address of a host that is gone."""
    path = folder_of(lab_id) / "next_index"
    index = int(path.read_text()) if path.exists() else 1
    path.write_text(str(index + 1))
    return index


def write_host(folder: Path, record: HostRecord) -> None:
    """Write host.json."""
    write(folder / "host.json", asdict(record))


def read_hosts(lab_id: str) -> list[HostRecord]:
    """Return the hosts of a lab in the order in which they were made."""
    found = [load(HostRecord, read_json(path), str(path)) for path in (folder_of(lab_id) / "hosts").glob("*/host.json")]
    return sorted(found, key=lambda host: host.index)


def ssh_folder(lab_id: str) -> Path:
    """Return the folder of the lab's key, known_hosts and configuration of ssh."""
    return folder_of(lab_id) / "ssh"


def write_ssh_files(lab_id: str) -> None:
    """Write known_hosts and the configuration of the tool's own ssh."""
    folder = ssh_folder(lab_id)
    lines = [f"{host.address},{host.name} {host.public_key}\n" for host in read_hosts(lab_id)]
    write_atomic(folder / "known_hosts", "".join(lines))
    (folder / "masters").mkdir(exist_ok=True)
    options = {
        "IdentityFile": folder / "id_ed25519",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": folder / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
        "ConnectTimeout": 20,
        "ServerAliveInterval": 4,
        "ServerAliveCountMax": 2,
        "ControlMaster": "auto",
        "ControlPath": folder / "masters" / "%h-%r",
        "ControlPersist": 60,
    }
    (folder / "config").write_text("Host *\n" + "".join(f"  {name} {value}\n" for name, value in options.items()))


def write_inventory(lab_id: str) -> Path:
    """Write the inventory of all hosts and return its folder; hosts named services… form a group of that name."""
    folder, ssh = folder_of(lab_id) / "inventory", ssh_folder(lab_id)
    folder.mkdir(exist_ok=True)
    groups: dict[str, dict[str, object]] = {"sut": {}}
    for host in read_hosts(lab_id):
        group = _SERVICES if host.name.startswith(_SERVICES) else "sut"
        groups.setdefault(group, {})[host.name] = {"ansible_host": host.address}
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(ssh / "id_ed25519"),
        "ansible_ssh_common_args": (
            f"-o IdentitiesOnly=yes -o UserKnownHostsFile={ssh / 'known_hosts'} -o StrictHostKeyChecking=yes"
        ),
        # Short intervals, so that a cut cable is noticed within seconds and not within a minute.
        "ansible_ssh_args": (
            "-C -o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=4 -o ServerAliveCountMax=2"
        ),
        "ansible_control_path_dir": str(ssh / "masters"),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    tree = {"all": {"vars": variables, "children": {name: {"hosts": hosts} for name, hosts in groups.items()}}}
    write_atomic(folder / "hosts.yml", "---\n" + yaml.safe_dump(tree, sort_keys=False))
    return folder


def publish(lab_id: str, target: Path, owner: tuple[int, int] | None) -> None:
    """Copy key and known_hosts to where an inventory finds them.

    Args:
        lab_id: The lab.
        target: Folder, made here.
        owner: uid and gid of the person who called sudo, so that they can use the key.
    """
    (target / "masters").mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("id_ed25519", "known_hosts"):
        (target / name).unlink(missing_ok=True)
        shutil.copy(ssh_folder(lab_id) / name, target / name)
    (target / "id_ed25519").chmod(0o600)
    if owner is not None:
        for path in (target, *target.iterdir()):
            shutil.chown(path, *owner)


def withdraw(target: Path) -> None:
    """Remove what `publish` wrote, and end the shared connections of ssh that an inventory keeps there."""
    for socket in (target / "masters").glob("*"):
        # Left alone, a connection to a host that is gone would answer for the next host of the same address.
        run(["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "host"], check=False, timeout=10)
    shutil.rmtree(target, ignore_errors=True)
