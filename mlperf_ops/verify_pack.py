"""What a reviewer asks of a pack: is it what was packed, is it safe to open, and does its content pass the check."""

from __future__ import annotations

import errno
import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, cast

from mlperf_ops.catalogue import Catalogue
from mlperf_ops.checker.check import check_tree
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.errors import ConfigError, SubmissionError, ToolError
from mlperf_ops.files import read_json, sha256_file
from mlperf_ops.pack import beside
from mlperf_ops.pack_manifest import PAGE, PackManifest, is_safe_name, read_page, tainted_of
from mlperf_ops.typed import load

_CHUNK_BYTES = 1 << 20
_LARGEST_BYTES = 256 << 30  # of all files together; more is an attack on the disk, not a submission
_MOST_FILES = 5_000_000
_NO_FILE = "no file"
# What names of a pack bring about: a file that is a folder, too, or a name that is too long.
_OF_THE_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what the manifest says.

    Attributes:
        expected: What the manifest says, such as a sha256.
        found: What the pack holds.
    """

    file: str
    what: Literal["changed", "missing", "added", "damaged"]
    expected: str
    found: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found.

    Attributes:
        pack: The archive.
        sha256: Its digest.
        round: Whose rules were applied; None when nothing could be checked.
        against: The manifests that it was compared with; the one inside is the maker's word alone.
        files: Files that were compared.
        differences: What is not as it was packed.
        check: The check of the content; None when the archive could not be unpacked.
        tainted: Results that were packed although their host drifted, as the page inside says.
    """

    pack: str
    sha256: str
    round: str | None
    against: tuple[str, ...]
    files: int
    differences: tuple[Difference, ...]
    check: CheckReport | None
    tainted: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing was changed and nobody objects."""
        return not self.differences and self.check is not None and self.check.verdict == "submittable"


def verify(pack: Path, folder: Path, catalogue: Catalogue, *, round_name: str | None = None) -> VerifyReport:
    """Verify a pack.

    Args:
        pack: The archive.
        folder: An empty folder to unpack into.
        catalogue: Rounds.
        round_name: The round; default: the one that the manifest names.

    Raises:
        SubmissionError: There is no such archive, it is none that mlperf-ops wrote, or a member of it would reach out
            of the folder.
        ConfigError: The round is unknown, or not the pack's.
        ToolError: The folder cannot be written, or its disk is full; that says nothing of the pack.
    """
    if not pack.is_file():
        raise SubmissionError(f"there is no pack {pack}", hint="give the .tar.gz that mlperf-ops pack wrote")
    sha256 = sha256_file(pack)
    told = _beside(pack)
    differences = [] if told is None or told.sha256 == sha256 else [
        Difference(pack.name, "changed", told.sha256, sha256, "the pack as a whole is not the one of its manifest")
    ]  # fmt: skip
    found: dict[str, str] = {}
    try:
        for name, digest in _unpack(pack, folder):
            found[name] = digest  # noqa: PERF403  # what was found counts when the archive ends early
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        last = next(reversed(found), "the first file")
        message = f"it cannot be read beyond {last}: {error}"
        differences.append(Difference(pack.name, "damaged", "a whole archive", "one that ends early", message))
        differences += _changed({} if told is None else told.files, found, whole=False)
        return VerifyReport(str(pack), sha256, None, () if told is None else (beside(pack).name,), len(found),
                            tuple(differences), None)  # fmt: skip
    listed_round, files, tainted = _page(folder, pack)
    if told is not None and told.files.get(PAGE) not in {None, found.get(PAGE)}:
        message = "it is not the one that the manifest beside the pack lists"
        differences.append(Difference(PAGE, "changed", told.files[PAGE], found[PAGE], message))
        files = {name: digest for name, digest in told.files.items() if name != PAGE}
    differences += _changed(files, {name: digest for name, digest in found.items() if name != PAGE}, whole=True)
    if round_name is not None and round_name != listed_round:
        raise ConfigError(f"{pack} was packed for round {listed_round}, and --round is {round_name}")
    check = replace(check_tree(folder, catalogue.round(listed_round, PAGE)), tree=str(pack))
    against = (PAGE, beside(pack).name) if told is not None else (PAGE,)
    return VerifyReport(str(pack), sha256, listed_round, against, len(found), tuple(differences), check, tainted)


def _beside(pack: Path) -> PackManifest | None:
    path = beside(pack)
    return load(PackManifest, read_json(path), str(path)) if path.is_file() else None


def _page(folder: Path, pack: Path) -> tuple[str, dict[str, str], tuple[str, ...]]:
    path = folder / PAGE
    if not path.is_file():
        raise SubmissionError(f"{pack} has no {PAGE}, so it is no pack of mlperf-ops")
    text = path.read_text(errors="replace")
    return (*read_page(text), tainted_of(text))


def _changed(listed: Mapping[str, str], found: Mapping[str, str], *, whole: bool) -> Iterator[Difference]:
    """Yield what differs; of an archive that ends early only what could be read."""
    for name, digest in sorted(listed.items()):
        if name in found and found[name] != digest:
            yield Difference(name, "changed", digest, found[name], "its sha256 is another one")
        elif name not in found and whole:
            yield Difference(name, "missing", digest, _NO_FILE, "the manifest lists it, and the pack does not hold it")
    for name in sorted(set(found) - set(listed)) if whole else ():
        yield Difference(name, "added", _NO_FILE, found[name], "the pack holds it, and the manifest does not list it")


def _unpack(pack: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Unpack plain files below a folder and yield name and sha256; everything else is refused.

    Raises:
        SubmissionError: A member is a link, a device or a pipe, has an unsafe name, comes twice, or is too much.
        ToolError: The folder cannot be written.
    """
    seen: set[str] = set()
    size_bytes = 0
    with gzip.open(pack) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            name = _safe(member, pack)
            size_bytes += member.size
            if name in seen:
                raise SubmissionError(f"{pack} holds {name} twice", hint="do not trust it")
            if size_bytes > _LARGEST_BYTES or len(seen) >= _MOST_FILES:
                raise SubmissionError(f"{pack} unpacks to more than a submission can be", hint="do not trust it")
            seen.add(name)
            content = tar.extractfile(member)
            assert content is not None  # noqa: S101  # a regular file
            yield name, _write(cast("BinaryIO", content), folder, name, member.size)
        while chunk := stream.read(_CHUNK_BYTES):  # to the end, where gzip's own checksum is
            if chunk.strip(b"\0"):
                raise tarfile.ReadError("there is something behind the end of the archive")


