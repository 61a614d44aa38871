"""From a submission tree to one archive: only what passes, nothing that must not leave, the same bytes every time."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlperf_ops.aggregate import SUMMARY
from mlperf_ops.catalogue.round import Round
from mlperf_ops.checker.check import check_tree
from mlperf_ops.checker.model import CheckReport
from mlperf_ops.checker.tree import Tree, join
from mlperf_ops.checker.walk import read_tree
from mlperf_ops.documents import TAINTED
from mlperf_ops.errors import SubmissionError, ToolError, unknown_name
from mlperf_ops.files import read_json, sha256_file, sha256_text, write_json
from mlperf_ops.pack_manifest import BESIDE, PAGE, PackedResult, PackManifest, is_safe_name, page
from mlperf_ops.run_plan import REPORT
from mlperf_ops.secret_forms import machine_paths, scan
from mlperf_ops.typed import dump
from mlperf_ops.wording import plural

_SHOWN = 5
_MODE = 0o644
_COMPRESSION = 6


@dataclass(frozen=True, slots=True)
class PackReport:
    """What was packed: the archive, its manifest, and whether either is new."""

    pack: Path
    manifest: PackManifest
    changed: bool


def pack_tree(
    tree: Path, round_: Round, output: Path, *, allow_tainted: Sequence[str] = (), private: Sequence[Path] = ()
) -> PackReport:
    """Pack a submission tree.

    Args:
        tree: The folder that holds the divisions.
        round_: The round whose check it has to pass.
        output: The archive, X.tar.gz; its manifest goes beside it.
        allow_tainted: Results that may be packed although their host drifted, as `system/benchmark/scenario`
            where the tree has one of that name, or by their folder.
        private: Folders of this machine whose path must not occur in any file, beside the user's home.

    Raises:
        SubmissionError: The tree holds what the round rejects, what a stand-in made, what is tainted and not allowed by
            name, or what must not leave; names it.
        ConfigError: A name in `allow_tainted` is no result of the tree.
        ToolError: The archive cannot be written.
    """
    read = read_tree(tree)
    _refuse_special(read)
    names = sorted(f"{location}/{name}" if location else name for location, folder in read.folders.items()
                   for name in folder.files if (location, name) != ("", PAGE))  # fmt: skip
    try:
        _refuse_leaks(tree, names, machine_paths(tree, output.parent, *private))
        report = check_tree(tree, round_)
        _refuse_findings(report)
        tainted = tainted_results(report, tree, round_, allow_tainted)
        files = {name: sha256_file(tree / name) for name in names}
    except OSError as error:
        raise SubmissionError(f"cannot read {error.filename}: {error.strerror or error}") from error
    results = tuple(_result(one.location, one.metric, one.unit) for one in report.results)
    text = page(round_.name, results, tainted, files)
    changed = _write(tree, names, text, output)
    manifest = PackManifest(
        pack=output.name,
        sha256=sha256_file(output),
        size_bytes=output.stat().st_size,
        round=round_.name,
        results=results,
        tainted=tainted,
        files={**files, PAGE: sha256_text(text)},
    )
    changed = write_json(beside(output), dump(manifest)) or changed
    return PackReport(output, manifest, changed)


def beside(output: Path) -> Path:
    """Return the place of a pack's manifest."""
    return output.with_name(output.name + BESIDE)


def _result(location: str, metric: float | None, unit: str | None) -> PackedResult:
    return PackedResult(location, "no number" if metric is None else f"{metric:.6g} {unit}")


# --- what is refused -------------------------------------------------------------------------------------------------


def _refuse_findings(report: CheckReport) -> None:
    objections = [finding for finding in report.findings if finding.rejects]
    if not objections:
        return
    shown = "; ".join(f"{one.rule} at {one.location}: {one.message}" for one in objections[:_SHOWN])
    more = f"; and {len(objections) - _SHOWN} more" if len(objections) > _SHOWN else ""
    raise SubmissionError(
        f"nothing was packed: the check of {report.round} rejects the tree, {plural(len(objections), 'finding')}: "
        f"{shown}{more}",
        hint=f"'{shlex.join(['mlperf-ops', 'check', report.tree, '--round', report.round])}' explains each; correct "
        "what it names, or leave the result out and aggregate again; no option packs what the round rejects",
    )


