"""What power-dev's client runs twice: `python -m mlperf_ops.harness.power_phase --attempt ATTEMPT --home HOME`.

The phase follows from what the client itself has written: it makes ranging/ when ranging has ended. Each phase has a
folder of its own with its own user.conf, and this process becomes the workload there. Standard library only.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from mlperf_ops.files import read_json
from mlperf_ops.harness import failures, power_cell, verdicts
from mlperf_ops.harness.attempt_files import PHASE, SPEC, USER_CONF
from mlperf_ops.harness.failures import CellError
from mlperf_ops.model import Spec
from mlperf_ops.typed import load


def prepare(attempt: Path, home: Path, python: str) -> tuple[Path, list[str]]:
    """Make the folder of the phase that begins; return it and the workload's command.

    Raises:
        CellError: The clock is wrong, ranging ran with other settings, or the phase has begun before.
        ResultError: The spec is damaged.
    """
    spec = load(Spec, read_json(attempt / SPEC), str(attempt / SPEC))
    if spec.power is None:
        raise CellError("bad_input", "the spec asks for no power measurement")
    ranged = attempt / "ranging"
    phase = power_cell.TESTING if ranged.is_dir() else power_cell.RANGING
    if phase == power_cell.TESTING:
        expected = dataclasses.replace(spec.loadgen, expect=spec.power.ranging_expect)
        of_ranging = dataclasses.replace(spec, loadgen=expected)
        detail, _ = verdicts.read_loadgen(of_ranging, ranged)
        verdicts.check_settings(of_ranging, detail)
    power_cell.check_clock(power_cell.client_of(home))
    folder = attempt / power_cell.WORK / phase
    try:
        folder.mkdir()
    except FileExistsError:
        raise CellError("bad_input", f"the client began {phase} twice", "see console.log") from None
    conf = spec.loadgen.user_conf if phase == power_cell.TESTING else spec.power.ranging_conf
    (folder / USER_CONF).write_text(conf)
    (folder / SPEC).write_text((attempt / SPEC).read_text())
    (attempt / PHASE).write_text(phase)
    return folder, [word.replace("{python}", python).replace("{attempt}", str(folder)) for word in spec.argv]


def main() -> int:
    """Become the workload of the phase that begins."""
    parser = argparse.ArgumentParser(prog="python -m mlperf_ops.harness.power_phase", description="Run one phase.")
    parser.add_argument("--attempt", type=Path, required=True, help="the cell's attempt")
    parser.add_argument("--home", type=Path, required=True, help="mlperf_home")
    arguments = parser.parse_args()
    try:
        folder, argv = prepare(arguments.attempt, arguments.home, sys.executable)
        os.chdir(folder)
        try:
            os.execvp(argv[0], argv)  # noqa: S606  # the words of the spec
        except OSError as error:
            raise CellError(
                "no_program", f"cannot start {argv[0]}: {error.strerror}", "is the command prefix installed?"
            ) from error
    except Exception as error:  # noqa: BLE001  # whatever it is, the supervisor is told
        failures.leave(error, arguments.attempt)
        print(f"power_phase: {error}", file=sys.stderr)  # noqa: T201  # console.log
        return failures.EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