def _safe(member: tarfile.TarInfo, pack: Path) -> str:
    path = PurePosixPath(member.name)
    kinds = {"a symbolic link": member.issym(), "a hard link": member.islnk(), "a folder": member.isdir(),
             "a device or a pipe": member.isdev()}  # fmt: skip
    kind = next((word for word, is_it in kinds.items() if is_it), None if member.isreg() else "no regular file")
    if kind is not None:
        raise SubmissionError(
            f"{pack}: '{member.name}' is {kind}; a pack holds plain files only", hint="do not trust it"
        )
    parts = member.name.split("/")
    if path.is_absolute() or not all(is_safe_name(part) for part in parts):
        raise SubmissionError(f"{pack}: the name {member.name!r} leads out of the pack", hint="do not trust it")
    return member.name


def _write(content: BinaryIO, folder: Path, name: str, size_bytes: int) -> str:
    """Write a member below the folder and return its sha256; what fails on this side is not the pack's."""
    target = folder / name
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            for chunk in _chunks(content, target.name, size_bytes):
                digest.update(chunk)
                stream.write(chunk)
    except OSError as error:
        if error.errno in _OF_THE_NAMES:
            raise
        hint = "--extract can name another folder, with room"
        raise ToolError(f"cannot unpack into {folder}: {error.strerror or error}", hint=hint) from error
    return digest.hexdigest()


def _chunks(content: BinaryIO, name: str, size_bytes: int) -> Iterator[bytes]:
    """Yield what a member holds.

    Raises:
        EOFError: It ends early.
        tarfile.ReadError: It cannot be read; no OSError, which would be taken for one of the folder.
    """
    left = size_bytes
    try:
        while chunk := content.read(min(_CHUNK_BYTES, left) if left else 1):
            yield chunk
            left -= len(chunk)
    except OSError as error:
        raise tarfile.ReadError(str(error)) from error
    if left:
        raise EOFError(f"{name} ends early")
