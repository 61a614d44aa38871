"""Redfish: the power that a BMC states for its chassis. Standard library only.

`EnvironmentMetrics` of a chassis is read where it states PowerWatts, else the first PowerControl of its `Power`. A
chassis that lies inside of another one that states power is shown and not added up. The account comes from a file in
the form of netrc(5) on the host that reads; it goes over TLS only and into no file and no message.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import netrc
import os
import ssl
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlperf_ops.harness.energy.model import Reading, SourceError, SourceSettings

_CHASSIS = "/redfish/v1/Chassis"
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_LONGEST_BYTES = 4 << 20
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class _Meter:
    """Where a chassis states its power."""

    domain: str
    path: str
    watts: Callable[[Any], float | None]


class Redfish:
    """Reads all meters over one connection; they are looked for at the first reading."""

    paces_itself = False

    def __init__(self, settings: SourceSettings) -> None:
        """Note the service."""
        self._settings = settings
        self._url = urlsplit(settings.url or "")
        self._connection: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] | None = None
        self._meters: list[_Meter] = []
        self.parts: frozenset[str] = frozenset()

    def read(self) -> list[Reading]:
        """Return the watts of each chassis."""
        if not self._meters:
            self._find()
        readings = []
        for meter in self._meters:
            watts = meter.watts(self._get(meter.path))
            if watts is None:
                raise SourceError(f"{meter.path} states no power")
            readings.append(Reading(time.time(), meter.domain, watts=watts))
        return readings

    def stop(self) -> None:
        """Cut the connection off."""
        connection = self._connection
        if connection is not None and (sock := connection.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(2)  # both directions

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def child_cpu_seconds(self) -> float:
        """It has no processes."""
        return 0.0

    def _find(self) -> None:
        found: dict[str, _Meter] = {}  # by the chassis's address
        inside: dict[str, str] = {}
        members = self._get(_CHASSIS).get("Members", [])
        for path in [str(one.get("@odata.id", "")) for one in members if isinstance(one, dict)]:
            chassis = self._get(path)
            name = str(chassis.get("Id", path))
            if self._settings.chassis and name not in self._settings.chassis:
                continue
            meter = self._meter(name, chassis)
            if meter is not None:
                found[path] = meter
                inside[path] = _link(chassis.get("Links"), "ContainedBy") or ""
        names = {meter.domain for meter in found.values()}
        if missing := sorted(set(self._settings.chassis) - names):
            raise SourceError(f"chassis '{missing[0]}' is not there or states no power", final=True)
        if not found:
            raise SourceError("no chassis states its power", final=True)
        self.parts = frozenset(found[path].domain for path in found if inside[path] in found)
        self._meters = list(found.values())

    def _meter(self, name: str, chassis: dict[str, Any]) -> _Meter | None:
        for key, watts in (("EnvironmentMetrics", _environment_watts), ("Power", _power_watts)):
            path = _link(chassis, key)
            if path is not None and watts(self._get(path)) is not None:
                return _Meter(name, path, watts)
        return None

    def _get(self, path: str) -> dict[str, Any]:
        headers = self._account() if self._headers is None else self._headers
        self._headers = headers
        for fresh in (self._connection is None, True):
            if self._connection is None:
                self._connection = self._open()
            try:
                self._connection.request("GET", path, headers=headers)
                answer = self._connection.getresponse()
                body = answer.read(_LONGEST_BYTES)
                break
            except ssl.SSLCertVerificationError as error:
                self.close()
                hint = "name its ca_file, or set verify_tls: false"
                raise SourceError(
                    f"the certificate is not trusted: {error.verify_message} ({hint})", final=True
                ) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()  # a BMC ends connections as it likes: once more, on a new one
                if fresh:
                    raise SourceError(f"no answer: {_words(error)}") from None
        else:
            raise SourceError("no answer")  # not reached: the second time raises
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise SourceError(f"the account is refused ({answer.status} {answer.reason})", final=True)
        if answer.status != _OK:
            raise SourceError(f"{path} answers {answer.status} {answer.reason}")
        try:
            value = json.loads(body)
        except ValueError:
            raise SourceError(f"{path} is not JSON") from None
        if not isinstance(value, dict):
            raise SourceError(f"{path} is no JSON object")
        return value

    def _open(self) -> http.client.HTTPConnection:
        host, port, seconds = self._url.hostname or "", self._url.port, self._settings.timeout_seconds
        if self._url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=seconds)
        file = self._settings.ca_file
        try:
            context = ssl.create_default_context(cafile=os.path.expanduser(file) if file else None)
        except OSError as error:
            raise SourceError(f"cannot read ca_file {file}: {error.strerror or error}", final=True) from None
        if not self._settings.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)

    def _account(self) -> dict[str, str]:
        """Return the headers of a request, with the account where there is one."""
        headers = {"Accept": "application/json"}
        file, host = self._settings.netrc, self._url.hostname or ""
        if file is None:
            return headers
        path = os.path.expanduser(file)
        try:
            if os.stat(path).st_mode & _OTHERS_MAY_READ:
                raise SourceError(f"{file} is readable by others: chmod 600", final=True)
            held = netrc.netrc(path).authenticators(host)
        except OSError as error:
            raise SourceError(f"cannot read {file}: {error.strerror or error}", final=True) from None
        except netrc.NetrcParseError as error:
            raise SourceError(f"{file}, line {error.lineno}: not in the form of netrc", final=True) from None
        if held is None:
            raise SourceError(f"{file} has no entry for machine {host}", final=True)
        login, _, password = held
        token = base64.b64encode(f"{login}:{password or ''}".encode()).decode()
        return {**headers, "Authorization": f"Basic {token}"}


def _environment_watts(found: dict[str, Any]) -> float | None:
    power = found.get("PowerWatts")
    return _watts(power.get("Reading")) if isinstance(power, dict) else None


def _power_watts(found: dict[str, Any]) -> float | None:
    controls = found.get("PowerControl")
    first = controls[0] if isinstance(controls, list) and controls else None
    return _watts(first.get("PowerConsumedWatts")) if isinstance(first, dict) else None


def _watts(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _link(found: object, key: str) -> str | None:
    link = found.get(key) if isinstance(found, dict) else None
    path = link.get("@odata.id") if isinstance(link, dict) else None
    return path if isinstance(path, str) and path.startswith("/") else None


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
