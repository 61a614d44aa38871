"""Bring what a cell has left as soon as it has ended: its small files at once, the large ones when the host is done.

Between two cells, so that no copy disturbs a measurement. Nothing of it decides over a cell: what cannot come now is
told in a sentence and comes with the collecting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import controller, fetch

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.fetching import assemble, parts

display = Display()


class EarlyCopies:
    """The attempts that one play has run on a host, on their way to the controller."""

    def __init__(
        self, action: ActionBase, home: str, run: Path, plan: Mapping[str, Any], host: Mapping[str, Any]
    ) -> None:
        """Keep where the attempts go.

        Args:
            action: Its connection is used.
            home: mlperf_home of the host, absolute.
            run: The results folder.
            plan: plan.json.
            host: The host's entry there.
        """
        self._source = fetch.source_of(action, home)
        self._run, self._run_id = run, plan["run_id"]
        self._name, self._system = host["name"], host["system"]
        self._folder = run / "hosts" / host["name"]
        self._owned = False
        self._left: list[Any] = []

    def bring(self, key: str, path: str) -> None:
        """Bring an attempt that has just ended: all of it when it is small, its small files otherwise."""
        self._bring([(key, path)], assemble.SMALL_BYTES)

    def bring_rest(self) -> None:
        """Bring what is left, now that no cell of this host is measured."""
        left, self._left = self._left, []
        if left:
            self._bring([(one.key, one.path) for one in left], None)

    def _bring(self, attempts: list[tuple[str, str]], most_bytes: int | None) -> None:
        try:
            wanted = [self._wanted(key, path) for key, path in attempts]
            if not self._owned:
                controller.runlock.acquire(self._run)
                self._owned = True
            told = fetch.progress_lines(self._name)
            with fetch.alone(self._name, self._folder):
                lacking = [one for one in wanted if not one.target.exists()]
                problems = assemble.bring(lacking, self._source, most_bytes=most_bytes, progress=told)
                self._left += [one for one in wanted if not one.target.exists()]
                self._keep([one for one in wanted if one.target.is_dir()])
        except (controller.errors.MlperfOpsError, AnsibleError, OSError) as error:
            problems = [str(error)]
        for problem in problems:
            display.display(f"{self._name}  not fetched yet: {problem}", color="yellow")

    def _wanted(self, key: str, path: str) -> Any:  # noqa: ANN401  # mlperf_ops.fetching, which may not be installed
        place = fetch.place_of(path, self._run_id, self._system)
        return parts.Wanted(key, path, self._folder / place)

    def _keep(self, here: list[Any]) -> None:
        """Let cells.json name new attempts, as the host itself does: a tainted one gives way to one that is not."""
        known = fetch.known_cells(self._folder)
        before = dict(known)
        for one in here:
            result: Any = controller.files.read_json(one.target / "result.json")
            place = one.target.relative_to(self._folder).as_posix()
            if not result.get("tainted") or not self._is_clean(known.get(one.key), result):
                known[one.key] = fetch.collected_cell(place, result)
        if known != before:
            fetch.write_cells(self._run, self._name, self._system, known.values())

    def _is_clean(self, held: Any, result: Mapping[str, Any]) -> bool:  # noqa: ANN401  # CollectedCell
        """Tell whether the attempt that stands for a cell now is of the same spec, did not fail and is not tainted."""
        if held is None or held.spec_sha256 != result["spec_sha256"] or held.verdict == "failed":
            return False
        with contextlib.suppress(controller.errors.ResultError):
            return not controller.files.read_json(self._folder / held.path / "result.json").get("tainted")
        return False
