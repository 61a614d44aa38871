"""What all models of the inventory's variables share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class LabModel(BaseModel):
    """Frozen, and no unknown keys. Numbers may come as text: `-e mlperf_test_query_count=20` gives text."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, populate_by_name=True)
