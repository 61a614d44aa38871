"""What a power director and a measured SUT are asked beyond what every host is.

Reads PTDaemon on the controller. What the inventory itself gets wrong is the plan's to say: here a value that makes no
sense is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mlperf_ops.files import Json, JsonObject, sha256_file
from mlperf_ops.power import inventory

VARIABLES = (
    "mlperf_power_analyzers",
    "mlperf_power_analyzer",
    "power_director_ptdaemon",
    "power_director_ptdaemon_on",
    "power_director_ptdaemon_sha256",
    "power_director_python",
    "power_director_ntp_server",
    "power_director_clock_limit_ms",
    "power_sut_python",
    "power_sut_ntp_server",
    "power_sut_clock_limit_ms",
    "time_sync_servers",
    "time_sync_manage",
    "host_packages_extra",
)
MINORS = (7, 12)  # of Python 3: power-dev's check of its own files fails from 3.13 on
_CLOCK_LIMIT_MS = 100.0  # the roles' default
_LISTEN_PORT, _NETWORK_PORT = 4950, 8888
_NETBASE = "netbase"
_LICENCE = "PTDaemon is SPEC's: members of MLCommons have it after signing the MLPerf Power EULA"


@dataclass(frozen=True, slots=True)
class Meter:
    """An analyzer of a director."""

    name: str
    place: str  # a device file, or an IP address; "" where nothing can be looked at
    is_address: bool
    ports: tuple[int, ...]  # of its server and of PTDaemon
    calibrated: date | None


@dataclass(frozen=True, slots=True)
class PowerQuestion:
    """A director, or a SUT that is measured (which has no meters).

    Attributes:
        part: Prefix of the variables of its role.
        python: The interpreter that is named; "" searches.
        ntp_server: That power-dev asks; "" where none is named.
        clock_limit_ms: Largest offset.
        brings_netbase: Whether provisioning installs what knows the service ntp.
        keeps_clock: Whether provisioning lets a time daemon keep the clock.
        meters: Connected to it.
        ptdaemon: Path on the host; "" where it comes from the controller.
        sha256: PTDaemon's pinned digest.
        brought: What is wrong with PTDaemon on the controller: sentence and remedy; ("", "") for nothing.
    """

    part: str
    python: str
    ntp_server: str
    clock_limit_ms: float
    brings_netbase: bool
    keeps_clock: bool
    meters: tuple[Meter, ...] = ()
    ptdaemon: str = ""
    sha256: str = ""
    brought: tuple[str, str] = ("", "")

    def wanted(self) -> JsonObject:
        """Return what `power_probe.power` takes."""
        return {
            "python": self.python,
            "minors": list(MINORS),
            "ntp_server": self.ntp_server,
            "clock_limit_ms": self.clock_limit_ms,
            "ports": [port for one in self.meters for port in one.ports],
            "devices": [
                {"name": one.name, "place": one.place, "is_address": one.is_address} for one in self.meters if one.place
            ],
            "ptdaemon": self.ptdaemon,
        }


def power_question(name: str, variables: Mapping[str, Json]) -> PowerQuestion | None:
    """Return what to ask a host about power; None: power does not concern it.

    Args:
        name: Of the host.
        variables: Its variables out of `VARIABLES`.
    """
    analyzers = variables.get("mlperf_power_analyzers")
    every = analyzers if isinstance(analyzers, dict) else {}
    own = {one: given for one, given in every.items() if isinstance(given, dict) and given.get("director") == name}
    if not own and not (variables.get("mlperf_power_analyzer") and every):
        return None
    part = "power_director" if own else "power_sut"
    servers, extra = variables.get("time_sync_servers"), variables.get("host_packages_extra")
    named = variables.get(f"{part}_ntp_server") or (servers[0] if isinstance(servers, list) and servers else "")
    on_director = variables.get("power_director_ptdaemon_on") == "director"
    path, sha256 = (str(variables.get(f"power_director_ptdaemon{end}") or "") for end in ("", "_sha256"))
    return PowerQuestion(
        part=part,
        python=str(variables.get(f"{part}_python") or ""),
        ntp_server=(str(named).split() or [""])[0],
        clock_limit_ms=_number(variables.get(f"{part}_clock_limit_ms"), _CLOCK_LIMIT_MS),
        brings_netbase=isinstance(extra, list) and _NETBASE in extra,
        keeps_clock=variables.get("time_sync_manage") is True,
        meters=tuple(_meter(one, given) for one, given in sorted(own.items())),
        ptdaemon=path if own and on_director else "",
        sha256=sha256,
        brought=_brought(path, sha256) if own and not (path and on_director) else ("", ""),
    )


def _meter(name: str, given: Mapping[str, Json]) -> Meter:
    place, flag = str(given.get("device_port") or ""), str(given.get("interface_flag") or "")
    is_address = flag in {"-n", "-y"} and inventory.is_address(place)
    ports = (
        _number(given.get("listen_port"), _LISTEN_PORT),
        _number(given.get("network_port"), _NETWORK_PORT),
    )
    try:
        calibrated = date.fromisoformat(str(given.get("calibration_date")))
    except ValueError:
        calibrated = None
    looked_at = is_address or (flag in {"", "-n"} and place.startswith("/"))
    return Meter(name, place if looked_at else "", is_address, tuple(int(port) for port in ports), calibrated)


def _number(value: Json, default: float) -> float:
    try:
        return float(str(value))
    except ValueError:
        return default


def _brought(path: str, sha256: str) -> tuple[str, str]:
    """Say what is wrong with the file that the controller is to bring."""
    if not path:
        return "power_director_ptdaemon is not set", f"set it to the path of PTDaemon's binary; {_LICENCE}"
    local = Path(path).expanduser()
    if not local.is_file():
        return f"power_director_ptdaemon: there is no file {path} on the controller", "correct it, or put it there"
    return other_digest(f"power_director_ptdaemon: {path}", sha256_file(local), sha256)


def other_digest(what: str, found: str, pinned: str) -> tuple[str, str]:
    """Say why a PTDaemon is not the pinned one: sentence and remedy; ("", "") where it is."""
    if not pinned:
        return (
            "power_director_ptdaemon_sha256 is not set",
            f"compare {found} with the release that you were given, then pin it",
        )
    if found != pinned:
        return (
            f"{what} has sha256 {found}, power_director_ptdaemon_sha256 pins {pinned}",
            "correct the one that is wrong",
        )
    return "", ""
