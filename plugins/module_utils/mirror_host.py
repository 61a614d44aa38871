"""A mirror on a host of the group services: its files by digest, and the systemd unit that serves them.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_store
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, Ledger, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "mirror.json"
UNIT = "mlperf-ops-mirror.service"
_UNITS = Path("/etc/systemd/system")
_SYSTEMD = Path("/run/systemd/system")
_RESERVE_BYTES = 64 << 20
_ANSWER_SECONDS = 10.0
_COMMAND_SECONDS = 60
# A server that only reads: no privileges, no home folders, nothing writable.
_UNIT_TEXT = """\
# Written by mlperf-ops; roles/mirror takes it back.
[Unit]
Description=mlperf-ops package mirror, read-only
After=network.target

[Service]
ExecStart={python} {server} {path} --address {address} --port {port}
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
CapabilityBoundingSet=
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


class MirrorHost:
    """What a services host holds and serves."""

    def __init__(self, parameters: dict[str, Any], *, full: bool = False) -> None:
        """Take the module's parameters.

        Args:
            parameters: Of the module.
            full: Read every byte instead of trusting what was read before.
        """
        self.path = host_store.expand(parameters["path"])
        self.address = str(parameters["address"])
        self.port = int(parameters["port"])
        self._manifest_text = str(parameters["manifest"])
        self._server_text = str(parameters["server"])
        self.files: dict[str, dict[str, Any]] = {}
        if self._manifest_text:
            self.files = {str(row["name"]): row for row in json.loads(self._manifest_text)["files"]}
        # Beside the folder, so that it holds nothing but what the manifest names.
        self.server = self.path.with_name(f"{self.path.name}_server.py")
        self._home = self.path.with_name(f"{self.path.name}_state")
        self.ledger = Ledger(self._home, full=full)
        self.served = os.geteuid() == 0 and _SYSTEMD.is_dir()
        self._python = shutil.which("python3") or "/usr/bin/python3"

    # --- files --------------------------------------------------------------------------------------------------------

    def missing(self) -> list[str]:
        """Name the files that are not there, or not as the manifest says."""
        return [name for name, row in self.files.items() if not self._is_good(self.path / name, row)]

    def _is_good(self, path: Path, row: Mapping[str, Any]) -> bool:
        try:
            return path.stat().st_size == int(row["size_bytes"]) and self.ledger.digest(path) == str(row["sha256"])
        except FileNotFoundError:
            return False

    def require_room(self, missing: list[str]) -> None:
        """Stop before anything is written when it would not fit."""
        host_store.require_usable(self.path, _RESERVE_BYTES + sum(self.files[name]["size_bytes"] for name in missing))

    def take(self, archive: Path) -> list[str]:
        """Unpack files that were brought, each only when it is what the manifest says.

        Returns:
            Their names.

        Raises:
            HostError: One is not, or the disk is full; the good ones stay.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=str(self.path), prefix=".new."))
        taken = []
        try:
            host_store.extract(archive, work)
            for source in sorted(path for path in work.rglob("*") if path.is_file()):
                name = source.relative_to(work).as_posix()
                if host_store.sha256_file(source) != self.files[name]["sha256"]:
                    raise HostError(
                        f"{name} arrived damaged", "verify the mirror on the controller, then run the play again"
                    )
                target = self.path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.chmod(str(source), 0o644)
                os.replace(str(source), str(target))
                self.ledger.note(target, host_store.signature(target), self.files[name]["sha256"])
                taken.append(name)
        except OSError as error:
            raise host_store.full_or(error, f"cannot unpack into {self.path}") from error
        finally:
            shutil.rmtree(str(work), ignore_errors=True)
            with contextlib.suppress(OSError):
                self.ledger.save()
        return taken

    def superfluous(self) -> list[str]:
        """Name the files that an earlier manifest of ours named and this one does not."""
        return [name for name in self._earlier() if name not in self.files and (self.path / name).is_file()]

    def _earlier(self) -> list[str]:
        try:
            rows = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["files"]
            return [str(row["name"]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    # --- what is served -----------------------------------------------------------------------------------------------

    def wanted_texts(self) -> dict[Path, str]:
        """Return the files that are written from texts; the manifest last, for it says what is served."""
        texts = {self.server: self._server_text}
        if self.served:
            texts[_UNITS / UNIT] = _UNIT_TEXT.format(
                python=self._python, server=self.server, path=self.path, address=self.address, port=self.port
            )
        texts[self.path / MANIFEST] = self._manifest_text
        return texts

    def differing(self) -> list[Path]:
        """Return which of these files are missing or different."""
        return [path for path, text in self.wanted_texts().items() if _read(path) != text]

    def running(self) -> bool:
        """Whether the unit runs and is enabled."""
        return all(_systemctl(word, UNIT)[0] == 0 for word in ("is-active", "is-enabled"))

    def write(self) -> None:
        """Write the texts, remove what is superfluous, and have it served."""
        for name in self.superfluous():
            (self.path / name).unlink()
        changed = self.differing()
        for path, text in self.wanted_texts().items():
            write_atomic(path, text)
        self.ledger.save()
        if not self.served:
            return
        if _UNITS / UNIT in changed:
            _require("daemon-reload")
        _require("enable", UNIT)
        if {_UNITS / UNIT, self.server} & set(changed) or not self.running():
            _require("restart", UNIT)
        problem = self.answer(_ANSWER_SECONDS)
        if problem:
            raise HostError(problem, f"see 'journalctl --unit {UNIT}' on the host")

    def answer(self, wait_seconds: float = 0.0) -> str:
        """Ask the server for its manifest; return what is wrong, empty when nothing is."""
        host = "127.0.0.1" if self.address in ("0.0.0.0", "") else self.address  # noqa: S104  # it means every address
        url = f"http://{host}:{self.port}/{MANIFEST}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                with opener.open(url, timeout=5) as stream:
                    same = stream.read().decode() == self._manifest_text
            except (OSError, urllib.error.URLError) as error:
                problem = f"{url} does not answer: {getattr(error, 'reason', error)}"
            else:
                return "" if same else f"{url} serves another mirror"
            if time.monotonic() >= deadline:
                return problem
            time.sleep(0.2)

    def could_not(self) -> list[str]:
        """Say what is left to a person."""
        if self.served:
            return []
        why = "there is no systemd" if os.geteuid() == 0 else "that needs root"
        command = f"{self._python} {self.server} {self.path} --address {self.address} --port {self.port}"
        return [f"the mirror is not served ({why}); start it with: {command}"]

    # --- revert -------------------------------------------------------------------------------------------------------

    def present(self) -> list[str]:
        """Name everything of ours that is there."""
        names = [str(self.path / name) for name in [*self._earlier(), MANIFEST]]
        names += [str(path) for path in (self.server, self._home)]
        names += [str(_UNITS / UNIT)] if self.served else []
        return [name for name in names if os.path.lexists(name)]

    def revert(self) -> None:
        """Stop serving, and remove everything of ours."""
        if self.served and (_UNITS / UNIT).exists():
            _require("disable", "--now", UNIT)
            (_UNITS / UNIT).unlink()
            _require("daemon-reload")
        for name in self.present():
            if name != str(self._home):
                os.unlink(name)
        shutil.rmtree(str(self._home), ignore_errors=True)
        for base, _, _ in list(os.walk(str(self.path), topdown=False)):
            with contextlib.suppress(OSError):  # somebody else's file is in it
                os.rmdir(base)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _systemctl(*words: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            ["systemctl", *words],  # noqa: S607  # the system's own
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stderr.strip() or done.stdout.strip()


def _require(*words: str) -> None:
    code, said = _systemctl(*words)
    if code != 0:
        raise HostError(f"'systemctl {' '.join(words)}' failed: {said}", f"see 'journalctl --unit {UNIT}' on the host")
