"""`mlperf_unofficial_energy`: which sources of energy are read beside a host's performance cells. Off by default.

The variable holds no secret: passwords and communities lie in files on the host that reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from typing_extensions import Self

from mlperf_ops.files import Json
from mlperf_ops.harness.energy.model import Measures, SourceKind
from mlperf_ops.lab_model import LabModel
from mlperf_ops.patterns import AbsolutePath, HttpUrl, NetworkAddress, Oid, RemotePath, Word

# Kind -> the keys that it takes beside kind, name, sample_seconds and timeout_seconds.
_KEYS: Mapping[SourceKind, tuple[str, ...]] = {
    "rapl": ("powercap",),
    "nvml": (),
    "dcmi": ("address", "user", "password_file"),
    "redfish": ("url", "netrc", "ca_file", "verify_tls", "chassis"),
    "snmp": ("address", "oids", "conf_dir", "measures", "scale"),
    "command": ("argv", "measures", "scale"),
}
_NEEDED: Mapping[SourceKind, tuple[str, ...]] = {
    "redfish": ("url",),
    "snmp": ("address", "oids"),
    "command": ("argv",),
}
_COMMON = ("kind", "name", "sample_seconds", "timeout_seconds")


class EnergySource(LabModel):
    """One source; the meaning of each key is that of `mlperf_ops.harness.energy.model.SourceSettings`."""

    kind: SourceKind
    name: Word | None = None  # None: the kind
    sample_seconds: Annotated[float, Field(ge=0.1, le=30)] = 1.0
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    powercap: AbsolutePath = "/sys/class/powercap"
    address: NetworkAddress | None = None
    user: str | None = None
    password_file: RemotePath | None = None
    url: HttpUrl | None = None
    netrc: RemotePath | None = None
    ca_file: RemotePath | None = None
    verify_tls: bool = True
    chassis: tuple[str, ...] = ()
    oids: tuple[Oid, ...] = ()
    conf_dir: RemotePath | None = None
    argv: tuple[str, ...] = ()
    measures: Measures = "watts"
    scale: Annotated[float, Field(gt=0)] = 1.0

    @field_validator("url")
    @classmethod
    def _no_account_in_it(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).username is not None:
            raise ValueError("an address with an account in it would be written to many files: use netrc")
        return url

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Self:
        taken = (*_COMMON, *_KEYS[self.kind])
        for key in sorted(self.model_fields_set):
            if key not in taken:
                raise ValueError(f"a source of kind {self.kind} takes no '{key}'; it takes {', '.join(taken)}")
        for key in _NEEDED.get(self.kind, ()):
            if not getattr(self, key):
                raise ValueError(f"a source of kind {self.kind} needs '{key}'")
        if self.netrc is not None and not str(self.url).startswith("https://"):
            raise ValueError("an account (netrc) goes over https only")
        if self.kind == "dcmi" and self.address is None and (self.user or self.password_file):
            raise ValueError("user and password_file are of a BMC with an address; the host's own needs none")
        return self

    @property
    def label(self) -> str:
        """Its name, by default its kind."""
        return self.name or self.kind

    def as_told(self) -> dict[str, Json]:
        """Return what the host is told, as JSON."""
        told: dict[str, Json] = self.model_dump(mode="json", exclude_defaults=True)
        return told | {"kind": self.kind, "name": self.label, "sample_seconds": self.sample_seconds}


def _source(value: object) -> object:
    """Let a name alone stand for a source without settings."""
    return {"kind": value} if isinstance(value, str) else value


class UnofficialEnergy(LabModel):
    """The sources of a host."""

    sources: tuple[Annotated[EnergySource, BeforeValidator(_source)], ...] = ()

    @model_validator(mode="after")
    def _one_file_each(self) -> Self:
        labels = [source.label.casefold() for source in self.sources]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"two sources are called '{twice}': give each a name of its own")
        return self

    def as_told(self) -> tuple[dict[str, Json], ...]:
        """Return what the host is told, as JSON."""
        return tuple(source.as_told() for source in self.sources)
