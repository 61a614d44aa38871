"""Options that the commands of a campaign share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

InventoryOption = Annotated[
    str | None, typer.Option("--inventory", "-i", help="Inventory of the campaign; default: the only run there is.")
]
ResultsOption = Annotated[
    Path | None, typer.Option(help="Results folder of the run; default: results/<run id> below the current folder.")
]
ExtraVarsOption = Annotated[list[str] | None, typer.Option("-e", "--extra-vars", help="Passed on to Ansible.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