def _refuse_special(read: Tree) -> None:
    """Refuse what an archive cannot carry as what it is: links, even good ones, and what is no regular file."""
    if read.links:
        link = read.links[0]
        raise SubmissionError(f"{link.location} is a link to '{link.target}'", hint="put the file itself there")
    if read.unreadable:
        location, why = next(iter(read.unreadable.items()))
        raise SubmissionError(f"{location} cannot be packed: {why}")
    for location, folder in read.folders.items():
        for name in (*folder.files, *folder.folders):
            if not is_safe_name(name):
                raise SubmissionError(
                    f"{join(location, name)!r} cannot be packed: the name is no plain text",
                    hint="rename it without control characters, '\\' and what is not UTF-8",
                )


def tainted_results(report: CheckReport, tree: Path, round_: Round, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the tainted results, every one of them allowed by name.

    A result's README.md says that it is, and so does the report of the aggregation beside the tree: people may write
    the page anew.

    Raises:
        SubmissionError: One is not allowed.
        ConfigError: A name is no result's.
    """
    found: dict[str, str] = {}
    known: dict[str, str] = {}
    told = _told_of_taints(tree)
    count = Counter(map(_short, (one.location for one in report.results)))
    for one in report.results:
        short = _short(one.location)
        name = short if count[short] == 1 else one.location
        known |= {name: name, one.location: name}
        folder = round_.layout.measurements_dir.format(
            division=one.division,
            submitter=one.submitter,
            system=one.system,
            benchmark=one.benchmark,
            scenario=one.location.rpartition("/")[2],
        )
        text = (tree / folder / "README.md").read_text(errors="replace")
        line = next((line for line in text.splitlines() if line.startswith(TAINTED)), None)
        if line is not None or one.location in told:
            found[name] = told[one.location] if line is None else line.removeprefix("- ")
    for name in allowed:
        if name not in known:
            raise unknown_name("result", name, known, where="--allow-tainted")
    waived = {known[one] for one in allowed}
    refused = [name for name in found if name not in waived]
    if refused:
        raise SubmissionError(
            f"nothing was packed: {plural(len(refused), 'tainted result')}: "
            + "; ".join(f"{name}: {found[name]}" for name in refused[:_SHOWN]),
            hint=f"run the cells again, or allow one by name: --allow-tainted {refused[0]}",
        )
    return tuple(sorted(found))


def _short(location: str) -> str:
    return "/".join(location.split("/")[-3:])


def _told_of_taints(tree: Path) -> dict[str, str]:
    """Return folder and drift of each tainted result, of the report that the aggregation wrote beside the tree."""
    path = tree.resolve().parent / REPORT / SUMMARY
    if not path.is_file():
        return {}
    summary = read_json(path)
    written = summary.get("written") if summary.get("tree") == tree.resolve().name else None
    return {
        str(one.get("path")): f"Tainted: {'; '.join(map(str, drifts))}"
        for one in (written if isinstance(written, list) else ())
        if isinstance(one, dict) and isinstance(drifts := one.get("tainted"), list) and drifts
    }


def _refuse_leaks(tree: Path, names: Iterable[str], paths: Sequence[str]) -> None:
    leaks = list(scan(tree, names, paths))
    if not leaks:
        return
    shown = "; ".join(leak.sentence for leak in leaks[:_SHOWN])
    more = f"; and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
    raise SubmissionError(
        f"nothing was packed: {len(leaks)} {'place holds' if len(leaks) == 1 else 'places hold'} what must not leave: "
        f"{shown}{more}",
        hint="correct the inventory or the raw file's maker, and aggregate again; revoke a key or token that got there",
    )


# --- the archive -----------------------------------------------------------------------------------------------------


def _write(tree: Path, names: Sequence[str], text: str, output: Path) -> bool:
    """Write the archive whole or not at all, unless it is there already byte for byte; say whether it is new."""
    temporary: str | None = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        with os.fdopen(descriptor, "wb") as raw:
            # No file name and no time in the gzip header: only the content decides the bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_COMPRESSION, mtime=0) as packed:
                _fill(packed, tree, names, text)
            raw.flush()
            os.fsync(raw.fileno())
        if output.is_file() and sha256_file(output) == sha256_file(Path(temporary)):
            return False
        os.chmod(temporary, _MODE)
        os.replace(temporary, output)
        temporary = None
    except OSError as error:
        raise ToolError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
    return True


def _fill(stream: gzip.GzipFile, tree: Path, names: Sequence[str], text: str) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        raw = text.encode()
        tar.addfile(_member(PAGE, len(raw)), io.BytesIO(raw))
        for name in names:
            path = tree / name
            with path.open("rb") as content:
                tar.addfile(_member(name, os.fstat(content.fileno()).st_size), content)


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    """Return a header that says nothing but name and size: no time, no owner, no host."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size_bytes, _MODE, 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
