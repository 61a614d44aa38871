"""Platforms: how hosts of a kind are tuned, each setting with its reason and where it is taken from."""

from __future__ import annotations

from typing import cast

from pydantic import Field, JsonValue

from mlperf_ops.catalogue.base import CatalogueModel, Entry
from mlperf_ops.files import JsonObject
from mlperf_ops.tuning import Tuning


class Setting(CatalogueModel):
    """A setting of `mlperf_ops.tuning.Tuning`."""

    value: JsonValue
    why: str = Field(min_length=1, description="What it does for a measurement, in one sentence.")
    source: str = Field(min_length=1, description="Who does so, or where the driver's rule is written.")


class Platform(Entry):
    """platforms/<name>.yaml: a profile that `mlperf_tuning_profile` names."""

    settings: dict[str, Setting] = Field(default_factory=dict, description="Name of a setting: its value and reason.")
    sysctls: dict[str, Setting] = Field(default_factory=dict, description="Name of a sysctl: its value and reason.")

    def values(self) -> JsonObject:
        """Return what `Tuning` is made of."""
        made: JsonObject = {name: cast("JsonObject", one.value) for name, one in self.settings.items()}
        if self.sysctls:
            made["sysctls"] = {name: cast("str", one.value) for name, one in self.sysctls.items()}
        return made

    @property
    def tuning(self) -> Tuning:
        """The profile's settings; the loader has checked them."""
        return Tuning.model_validate(self.values())
