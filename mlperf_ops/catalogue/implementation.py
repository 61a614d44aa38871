"""Implementations: how a cell is executed on a host."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, Entry, LoadgenScenario

Kind: TypeAlias = Literal["harness", "dummy", "command"]
_PLACEHOLDERS = {"python": "", "attempt": ""}


def _known_placeholders(argument: str) -> str:
    try:
        argument.format_map(_PLACEHOLDERS)
    except KeyError as error:
        raise ValueError(f"unknown placeholder {{{error.args[0]}}}; expected one of {{attempt}}, {{python}}") from error
    except (ValueError, IndexError) as error:
        raise ValueError(f"malformed placeholder in '{argument}'") from error
    return argument


class BackendDefaults(CatalogueModel):
    """Session options of a scenario, where the inventory sets none; see `mlperf_ops.model.BackendRequest`."""

    streams: Count | None = Field(default=None, description="0: allowed cores / intra_op_threads.")
    intra_op_threads: Count | None = Field(default=None, description="0: the allowed cores, shared by the streams.")
    max_batch: Count | None = Field(default=None, ge=1)
    batch_timeout_us: Count | None = None


class Implementation(Entry):
    """implementations/<name>.yaml: the argv of one process per cell.

    The process is started in the attempt folder. It leaves LoadGen's logs there, and `{python}` (the environment's
    interpreter) and `{attempt}` (the folder, absolute) are filled in on the host.
    """

    kind: Kind
    argv: tuple[Annotated[str, AfterValidator(_known_placeholders)], ...] = Field(min_length=1)
    simulated: bool = Field(
        default=False,
        description="A stand-in takes part, so nothing it produces may be packed into a submission.",
    )
    frameworks: tuple[str, ...] = Field(min_length=1, description="Valid values; the first is the default.")
    devices: tuple[str, ...] = Field(min_length=1)
    backend_defaults: dict[LoadgenScenario, BackendDefaults] = Field(default_factory=dict)
