"""What a host's home should hold for its cells, and what it does: verified, unpacked and recorded.

Runs on a host's own Python (3.8 or newer), standard library only.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_measuring, host_python, host_store
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError, Ledger

_RESERVE_BYTES = 64 << 20  # what is left for state files and the first logs


class Host:
    """One host's home: what it should hold, and what it does."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Find the interpreter and the ledger."""
        self.home = host_store.expand(parameters["home"])
        self.run_id: str = parameters["run_id"]
        self.lacking: dict[str, str] = dict(parameters["lacking"])
        self.tolerant: bool = parameters["tolerant"]
        wanted: list[dict[str, str]] = parameters["components"]
        self.components = [component for component in wanted if component["name"] not in self.lacking]
        self.staged: dict[str, Any] = parameters["staged"]
        self.lock_sha256: str = parameters["lock_sha256"]
        self.harness_sha256: str = parameters["harness_sha256"]
        self.interpreter = host_python.find(parameters["python"])
        self.mirror_url: str = parameters["mirror_url"]
        self.full = parameters["read"] == "full" or self._cells_will_run(parameters["cells"])
        self.ledger = Ledger(self.home, full=self.full)
        self.python_digest = self.interpreter.digest(self.lock_sha256)
        self.environment = self.home / "python" / self.python_digest[:12]
        self.harness = self.home / "harness" / self.harness_sha256[:12]

    def missing(self) -> list[str]:
        """Name what has to be brought here; what is the user's own has to be here already."""
        names = []
        if self.lock_sha256 and not self._python_is_good():
            names.append("python")
        if not self.harness.is_dir() or self.ledger.digest(self.harness) != self.harness_sha256:
            names.append("harness")
        for component in list(self.components):
            if component["path"]:
                try:
                    self._own(component)
                except HostError as error:
                    if not self.tolerant:
                        raise
                    self.lacking[component["name"]] = str(error)
                    self.components.remove(component)
            elif self._stored(component) is None:
                names.append(f"components/{component['name']}")
        return names

    def _cells_will_run(self, cells: list[dict[str, str]]) -> bool:
        """Whether a planned cell has no valid result of this very request yet, as far as its files tell."""
        for cell in cells:
            for path in (self.home / "runs" / cell["path"]).glob("*/attempt_*/result.json"):
                try:
                    result = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError):
                    continue
                good = result.get("verdict") == "valid" and not result.get("tainted")
                if good and result.get("request_sha256") == cell["request_sha256"]:
                    break
            else:
                return True
        return False

    def _python_is_good(self) -> bool:
        """Whether the environment is whole; when it has to be read, every file of it."""
        if not host_python.is_whole(self.environment):
            return False
        marker = host_python.marker_path(self.environment)
        now = host_store.signature(marker)
        if self.ledger.known(self.environment, now) is None:
            if host_python.damage(self.environment):
                return False
            self._note_python()
        return True

    def _note_python(self) -> None:
        """Keep the digest of an environment of which every file was just read."""
        now = host_store.signature(host_python.marker_path(self.environment))
        self.ledger.note(self.environment, now, host_python.read_marker(self.environment)["files_sha256"])

    def require_room(self, missing: list[str]) -> None:
        """Stop before anything is written when it would not fit."""
        needed = _RESERVE_BYTES + (host_python.NEEDED_BYTES if "python" in missing else 0)
        needed += sum(int(item.get("bytes", 0)) for item in self.staged.values())
        host_store.require_usable(self.home, needed)

    def bring(self, missing: list[str]) -> None:
        """Unpack what was staged and is missing."""
        for name in missing:
            if name not in self.staged:
                raise HostError(f"the controller did not bring {name}", "run the play again")
            archive = Path(self.staged[name]["archive"])
            if name == "python":
                self._make_python(archive)
                self._note_python()
            elif name == "harness":
                shutil.rmtree(self.harness, ignore_errors=True)  # with what Python compiled of a damaged file
                host_store.install(archive, self.harness, "", self.harness_sha256)
                self.ledger.note(self.harness, host_store.signature(self.harness), self.harness_sha256)
            else:
                sha256, member = self.staged[name]["sha256"], self.staged[name]["member"]
                host_store.install(archive, self._folder(name.partition("/")[2], sha256), member, sha256)

    def record(self) -> bool:
        """Write state/provision.json; say whether it changed."""
        if self.full:  # nothing verifies what Python compiled, and it compiles again in no time
            for cache in list(self.harness.rglob("__pycache__")):
                shutil.rmtree(cache, ignore_errors=True)
        if self.lock_sha256:
            python = str(self.environment / "bin" / "python")
            packages = host_python.packages(self.environment)
        else:
            python, packages = self.interpreter.path, {}
        text = host_store.pretty_json(
            {
                "schema": 1,
                "python": {
                    "path": python,
                    "version": self.interpreter.version,
                    "digest": self.python_digest,
                    "packages": packages,
                },
                "harness": {"path": str(self.harness), "sha256": self.harness_sha256},
                "components": {component["name"]: self._place(component) for component in self.components},
            }
        )
        path = self.home / "state" / "provision.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            host_measuring.require_no_other_run(self.home, self.run_id)
        changed = host_store.write_atomic(path, text)
        self.ledger.save()
        return changed

    def _place(self, component: dict[str, str]) -> dict[str, str]:
        found = self._own(component) if component["path"] else self._stored(component)
        if found is None:
            raise HostError(f"{component['name']} is not below {self.home} although it was just unpacked there")
        path, sha256 = found
        return {"path": str(path), "sha256": sha256}

    def _folder(self, name: str, sha256: str) -> Path:
        return self.home / "store" / name / sha256[:12]

    def _stored(self, component: dict[str, str]) -> tuple[Path, str] | None:
        """Find a component in the store: its folder, or the one file in it, has the pinned digest."""
        name, pinned = component["name"], component["sha256"]
        if not pinned:  # nothing pins it: what the controller brought in this call, or the last time
            pinned = str(self.staged.get(f"components/{name}", {}).get("sha256", "")) or self._recorded(name)
        folder = self._folder(name, pinned)
        if not pinned or not folder.is_dir():
            return None
        inside = list(folder.iterdir())
        if len(inside) == 1 and inside[0].is_file() and self.ledger.digest(inside[0]) == pinned:
            return inside[0], pinned
        return (folder, pinned) if self.ledger.digest(folder) == pinned else None

    def _recorded(self, name: str) -> str:
        try:
            text = (self.home / "state" / "provision.json").read_text(encoding="utf-8")
            return str(json.loads(text)["components"][name]["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _own(self, component: dict[str, str]) -> tuple[Path, str]:
        """Check what the user has put on the host: there, readable, and with the digest the inventory may pin."""
        name, kind = component["name"], component["kind"]
        path = host_store.expand(component["path"])
        where = f"mlperf_components.{name}.path"
        if not path.exists():
            raise HostError(f"the {kind} '{name}' is not at {path}", f"put it there or correct {where}")
        part = path
        if path.is_dir() and component["label_file"]:
            part = path / component["label_file"]  # an absolute label file replaces the folder
            if not part.is_file():
                raise HostError(
                    f"the {kind} '{name}' in {path} has no label file {component['label_file']}",
                    f"put it there or set mlperf_components.{name}.label_file",
                )
        try:
            sha256 = self.ledger.digest(part)
        except OSError as error:
            raise HostError(f"the {kind} '{name}' cannot be read: {error.filename}: {error.strerror}") from error
        if component["sha256"] and sha256 != component["sha256"]:
            raise HostError(
                f"the {kind} '{name}' at {part} has sha256 {sha256}, the inventory pins {component['sha256']}",
                f"correct the file or mlperf_components.{name}.sha256",
            )
        return path, sha256

    def _make_python(self, archive: Path) -> None:
        with tempfile.TemporaryDirectory(dir=self.home, prefix=".python.") as folder:
            host_store.extract(archive, Path(folder))
            mirror = Path(folder) / "mirror"
            host_python.make(
                self.interpreter,
                self.environment,
                Path(folder) / "lock.txt",
                Path(folder) / "pip",
                host_python.Source(mirror if mirror.is_dir() else None, self.mirror_url),
                self.lock_sha256,
            )
