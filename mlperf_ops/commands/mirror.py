"""`mlperf-ops mirror`: a folder from which hosts install without a route to the outside."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, cast

import typer

import mlperf_ops
from mlperf_ops.ansible_command import playbook_command
from mlperf_ops.catalogue import Catalogue, load_catalogue
from mlperf_ops.commands.plan import ANSWER_VARIABLE
from mlperf_ops.errors import EXIT_VERDICT, ConfigError, ResultError, ToolError
from mlperf_ops.files import Json, JsonObject, pretty_json, read_json
from mlperf_ops.mirror import server
from mlperf_ops.mirror.archive import export, import_
from mlperf_ops.mirror.fetch import Fetched, LockFor, Wanted, fetch, wanted_by
from mlperf_ops.mirror.manifest import Manifest, read, verify
from mlperf_ops.mirror.wheels import DEFAULT_GLIBC_MINOR, Target, own_target
from mlperf_ops.plan_model import Plan
from mlperf_ops.typed import load

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fill, verify, carry and serve a mirror: everything that a plan needs, in one folder.\n\n"
    "Example: mlperf-ops mirror fetch mirror --plan results/lab/plan.json",
)

_PYTHON = re.compile(r"3\.(\d{1,2})")
_DEFAULT_MINORS = (10, 11, 12, 13)
_GLIBC = re.compile(r"2\.(\d{1,2})")
_Folder = Annotated[Path, typer.Argument(help="The mirror's folder.")]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("fetch")
def fetch_command(  # noqa: PLR0917  # typer makes an option of each
    folder: _Folder,
    plan: Annotated[Path | None, typer.Option(help="A plan.json: what it needs.")] = None,
    inventory: Annotated[str | None, typer.Option("--inventory", "-i", help="Plan this inventory, and fetch.")] = None,
    python_version: Annotated[
        list[str] | None,
        typer.Option(help="Python of the hosts, such as 3.12; may be repeated. Default: what their facts say, or all."),
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(help="Architecture of the hosts; may be repeated. Default: their facts, or mine."),
    ] = None,
    glibc: Annotated[str, typer.Option(help="Oldest glibc of the hosts.")] = f"2.{DEFAULT_GLIBC_MINOR}",
    controller: Annotated[
        bool, typer.Option("--controller/--no-controller", help="Also the wheels that a controller itself needs.")
    ] = True,
    checkouts: Annotated[
        bool, typer.Option("--checkouts/--no-checkouts", help="Also the commit of the official checker.")
    ] = True,
    checkout: Annotated[str, typer.Option(help="Folder or URL of the official repository.")] = "",
    os_packages: Annotated[
        list[str] | None,
        typer.Option("--os-packages", help="Debian packages for hosts of this machine's release; comma or repeated."),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Fetch what a plan needs and the mirror lacks: wheels, package files of components, the official checker.

    Exit code 1 when no package index has a wheel that hosts of that kind need.

    Example: mlperf-ops mirror fetch mirror -i inventory/lab --python-version 3.11 --arch x86_64
    """
    catalogue = load_catalogue()
    found, path = _plan(plan, inventory)
    run = path.parent if path is not None else Path("results", found.run_id)
    targets = _targets(run, python_version or [], arch or [], glibc)
    wanted = _wanted(found, catalogue, targets, controller=controller, checkouts=checkouts, checkout=checkout)
    names = tuple(name for words in os_packages or [] for name in words.replace(",", " ").split())
    did = fetch(folder, replace(wanted, os_packages=names), lambda line: typer.echo(f"mlperf-ops: {line}", err=True))
    _tell_fetched(folder, did, read(folder), as_json=as_json)
    raise typer.Exit(EXIT_VERDICT if did.lacking else 0)


@app.command("verify")
def verify_command(folder: _Folder, as_json: _AsJson = False) -> None:
    """Read every byte of a mirror. Exit code 1 when a file is damaged, missing or foreign.

    Example: mlperf-ops mirror verify mirror
    """
    found = verify(folder)
    if as_json:
        typer.echo(pretty_json({"folder": str(folder), **asdict(found)}), nl=False)
    else:
        for name, what in found.faults.items():
            typer.echo(f"{name} is {what}")
        typer.echo(f"{found.files} files, {found.size_bytes / 1e6:.1f} MB, {len(found.faults)} faults", err=True)
    raise typer.Exit(EXIT_VERDICT if found.faults else 0)


@app.command("export")
def export_command(
    folder: _Folder, archive: Annotated[Path, typer.Argument(help="The tar file.")], as_json: _AsJson = False
) -> None:
    """Write a verified mirror into one tar file, for a stick.

    Example: mlperf-ops mirror export mirror /media/stick/mirror.tar
    """
    size_bytes = export(folder, archive)
    if as_json:
        typer.echo(pretty_json({"archive": str(archive), "size_bytes": size_bytes}), nl=False)
    else:
        typer.echo(f"{archive}: {size_bytes / 1e6:.1f} MB")


@app.command("import")
def import_command(
    archive: Annotated[Path, typer.Argument(help="What export wrote.")], folder: _Folder, as_json: _AsJson = False
) -> None:
    """Take the files of an exported mirror into a folder, each checked by its digest; all of them or none.

    Example: mlperf-ops mirror import /media/stick/mirror.tar /srv/mirror
    """
    did = import_(archive, folder)
    if as_json:
        typer.echo(pretty_json({"folder": str(folder), **asdict(did)}), nl=False)
    else:
        typer.echo(f"{folder}: {len(did.added)} files added, {did.already} were there")


