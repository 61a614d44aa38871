"""Dataclasses to JSON."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mlperf_ops.typed import dump


@dataclasses.dataclass(frozen=True)
class _Inner:
    number: float | None


@dataclasses.dataclass(frozen=True)
class _Outer:
    many: tuple[_Inner, ...]
    named: dict[str, list[_Inner]]
    place: Path
    flag: bool = True


def test_it_gives_what_the_standard_library_gives() -> None:
    made = _Outer((_Inner(1.5), _Inner(None)), {"a": [_Inner(2)]}, Path("x"))
    assert dump(made) == dataclasses.asdict(made)
