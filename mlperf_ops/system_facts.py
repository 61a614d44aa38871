"""What a system description is made from, as plain data: a machine's facts, and what the packed runs used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json

NOT_APPLICABLE = "N/A"


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of the machine and where it was read."""

    value: Json
    origin: str


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """facts.json of a host: what is known, and why the rest is not."""

    values: Mapping[str, Fact]
    unknown: Mapping[str, str]

    def get(self, name: str) -> Json:
        """Return a fact's value, None when it is unknown."""
        fact = self.values.get(name)
        return None if fact is None else fact.value

    def objects(self, name: str) -> list[JsonObject]:
        """Return a fact that is a list of objects, none when it is unknown."""
        value = self.get(name)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def why_not(self, name: str) -> str:
        """Return the reason why a fact is unknown."""
        return self.unknown.get(name, f"the facts hold no {name}")

    def origin(self, *names: str) -> str:
        """Return the origins of the known ones of these facts."""
        return "; ".join(dict.fromkeys(self.values[name].origin for name in names if name in self.values))


@dataclass(frozen=True, slots=True)
class Usage:
    """What the packed runs of a system used.

    Attributes:
        system: The system's id in the inventory.
        frameworks: Name to versions.
        software: Other packages, name to versions.
        devices: Devices that the runs computed on, such as "cpu".
        source: Where this is known from; before there are results, the plan.
    """

    system: str
    frameworks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    software: Mapping[str, Sequence[str]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    source: str = "the packed runs' spec.json"

    @property
    def accelerated(self) -> bool:
        """Whether a run computed on something else than the processor."""
        return any(device != "cpu" for device in self.devices)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A value with its origin, or None with the reason; `untold`: only people can give it."""

    value: Json
    origin: str
    untold: bool = False


def load_facts(path: Path) -> SystemFacts:
    """Read a host's facts.json.

    Raises:
        ResultError: The file is missing or has another form; names the key.
    """
    raw = read_json(path)
    values, unknown = raw.get("values"), raw.get("unknown")
    if not isinstance(values, dict) or not isinstance(unknown, dict):
        raise ResultError(f"{path}: expected the keys 'values' and 'unknown'", hint="collect the host's facts again")
    facts: dict[str, Fact] = {}
    for name, entry in values.items():
        if not isinstance(entry, dict) or "value" not in entry or not isinstance(entry.get("origin"), str):
            raise ResultError(f"{path}: values.{name}: expected an object with 'value' and 'origin'")
        facts[name] = Fact(entry["value"], str(entry["origin"]))
    return SystemFacts(facts, {name: str(reason) for name, reason in unknown.items()})


def counted(items: Sequence[str]) -> str:
    """Return "2x this; 1x that", in the order of first appearance."""
    return "; ".join(f"{items.count(item)}x {item}" for item in dict.fromkeys(items))