@app.command("serve")
def serve_command(
    folder: _Folder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8000,
    address: Annotated[str, typer.Option(help="Address to listen at.")] = "0.0.0.0",  # noqa: S104  # it is for the hosts
    as_json: _AsJson = False,
) -> None:
    """Serve a mirror to hosts, read-only, until SIGTERM or Ctrl-C: package index, apt repository and files.

    Example: mlperf-ops mirror serve mirror --port 8000
    """
    read(folder)
    try:
        made = server.make_server(folder, address, port)
    except OSError as error:
        raise ToolError(
            f"port {port} of {address} cannot be served: {error.strerror or error}", hint="choose another --port"
        ) from error
    where = f"http://{address}:{made.server_address[1]}"
    typer.echo(json.dumps({"url": where}) if as_json else where)
    sys.stdout.flush()
    server.serve(made)


# --- what is wanted ---------------------------------------------------------------------------------------------------


def _plan(path: Path | None, inventory: str | None) -> tuple[Plan, Path | None]:
    """Return the plan that is asked for, and its file when it has one."""
    if (path is None) == (inventory is None):
        raise ConfigError("give one of --plan and --inventory", hint="mlperf-ops mirror fetch mirror -i inventory/lab")
    if path is not None:
        if not path.is_file():
            raise ConfigError(f"there is no plan at {path}", hint="run mlperf-ops plan first")
        return load(Plan, read_json(path), str(path)), path
    made = playbook_command("playbooks/validate.yml", str(inventory), arguments=["--check"])
    with tempfile.TemporaryDirectory(prefix="mlperf_ops_") as folder:
        kept = Path(folder) / "answer.json"
        environment = {**made.env, ANSWER_VARIABLE: str(kept)}
        done = subprocess.run(made.argv, env=environment, capture_output=True, text=True, check=False)
        answer = read_json(kept) if kept.is_file() else {}
    if answer.get("error"):
        raise ConfigError(str(answer["error"]), hint=str(answer["hint"]) if answer.get("hint") else None)
    if "plan" not in answer:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ToolError(f"{inventory} cannot be planned: {'; '.join(lines[-3:])}", hint="run mlperf-ops plan first")
    return load(Plan, answer["plan"], f"the plan of {inventory}"), None


def _targets(run: Path, pythons: list[str], machines: list[str], glibc: str) -> tuple[Target, ...]:
    """Return the interpreters of the hosts: as given, else as their facts say, else all that locks support."""
    minimum = _GLIBC.fullmatch(glibc)
    if minimum is None:
        raise ConfigError(f"--glibc {glibc}: expected a version such as 2.{DEFAULT_GLIBC_MINOR}")
    for one in pythons:
        if _PYTHON.fullmatch(one) is None:
            raise ConfigError(f"--python-version {one}: expected a version such as 3.12")
    seen = _facts(run)
    minors = [int(one.partition(".")[2]) for one in pythons] or sorted({minor for minor, _ in seen})
    archs = machines or sorted({machine for _, machine in seen})
    return tuple(
        Target((3, minor), machine, int(minimum[1]))
        for minor in minors or _DEFAULT_MINORS
        for machine in archs or [platform.machine()]
    )


def _facts(run: Path) -> set[tuple[int, str]]:
    """Return minor version of Python and architecture of each host whose facts were collected."""
    seen = set()
    for path in sorted(run.glob("hosts/*/facts.json")):
        with contextlib.suppress(ResultError, KeyError, TypeError, ValueError, IndexError):  # they are a convenience
            values = cast("dict[str, dict[str, Json]]", read_json(path)["values"])
            version, machine = (str(values[key]["value"]) for key in ("python_version", "architecture"))
            seen.add((int(version.split(".")[1]), machine))
    return seen


def _wanted(
    plan: Plan, catalogue: Catalogue, targets: tuple[Target, ...], *, controller: bool, checkouts: bool, checkout: str
) -> Wanted:
    package = Path(mlperf_ops.__file__).parent
    wanted = wanted_by(plan, catalogue, package / "catalogue" / "locks", targets)
    locks, sentences = wanted.locks, wanted.not_covered
    lock = package.parent / "requirements" / "run.txt"
    if controller and lock.is_file():
        locks = (*locks, LockFor(lock, "controller", (own_target(),)))
    elif controller:
        sentences = (*sentences, "the controller's own wheels: requirements/run.txt is in a checkout only")
    return replace(
        wanted,
        locks=locks,
        checkouts=wanted.checkouts if checkouts else (),
        checkout=checkout,
        not_covered=sentences,
    )


def _tell_fetched(folder: Path, did: Fetched, manifest: Manifest, *, as_json: bool) -> None:
    size_bytes = sum(one.size_bytes for one in manifest.files)
    answer: JsonObject = {
        "folder": str(folder),
        "added": list(did.added),
        "kept": did.kept,
        "files": len(manifest.files),
        "size_bytes": size_bytes,
        "lacking": list(did.lacking),
        "not_covered": list(manifest.not_covered),
    }
    if as_json:
        typer.echo(pretty_json(answer), nl=False)
        return
    typer.echo(f"{folder}: {len(did.added)} files added, {len(manifest.files)} in all, {size_bytes / 1e6:.1f} MB")
    for sentence in manifest.not_covered:
        typer.echo(f"not in it: {sentence}")
