"""Power in the report: a plot with both runs, and efficiency next to performance."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.report.gather import read_run
from mlperf_ops.report.html import verdict_page
from mlperf_ops.report.power import power_panels
from mlperf_ops.report.rows import result_rows
from tests.support.attempts import RealLogs
from tests.support.power_trees import measure
from tests.support.submission_trees import good_tree


@pytest.fixture
def powered(run: Path, tmp_path: Path, real_logs: RealLogs) -> Path:
    """A run of which one Offline attempt has a power measurement beside its logs."""
    performance = measure(good_tree(tmp_path / "tree", real_logs))
    (attempt,) = run.glob("hosts/*/*/Offline/performance/*/attempt_1")
    for name in ("power", "ranging", "run_1"):
        shutil.copytree(performance / name, attempt / name)
    return run


def test_a_cell_with_power_has_a_plot_figures_and_a_note(powered: Path) -> None:
    read = read_run(powered, load_catalogue())
    (panel,) = power_panels(read)
    assert panel.name.endswith(", Offline")
    assert panel.problems == ()
    figures = dict(panel.figures)
    assert figures["Average power"] == "99.50 Watts"
    assert figures["Efficiency"].endswith(" Samples/s/W")
    assert figures["Readings in the run"] == "610 in 10 min 10 s"
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", panel.plot)
    assert "ranging, 100.0 W on average" in texts
    assert "testing, 99.50 W on average" in texts
    (note,) = [note for row in result_rows(read) for note in row.notes if note.startswith("power: ")]
    assert re.fullmatch(r"power: 99\.50 Watts, [\d.,e+-]+ Samples/s/W", note)
    page = verdict_page(read)
    assert '<h2 id="power">' in page
    assert panel.plot in page
    table = page[page.index('<h2 id="power">') : page.index("<h3>" + panel.name)]
    for column in ("Performance", "Efficiency"):
        assert f'data-label="{column}" class="figure">{figures[column]}</td>' in table


def test_what_is_wrong_with_a_measurement_stands_beside_its_plot(powered: Path) -> None:
    (log,) = powered.rglob("power/ptd_logs.txt")
    log.write_text(log.read_text() + "SIMULATED\n")
    read = read_run(powered, load_catalogue())
    (panel,) = power_panels(read)
    assert any(problem.startswith("the readings were made by a stand-in") for problem in panel.problems)
    notes = [note for row in result_rows(read) for note in row.notes]
    assert "power: simulated, no meter was read" in notes


def test_a_measurement_without_readings_says_so_and_draws_nothing(powered: Path) -> None:
    for path in powered.rglob("spl.txt"):
        path.write_text("")
    read = read_run(powered, load_catalogue())
    (panel,) = power_panels(read)
    assert (panel.plot, panel.figures) == ("", ())
    assert panel.problems[0].startswith("no reading above 0 W between")


def test_a_run_without_power_has_no_such_section(run: Path) -> None:
    read = read_run(run, load_catalogue())
    assert power_panels(read) == ()
    assert 'id="power"' not in verdict_page(read)
