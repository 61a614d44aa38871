"""Bring attempts over an action's own connection, and keep cells.json of their host.

What `results_fetch` and `loadgen_run` share.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, cast

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.fetching import assemble, source

_LINE_SECONDS = (3.0, 30.0)  # to the first progress line, and between the later ones
_LOST_SECONDS = 120.0  # without a byte, before the host counts as unreachable
_AGAIN_SECONDS = 5.0
display = Display()


def source_of(action: ActionBase, home: str) -> Any:  # noqa: ANN401  # mlperf_ops.fetching, which may not be installed
    """Return the host of an action as a source of attempts.

    Args:
        action: Its connection and its privileges are used.
        home: mlperf_home, absolute.
    """
    connection = action._connection  # noqa: SLF001  # as Ansible's own actions do
    if connection.transport == "local" and connection.become is None:
        return source.LocalSource(Path(home))
    goes_on = play_goes_on()
    return source.ShellSource(home, lambda script: run_script(action, script, goes_on), _opener(action))


def play_goes_on() -> Callable[[], None]:
    """Return a check that fails when the play of this process has ended: a worker survives the SIGKILL of its play."""
    play = os.getppid()

    def check() -> None:
        if os.getppid() != play:
            raise AnsibleActionFail("the play that wanted this has ended")

    return check


def _opener(action: ActionBase) -> Callable[[str], AbstractContextManager[IO[bytes]]] | None:
    """Return how to read along what a script prints, which Ansible's own connection only gives at its end.

    Over ssh, where the login needs no word from us: Ansible's own command line, over the same shared connection.
    """
    connection = action._connection  # noqa: SLF001
    build = getattr(connection, "_build_command", None)
    if build is None or connection.transport != "ssh" or connection.become is not None:
        return None
    if connection.get_option("password") or action._play_context.password:  # noqa: SLF001
        return None

    @contextlib.contextmanager
    def opened(script: str) -> Iterator[IO[bytes]]:
        host = connection.get_option("host") or action._play_context.remote_addr  # noqa: SLF001
        process = subprocess.Popen(
            build(connection.get_option("ssh_executable"), "ssh", host, "/bin/sh -s"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # no terminal: it never asks
        )
        try:
            with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as stream:
                stream.write(script.encode())
            with cast("IO[bytes]", process.stdout) as stream:
                yield stream
        finally:
            process.kill()
            process.wait()

    return opened


def alone(name: str, folder: Path) -> AbstractContextManager[None]:
    """Let one process at a time fetch a host's attempts."""
    said = f"{name}  waits for another process that still fetches from it"
    return assemble.alone(folder, lambda: display.display(said))


def run_script(
    action: ActionBase, script: str, goes_on: Callable[[], None], lost_seconds: float = _LOST_SECONDS
) -> bytes:
    """Run a script with the host's shell; a lost connection is tried again for a while, as a long fetch meets some."""
    began = time.monotonic()
    while True:
        goes_on()
        try:
            # With something on standard input there is no terminal, which would change line ends.
            answer = action._low_level_execute_command(  # noqa: SLF001
                "/bin/sh -s", in_data=script.encode(), encoding_errors="surrogateescape"
            )
            return str(answer["stdout"]).encode(errors="surrogateescape")
        except AnsibleConnectionFailure:
            if time.monotonic() - began > lost_seconds:
                raise
            action._connection.reset()  # noqa: SLF001
            time.sleep(_AGAIN_SECONDS)


def progress_lines(name: str) -> Callable[[int, int], None]:
    """Return a progress that shows a line now and then, none of what is quick, and ends with its play."""
    began = shown_at = time.monotonic()
    first: list[int] = []
    goes_on = play_goes_on()

    def told(here: int, total: int) -> None:
        nonlocal shown_at
        goes_on()
        first[:] = first or [here]
        now = time.monotonic()
        if now - shown_at < _LINE_SECONDS[shown_at > began] or here == total:
            return
        shown_at = now
        speed = (here - first[0]) / (now - began)
        left = f", about {(total - here) / speed:.0f} s left" if speed else ""
        sizes = f"{assemble.shown_bytes(here)} of {assemble.shown_bytes(total)}, {assemble.shown_bytes(speed)}/s"
        display.display(f"{name}  fetching  {sizes}{left}")

    return told


def place_of(path: str, run_id: str, system: str) -> str:
    """Return an attempt's folder below hosts/<host> out of its folder below mlperf_home.

    Raises:
        AnsibleActionFail: The host named a folder that is none of this system's.
    """
    prefix = f"runs/{run_id}/{system}/"
    if not path.startswith(prefix) or ".." in path.split("/"):
        raise AnsibleActionFail(f"the host named the unexpected folder {path} (expected one below {prefix})")
    return path[len(prefix) :]


def known_cells(folder: Path) -> dict[str, Any]:
    """Return the cells of cells.json by key; none when there is no file that can be read, as it is written anew."""
    path = folder / "cells.json"
    try:
        held = controller.typed.load(controller.plan_model.CollectedHost, controller.files.read_json(path), str(path))
    except controller.errors.ResultError:
        return {}
    return {cell.key: cell for cell in held.cells}


def write_cells(run: Path, name: str, system: str, cells: Iterable[Any]) -> bool:
    """Write cells.json of a host when it is different."""
    with controller.sentences():
        held = controller.plan_model.CollectedHost(host=name, system=system, cells=tuple(cells))
        controller.runlock.acquire(run)
        return bool(controller.files.write_json(run / "hosts" / name / "cells.json", controller.typed.dump(held)))


def collected_cell(place: str, result: Mapping[str, Any]) -> Any:  # noqa: ANN401  # mlperf_ops.plan_model.CollectedCell
    """Return the line of cells.json for an attempt that is in place."""
    cell = result["cell"]
    return controller.plan_model.CollectedCell(
        key=controller.cell_key(cell),
        spec_sha256=result["spec_sha256"],
        request_sha256=result["request_sha256"],
        attempt=place.rpartition("/")[2],
        path=place,
        verdict=result["verdict"],
        simulated=result["simulated"],
    )
