"""What an unofficial source of energy is told, and what it says. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

SourceKind = Literal["rapl", "nvml", "dcmi", "redfish", "snmp", "command"]
Measures = Literal["watts", "joules"]
KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

ENERGY = "energy.json"
NOTE = "unofficial: no power measurement as the MLPerf rules define it, never part of a submission"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A source of `mlperf_unofficial_energy` as the host is told of it. No field holds a secret.

    Attributes:
        kind: Which reader.
        name: Of its file, `energy_<name>.csv`.
        sample_seconds: Between two readings.
        timeout_seconds: Longest wait for one reading.
        powercap: Folder of the powercap zones (rapl).
        address: Of the BMC or PDU (dcmi, snmp); None: the host's own BMC.
        user: Of the BMC (dcmi with an address).
        password_file: File on the host that holds nothing but the BMC's password (dcmi with an address).
        url: Of the Redfish service, `https://bmc1`.
        netrc: File on the host in the form of netrc(5) with the service's account.
        ca_file: Certificates on the host by which the service's own is verified.
        verify_tls: Whether it is verified at all.
        chassis: Ids of the chassis to read; empty: all that state power.
        oids: Objects of a PDU, added up.
        conf_dir: Folder on the host with the snmp.conf that holds community or account.
        argv: A program that prints a number a line.
        measures: What the numbers are: power, or a counter of energy.
        scale: Factor from them to watts or joules.
    """

    kind: SourceKind
    name: str
    sample_seconds: float = 1.0
    timeout_seconds: float = 5.0
    powercap: str = "/sys/class/powercap"
    address: str | None = None
    user: str | None = None
    password_file: str | None = None
    url: str | None = None
    netrc: str | None = None
    ca_file: str | None = None
    verify_tls: bool = True
    chassis: tuple[str, ...] = ()
    oids: tuple[str, ...] = ()
    conf_dir: str | None = None
    argv: tuple[str, ...] = ()
    measures: Measures = "watts"
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one domain: power, or a counter of energy that never falls.

    Attributes:
        time: Seconds since 1970, UTC.
        domain: What was measured, such as "package-0" or "gpu0".
        watts: Power; None where `joules` is given.
        joules: Energy since some moment before; None where `watts` is given.
    """

    time: float
    domain: str
    watts: float | None = None
    joules: float | None = None


class SourceError(Exception):
    """Why a source has no reading, in one sentence without secrets.

    Attributes:
        final: Asking again is of no use.
    """

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        """Keep the sentence."""
        super().__init__(sentence)
        self.final = final


class Source(Protocol):
    """A reader of one source. `read` runs in a thread of its own, `stop` is called by another one."""

    paces_itself: bool
    """`read` waits for the next value by itself."""
    parts: frozenset[str]
    """Domains that others contain: they are shown and not added up."""

    def read(self) -> list[Reading]:
        """Return one value of each domain.

        Raises:
            SourceError: There is none.
            OSError: The same.
        """

    def stop(self) -> None:
        """Make a `read` under way return soon."""

    def close(self) -> None:
        """Give back what it holds; called by the thread that reads, as the last."""

    def child_cpu_seconds(self) -> float:
        """Return what its processes have used."""


def csv_file(folder: Path, name: str) -> Path:
    """Return the file of a source's readings."""
    return folder / f"energy_{name}.csv"
