"""Does an imported run of a compliance test pass? The same verification as when the tree is built, told at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlperf_ops.catalogue import Round
from mlperf_ops.compliance.model import Request, Runs
from mlperf_ops.compliance.scoring import options_of
from mlperf_ops.compliance.verify import verify
from mlperf_ops.errors import ResultError
from mlperf_ops.importing.attempt import Verified, Wanted
from mlperf_ops.importing.names import measured_as


def proof(wanted: Wanted, verified: Verified, round_: Round) -> tuple[bool | None, str]:
    """Return whether a test passes, and why not; None: only aggregation can tell, as a run is not in the same map.

    A vendor's logs may lie in several folders, so they are looked at through links in one.
    """
    assert wanted.test is not None  # noqa: S101  # the caller has asked
    lacking = [mode for mode in round_.compliance[wanted.test].compared_with if mode not in wanted.runs]
    if lacking:
        return None, f"aggregate compares it with the {' and the '.join(lacking)} run, which the map does not name"
    with tempfile.TemporaryDirectory(prefix="mlperf-ops.") as scratch:
        folder = Path(scratch)
        for name, content in verified.files.items():
            if isinstance(content, str):
                (folder / name).write_text(content)
            else:
                (folder / name).symlink_to(content.resolve())
        request = Request(
            test=wanted.test,
            round=round_,
            official=wanted.benchmark.official,
            scenario=measured_as(wanted.cell.scenario),
            runs=Runs(folder, wanted.runs.get("performance"), wanted.runs.get("accuracy")),
            options=options_of(verified.spec, folder),
        )
        try:
            found = verify(request)
        except ResultError as error:
            return False, str(error).replace(f"{folder}/", f"{wanted.folder_name}/")
    remedy = f" ({found.remedy})" if found.remedy else ""
    return found.passed, "" if found.passed else f"{found.sentence}{remedy}"
