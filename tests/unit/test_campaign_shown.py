"""What people and programs are shown of a campaign."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from mlperf_ops.campaign.model import Status
from mlperf_ops.campaign.show import show
from mlperf_ops.campaign.summary import Asked
from mlperf_ops.typed import dump, load
from tests.support.campaigns import NOW, PLAY, begun, lab, says, whole
from tests.support.earlier import leave_attempt, leave_host


def shown(status: Status, *, width: int = 120, encoding: str = "utf-8", every_cell: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=stream, width=width, soft_wrap=True, highlight=False)
    show(status, console, now=NOW, every_cell=every_cell)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_three_hosts_make_a_matrix_with_a_legend_and_what_is_left(tmp_path: Path) -> None:
    made = lab(3)
    leave_host(tmp_path, "sut1", *(leave_attempt(tmp_path, one) for one in made.cells if one.host == "sut1"))
    running = next(one for one in made.cells if one.host == "sut2")
    text = shown(whole(made, tmp_path, asked=Asked({"sut2": says(begun(running))}, {"sut3": "no route"}), play=PLAY))
    rows = [line.split() for line in text.splitlines() if line.startswith("sut")]
    assert rows[0] == ["sut1", "efficientnet-lite0", "✔✔", "✔✔", "✔✔", "✔✔", "done"]
    assert rows[1][2] == "▶·"
    assert rows[2][2:] == ["⊘⊘", "⊘⊘", "⊘⊘", "⊘⊘", "no", "answer"]
    assert "a mark is a cell, in this order: accuracy, performance" in text
    assert "✔ valid  ▶ running  · planned  ⊘ blocked" in text
    assert "⊘ sut3: no answer: no route" in text
    assert re.search(r"left: .* of measuring, .*ready .*14:.*; without 8 blocked cells", text)
    assert "critical path: sut2" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_of_the_matrix_is_wider_than_the_terminal(width: int) -> None:
    made = lab(32)
    answers = {host.name: says() for host in made.hosts if host.name != "sut7"}
    text = shown(whole(made, asked=Asked(answers, {"sut7": "no route to it"})), width=width)
    rows = [line for line in text.splitlines() if re.match(r"sut\d+ .*··|sut\d+ .*⊘⊘", line)]
    assert len(rows) == 32
    assert max(len(row.rstrip()) for row in rows) <= width
    assert all(row.count("··") + row.count("⊘⊘") == 4 for row in rows)


def test_a_pipe_without_such_letters_gets_others() -> None:
    text = shown(whole(lab(1)), encoding="ascii")
    assert ". planned" in text


def test_each_cell_can_have_a_line_of_its_own(tmp_path: Path) -> None:
    made = lab(2)
    leave_host(tmp_path, "sut1", leave_attempt(tmp_path, made.cells[0], verdict="invalid"))
    lines = [line for line in shown(whole(made, tmp_path), every_cell=True, width=1000).splitlines() if "sut" in line]
    cells = [line for line in lines if re.match(r"\S sut\d/", line)]
    assert len(cells) == len(made.cells)
    assert cells[0].startswith(f"! {made.cells[0].cell.key}  invalid")
    assert cells[0].endswith("the run was too short")


def test_equal_reasons_are_told_once(tmp_path: Path) -> None:
    made = lab(1)
    leave_host(tmp_path, "sut1", *(leave_attempt(tmp_path, one, verdict="invalid") for one in made.cells))
    text = shown(whole(made, tmp_path))
    assert text.count("the run was too short") == 1
    assert f"! {made.cells[0].cell.key} and 7 more: the run was too short" in text


def test_the_json_has_the_form_of_its_schema(tmp_path: Path) -> None:
    made = lab(1)
    status = whole(made, asked=Asked({"sut1": says(begun(made.cells[0]))}), play=PLAY)
    assert load(Status, dump(status), "status") == status
