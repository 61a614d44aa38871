"""Fill a mirror with everything that a plan needs, and only with what is not there yet.

Each file is verified before it appears, and mirror.json is written after each step, so an interrupted fetch keeps what
it has and the next one goes on from there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from mlperf_ops.catalogue import Catalogue, ComponentEntry, GitSource, PypiSource
from mlperf_ops.checkout import MIRROR_CHECKOUTS, pack_name
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file
from mlperf_ops.mirror import os_packages, wheels
from mlperf_ops.mirror.checkouts import make_pack
from mlperf_ops.mirror.manifest import (
    MANIFEST,
    NEW_PREFIX,
    PACKAGES,
    FileKind,
    Manifest,
    MirrorFile,
    held,
    is_good,
    read,
    write,
)
from mlperf_ops.mirror.wheels import Pin, Target
from mlperf_ops.package_files import download
from mlperf_ops.plan_model import Plan
from mlperf_ops.store import verified_members


@dataclass(frozen=True, slots=True)
class LockFor:
    """A lock, who installs it, and on which interpreters."""

    path: Path
    who: str  # "hosts" or "controller"
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a mirror is asked to hold."""

    locks: tuple[LockFor, ...] = ()
    components: tuple[ComponentEntry, ...] = ()
    checkouts: tuple[ComponentEntry, ...] = ()
    checkout: str = ""  # the user's own checkout or URL, of `checkouts`
    software: tuple[ComponentEntry, ...] = ()  # that hosts need, as a checkout
    os_packages: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()  # known beforehand, one sentence each


