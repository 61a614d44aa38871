"""Tables of the commands: aligned and coloured for people; in a pipe one line a row, separated by tabs.

The first line is the heading in both. In a pipe no line is broken or shortened, for grep, cut and awk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlperf_ops.wording import one_line


def print_table(heading: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str] | None = None) -> None:
    """Print rows below their heading; nothing at all where there is no row.

    Args:
        heading: Names of the columns, with their units.
        rows: Their texts, which may come from elsewhere: what would act on a terminal is shown as its code.
        styles: Text of the first column -> its style for people.
    """
    told = [[one_line(text) for text in row] for row in rows]
    if not told:
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        for line in (heading, *told):
            typer.echo("\t".join(line))
        return
    table = Table(box=None, pad_edge=False)
    for name in heading:
        table.add_column(name, overflow="fold")
    for row in told:
        table.add_row(Text(row[0], style=(styles or {}).get(row[0], "")), *map(Text, row[1:]))
    console.print(table)
