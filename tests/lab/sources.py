"""Where this machine takes packages from: its apt sources, its pip configuration, its certificates."""

from __future__ import annotations

import ast
import functools
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlperf_ops.errors import ConfigError
from mlperf_ops.files import sha256_file
from tests.lab.machine import run

LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
ALLOW_VARIABLE = "MLPERF_OPS_LAB_ALLOW"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

# Settings of apt that decide whether the machine's sources can be read at all; the rest of its configuration, such as
# hooks of its desktop, is none of a host's business.
_APT_SETTINGS = ("Acquire::Check-", "Acquire::AllowInsecure", "Acquire::https::Verify-", "Acquire::https::CaInfo")
_TRANSPORT_PORTS = {"http": 80, "https": 443}

# What a session of a host takes over from the environment of the tool.
_PATH_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One line of sources.list."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str  # path of a keyring; empty: the distribution's own

    def line(self) -> str:
        """Return it in the one-line form, which every apt and mmdebstrap reads."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def release() -> str:
    """Return the code name of this machine's distribution, such as bookworm.

    Raises:
        ConfigError: It is neither Debian nor a derivative, so its sources cannot make Debian hosts.
    """
    told = platform.freedesktop_os_release()
    family = {told.get("ID", ""), *told.get("ID_LIKE", "").split()}
    name = told.get("VERSION_CODENAME", "")
    if not name or "debian" not in family:
        raise ConfigError(
            f"the lab makes its hosts from the machine's own apt sources, and {told.get('PRETTY_NAME', 'this system')}"
            " has none",
            hint="run it on Debian or Ubuntu, or in a virtual machine with one of them",
        )
    return name


@functools.cache
def apt_sources() -> tuple[AptSource, ...]:
    """Return the machine's sources of its own distribution, whatever form their files have.

    Raises:
        ConfigError: There is none that a host could reach through the proxy.
    """
    wanted = release()
    form = "$(CREATED_BY)\t$(REPO_URI)\t$(RELEASE)\t$(SOURCESENTRY)\t$(COMPONENT)"
    found: dict[tuple[str, str, str], list[str]] = {}
    for line in run(["apt-get", "indextargets", "--format", form]).stdout.splitlines():
        kind, uri, suite, entry, component = line.split("\t")
        if kind == "Packages" and suite.partition("-")[0] == wanted and urlsplit(uri).scheme in _TRANSPORT_PORTS:
            found.setdefault((uri.rstrip("/"), suite, _signed_by(entry)), []).append(component)
    sources = tuple(
        AptSource(uri, suite, tuple(dict.fromkeys(components)), signed_by)
        for (uri, suite, signed_by), components in found.items()
    )
    if not sources:
        raise ConfigError(
            f"this machine has no apt source for {wanted} over http or https",
            hint="add one to /etc/apt/sources.list.d; hosts cannot read cdrom: and file: sources",
        )
    return sources


def _signed_by(entry: str) -> str:
    """Return the keyring of "FILE:NUMBER": a line of a .list file, a stanza of a .sources file."""
    name, _, number = entry.rpartition(":")
    try:
        text = Path(name).read_text()
    except OSError:
        return ""
    if name.endswith(".sources"):
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        parts = [stanza for stanza in text.split("\n\n") if stanza.strip()]
    else:
        parts = text.splitlines()
    part = parts[int(number) - 1] if int(number) <= len(parts) else ""
    hit = re.search(r"signed-by\s*[:=]\s*(/[^\s\],]+)", part, re.IGNORECASE)
    return hit[1] if hit else ""


def apt_settings() -> str:
    """Return the machine's settings that its sources need, as a file for apt.conf.d."""
    lines = run(["apt-config", "dump"]).stdout.splitlines()
    kept = [line for line in lines if line.startswith(_APT_SETTINGS) and not line.endswith(' "";')]
    return "".join(f"{line}\n" for line in [*kept, 'Acquire::Languages "none";'])


def local_certificates() -> dict[str, str]:
    """Return sha256 by path of the certificates that an administrator added to this machine."""
    return {str(path): sha256_file(path) for path in sorted(LOCAL_CERTIFICATES.rglob("*.crt"))}


def pip_conf() -> str:
    """Return /etc/pip.conf; a user's own file may point at folders that hosts do not have, so it is left out."""
    path = Path("/etc/pip.conf")
    return path.read_text() if path.is_file() else ""


def environment() -> dict[str, str]:
    """Return the variables of this process that tell pip and TLS where packages and certificates are.

    One that names a path which hosts do not have, such as a folder with wheels, is left out.
    """
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    tls = {name: os.environ[name] for name in _PATH_VARIABLES if name in os.environ}
    kept = {name: value for name, value in {**pip, **tls}.items() if not _is_foreign_path(value)}
    return {name: value for name, value in sorted(kept.items()) if name != "PIP_PROXY" and '"' not in value}


def _is_foreign_path(value: str) -> bool:
    local = value.startswith(("/", "file:"))
    return local and value not in {_BUNDLE, os.path.dirname(_BUNDLE)}


_ASK_PIP = """
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
told = Configuration(isolated=False)
told.load()
print([PyPI.url, "https://" + PyPI.file_storage_domain, *(v for k, v in told.items() if k.rpartition(".")[2] in
    ("index-url", "extra-index-url", "find-links"))])
"""


def _pip_hosts() -> set[tuple[str, int]]:
    """Ask pip itself for the index that it has built in, and those of its configuration and environment."""
    said = run([sys.executable, "-c", _ASK_PIP], check=False).stdout.strip()
    urls = " ".join(ast.literal_eval(said or "[]")).split()
    return {target for url in urls if (target := _host_and_port(url))}


def _host_and_port(url: str) -> tuple[str, int] | None:
    parts = urlsplit(url)
    if parts.scheme not in _TRANSPORT_PORTS or not parts.hostname:
        return None
    return parts.hostname, parts.port or _TRANSPORT_PORTS[parts.scheme]


def allowed(more: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """Return the hosts and ports that a lab may reach.

    Args:
        more: "host" or "host:port" that a caller adds; so does the variable MLPERF_OPS_LAB_ALLOW, with commas.
    """
    targets = _pip_hosts()
    targets |= {target for source in apt_sources() if (target := _host_and_port(source.uri))}
    for text in (*more, *filter(None, os.environ.get(ALLOW_VARIABLE, "").split(","))):
        name, _, port = text.strip().partition(":")
        if port and not port.isdigit():
            raise ConfigError(f"'{text}' is no host to allow; expected host or host:port")
        targets |= {(name, int(port))} if port else {(name, number) for number in _TRANSPORT_PORTS.values()}
    return sorted(targets)


def upstream_proxy() -> dict[str, str]:
    """Return the proxy that this machine itself must use, by scheme; empty where it needs none."""
    found = {}
    for scheme in _TRANSPORT_PORTS:
        value = os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
        if value:
            found[scheme] = value if "://" in value else f"http://{value}"
    return found