@dataclass(slots=True)
class Fetched:
    """What a fetch did."""

    added: list[str] = field(default_factory=list)
    kept: int = 0
    lacking: list[str] = field(default_factory=list)  # wheels that no index has: hosts of that kind cannot install


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the manifest says of a file besides its bytes."""

    kind: FileKind
    package: str
    version: str
    license: str
    purpose: str


def wanted_by(plan: Plan, catalogue: Catalogue, locks: Path, targets: tuple[Target, ...]) -> Wanted:
    """Return what the hosts of a plan need.

    Args:
        plan: Of a run.
        catalogue: Names the sources.
        locks: Folder of the Python locks.
        targets: Interpreters of the hosts.

    Raises:
        ConfigError: The plan and the catalogue disagree.
    """
    components, not_covered = [], []
    for component in plan.components:
        entry = catalogue.component(component.name)
        if component.path is not None:
            not_covered.append(f"{component.name}: the user's own files at {component.path} on the hosts stay there")
        elif not isinstance(entry.source, PypiSource):
            not_covered.append(f"{component.name}: {entry.how_to_get or 'it is no package file'}")
        else:
            components.append(entry)
    commit = catalogue.round(plan.round).checker.commit
    checkouts = [
        one
        for one in catalogue.components.values()
        if isinstance(one.source, GitSource) and one.source.commit == commit
    ]
    software = (catalogue.component(catalogue.round(plan.round).power.software),) if plan.power is not None else ()
    names = sorted({host.requirements for host in plan.hosts if host.requirements})
    return Wanted(
        tuple(LockFor(locks / name, "hosts", targets) for name in names),
        tuple(components),
        tuple(checkouts),
        software=software,
        not_covered=tuple(not_covered),
    )


def fetch(folder: Path, wanted: Wanted, say: Callable[[str], None]) -> Fetched:
    """Bring what is missing into a mirror.

    Args:
        folder: The mirror; made if needed.
        wanted: What it has to hold; what it holds besides stays.
        say: Gets one line per step.

    Raises:
        ToolError: An index cannot be reached, a digest differs, or the disk is full; what was fetched before stays.
        BusyError: Another process is changing the mirror.
    """
    with held(folder):
        for left in folder.glob(f"{NEW_PREFIX}*"):  # of a process that was killed: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        fetching = _Fetching(folder, say)
        for lock in wanted.locks:
            for target in lock.targets:
                fetching.wheels(lock, target)
        for component in wanted.components:
            fetching.component(component)
        for component in wanted.checkouts:
            fetching.checkout(component, wanted.checkout)
        for component in wanted.software:
            fetching.checkout(component, "")
        if wanted.os_packages:
            fetching.os_packages(wanted.os_packages)
        fetching.finish(wanted.not_covered)
        return fetching.fetched


class _Fetching:
    """One fetch into one mirror."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self.fetched = Fetched()
        self._not_covered: list[str] = []
        before = read(folder) if (folder / MANIFEST).is_file() else Manifest()
        good = [one for one in before.files if (folder / one.name).is_file() and is_good(folder / one.name, one)]
        self._manifest = replace(before, files=tuple(good))
        self.fetched.kept = len(good)

    def wheels(self, lock: LockFor, target: Target) -> None:
        """Bring the wheels of a lock for one kind of interpreter."""
        purpose = f"{lock.who}, {target}"
        missing = []
        for pin in wheels.read_lock(lock.path):
            if target.wants(pin):
                there = self._wheel(pin, target)
                if there is None:
                    missing.append(pin)
                else:
                    self._manifest = self._manifest.with_files([replace(there, purpose=(purpose,))])
        if missing:
            self._say(f"fetching {len(missing)} wheels of {lock.path.name} for {target}")
            with self._work() as work:
                files, without = wheels.download(missing, target, Path(work))
                for pin in without:
                    glibc = f"glibc 2.{target.glibc_minor} or older"
                    self.fetched.lacking.append(f"{pin.name} {pin.version} has no wheel for {target} with {glibc}")
                self._keep(
                    (path, _Kept("wheel", *_name_of(path, missing), wheels.license_of(path), purpose)) for path in files
                )
        self._save()

    def _wheel(self, pin: Pin, target: Target) -> MirrorFile | None:
        for one in self._manifest.files:
            if one.kind == "wheel" and one.sha256 in pin.hashes and wheels.fits(Path(one.name).name, pin, target):
                return one
        return None

    def component(self, entry: ComponentEntry) -> None:
        """Bring the package file of a component, verified by its digest or those of its members."""
        source = entry.source
        assert isinstance(source, PypiSource)  # noqa: S101  # `wanted_by` took no other
        there = self._manifest.by_name().get(f"{PACKAGES}/{source.file}")
        if there is not None:
            self._manifest = self._manifest.with_files([replace(there, purpose=(f"component {entry.name}",))])
            return
        self._say(f"fetching {source.file} of component {entry.name}")
        with self._work() as work:
            unpacked = Path(work) / "members"
            unpacked.mkdir()
            archive = download(entry, Path(work) / "file")
            verified_members(entry, source, archive, unpacked)
            about = _Kept("component", source.package, source.version, entry.license, f"component {entry.name}")
            self._keep([(archive, about)])
        self._save()

    def checkout(self, entry: ComponentEntry, given: str) -> None:
        """Bring a commit; the official checker is a second opinion, so the mirror is of use without it."""
        source = entry.source
        assert isinstance(source, GitSource)  # noqa: S101  # `wanted_by` took no other
        name = f"{MIRROR_CHECKOUTS}/{pack_name(source)}"
        if name in self._manifest.by_name():
            return
        self._say(f"fetching commit {source.commit[:12]} of {source.repository}")
        with self._work() as work:
            made = Path(work) / pack_name(source)
            try:
                make_pack(entry, made, Path(work) / "checkout", given=given)
            except (ToolError, ConfigError) as error:
                self._not_covered.append(str(error))
                return
            about = _Kept("checkout", source.repository, source.commit, entry.license, f"component {entry.name}")
            self._keep([(made, about)], MIRROR_CHECKOUTS)
        self._save()

    def os_packages(self, names: tuple[str, ...]) -> None:
        """Bring OS packages with all that they depend on, and index the repository anew."""
        release = os_packages.own_release()
        below = f"{os_packages.FOLDER}/{release}"
        self._say(f"fetching {', '.join(names)} for {release}, with all that they depend on")
        with self._work() as work:
            files = os_packages.download(names, Path(work))
            about = [
                (path, _Kept("os-package", one.package, one.version, one.license, f"hosts, {release}"))
                for path, one in ((path, os_packages.describe(path)) for path in files)
            ]
            known = self._manifest.by_name()
            self._keep([item for item in about if not self._same(known.get(f"{below}/{item[0].name}"), item[0])], below)
        with self._work() as work:
            held_here = [self._folder / one.name for one in self._manifest.files if one.name.startswith(f"{below}/")]
            index = os_packages.write_index([path for path in held_here if path.suffix == ".deb"], Path(work), release)
            self._keep(((path, _Kept("index", "", "", "none", f"hosts, {release}")) for path in index), below)
        self._save()

    def finish(self, not_covered: Iterable[str]) -> None:
        """Note what the mirror does not hold."""
        sentences = sorted({*not_covered, *self._not_covered, *self.fetched.lacking})
        self._manifest = replace(self._manifest, not_covered=tuple(sentences))
        self._save()

    @staticmethod
    def _same(there: MirrorFile | None, path: Path) -> bool:
        return there is not None and there.sha256 == sha256_file(path)

    def _work(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(dir=self._folder, prefix=NEW_PREFIX)

    def _keep(self, items: Iterable[tuple[Path, _Kept]], below: str = PACKAGES) -> None:
        """Move verified files to their places and note them."""
        (self._folder / below).mkdir(parents=True, exist_ok=True)
        rows = []
        for path, about in items:
            name = f"{below}/{path.name}"
            sha256, size_bytes = sha256_file(path), path.stat().st_size
            os.chmod(path, 0o644)
            os.replace(path, self._folder / name)
            rows.append(
                MirrorFile(
                    name, sha256, size_bytes, about.kind, about.package, about.version, about.license, (about.purpose,)
                )
            )
            if about.kind != "index":
                self.fetched.added.append(name)
        replaced = {row.name for row in rows}
        others = tuple(one for one in self._manifest.files if one.name not in replaced)
        self._manifest = replace(self._manifest, files=others).with_files(rows)

    def _save(self) -> None:
        write(self._folder, self._manifest)


def _name_of(path: Path, pins: Iterable[Pin]) -> tuple[str, str]:
    """Return name and version of a wheel that pip brought for one of the pins."""
    stem = path.name.split("-")
    project = canonicalize_name(stem[0])
    return next(((pin.name, pin.version) for pin in pins if pin.name == project), (project, stem[1]))
