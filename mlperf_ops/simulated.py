"""Trees of simulated results: only for the test that shows that a whole submission comes out of the flow.

`mlperf-ops aggregate` refuses simulated results, and no option changes that: this module has no command. What it makes
is no submission either. It lies beside the results as `simulated/`, never as `submission/`; the submitter has to be
TEST-ONLY; and it says that it is simulated in every place that is looked at: in each system's description, in each
result's measurements and page, and by a file SIMULATED.md at the top. The rule `simulated` of `mlperf-ops check`
rejects the tree for each mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mlperf_ops import tree
from mlperf_ops.catalogue import Catalogue
from mlperf_ops.errors import SubmissionError
from mlperf_ops.files import pretty_json
from mlperf_ops.layout import SubmissionLayout
from mlperf_ops.packing import Submission, pack
from mlperf_ops.run_plan import read_plan, round_of
from mlperf_ops.selection import Selection, select
from mlperf_ops.tree import Content

SUBMITTER = "TEST-ONLY"
TREE = "simulated"
MARK_FILE, _PAGE = "SIMULATED.md", "README.md"
_OF_MEASUREMENTS = b'"starting_weights_filename"'
MARK_TEXT = """# Simulated

These results were made by a stand-in that knows the answers and sleeps instead of computing. They say nothing about
any system and are no MLPerf results. The tree exists to test mlperf-ops and must not be submitted.

"""


def build(run: Path, catalogue: Catalogue) -> tuple[Path, Selection, Submission]:
    """Build results/<run>/simulated from results of which some or all are simulated.

    Returns:
        The tree's root, what it was made of, and its contents without the marks.

    Raises:
        ResultError: plan.json cannot be read.
        SubmissionError: The submitter is not TEST-ONLY, or nothing can be packed.
        ToolError: The tree cannot be written.
    """
    plan = read_plan(run)
    if plan.submitter != SUBMITTER:
        raise SubmissionError(
            f"{run} is of submitter {plan.submitter}; a tree of simulated results is only made for {SUBMITTER}"
        )
    round_ = round_of(run, plan, catalogue)
    selection = select(run, plan, catalogue, simulated_too=True)
    submission = pack(run, plan, round_, catalogue, selection)
    if not submission.written:
        left_out = [*selection.refused, *selection.missing]
        raise SubmissionError(f"no scenario of {run} can be packed; first {left_out[0].key}: {left_out[0].reason}")
    described = {
        SubmissionLayout.of(round_, division, plan.submitter).system(system)
        for division in plan.divisions
        for system in dict.fromkeys(host.system for host in plan.hosts)
    }
    tree.replace(run / TREE, marked(submission.files, described))
    return run / TREE, selection, submission


def marked(files: Mapping[PurePosixPath, Content], described: set[PurePosixPath]) -> dict[PurePosixPath, Content]:
    """Return a tree's files with the marks in place.

    Args:
        files: The tree's.
        described: Paths of system descriptions; one that the tree lacks is left out.
    """
    made = dict(files)
    measured = {path for path, content in files.items() if isinstance(content, bytes) and _OF_MEASUREMENTS in content}
    for path in (described | measured) & set(files):
        content = files[path]
        made[path] = pretty_json({**json.loads(_bytes(content)), "simulated": "true"}).encode()
    for path in files:
        if path.name == _PAGE:
            made[path] = MARK_TEXT.encode() + _bytes(files[path])
    made[PurePosixPath(MARK_FILE)] = MARK_TEXT.encode()
    return made


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
