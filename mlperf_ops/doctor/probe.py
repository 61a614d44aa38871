"""Collect on a host what the doctor judges, and print it as JSON. Changes nothing.

Sent to the host's own Python (3.8 or newer) over standard input, so: one file, standard library only. The caller
appends a call of `main`. A part that fails says so in its own place and leaves the others alone.
"""

from __future__ import annotations

import configparser
import getpass
import http.client
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

_COMMAND_SECONDS = 5
_INDEX_SECONDS = 4
_OLDEST_MINOR = 10
_LOCK_FIELDS = 6  # of a line of /proc/locks: "1: FLOCK ADVISORY WRITE <pid> <device>:<inode> …"
_VENV = "import sys, venv; print('.'.join(map(str, sys.version_info[:3])))"


def main(wanted: dict[str, Any], more: dict[str, Callable[[], Any]]) -> None:
    """Print the time at once, then everything else.

    Args:
        wanted: home, sudo, environment, cells_python, files, knobs, programs, and index: the URL where pip's own
            configuration names none; "" asks for none.
        more: Further parts, out of what was sent behind this file.
    """
    # First and alone: the controller compares it with its own clock.
    sys.stdout.write(json.dumps({"time": time.time()}) + "\n")
    sys.stdout.flush()
    home = os.path.abspath(os.path.expanduser(wanted["home"])) if wanted["home"] else ""
    parts: dict[str, Callable[[], Any]] = {
        "python": lambda: {"version": platform.python_version(), "path": sys.executable},
        "machine": platform.machine,
        "user": lambda: {"name": getpass.getuser(), "uid": os.getuid()},
        "sudo": lambda: sudo() if wanted["sudo"] else None,
        "home": lambda: folder(home) if home else None,
        "cells_python": lambda: pythons(wanted["cells_python"]) if wanted["environment"] else None,
        "files": lambda: [own_file(one) for one in wanted["files"]],
        "knobs": lambda: {name: [knob(path) for path in paths] for name, paths in wanted["knobs"].items()},
        "programs": lambda: {name: bool(shutil.which(name)) for name in wanted["programs"]},
        "index": lambda: index(wanted["index"]) if wanted["index"] and not has_environment(home) else None,
        "busy": lambda: busy(home) if home else None,
        "reboot": reboot,
        **more,
    }
    facts = {}
    for name, ask in parts.items():
        try:
            facts[name] = ask()
        except Exception as error:  # noqa: BLE001, PERF203  # whatever a strange host does, the rest is worth knowing
            facts[name] = {"error": (type(error).__name__ + ": " + str(error))[:200]}
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def sudo() -> dict[str, Any]:
    """Try to become root without a password."""
    if os.getuid() == 0:
        return {"state": "root"}
    if shutil.which("sudo") is None:
        return {"state": "missing"}
    try:
        done = subprocess.run(
            ["sudo", "-n", "true"],  # noqa: S607  # the host's own PATH is meant
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"state": "silent", "said": ""}
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return {"state": "works" if done.returncode == 0 else "refused", "said": said[-1][:200] if said else ""}


def folder(home: str) -> dict[str, Any]:
    """Look at mlperf_home, or at the folder that it would be made in."""
    there = home
    while not os.path.exists(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    stat = os.statvfs(there)
    return {
        "path": home,
        "there": there,
        "is_folder": os.path.isdir(there),
        "writable": os.access(there, os.W_OK | os.X_OK),
        "read_only": bool(stat.f_flag & os.ST_RDONLY),
        "no_exec": bool(stat.f_flag & getattr(os, "ST_NOEXEC", 8)),
        "free_bytes": stat.f_bavail * stat.f_frsize,
        "environment": has_environment(home),
    }


def has_environment(home: str) -> bool:
    """Tell whether an environment for cells was made: then pip has no more to fetch."""
    environments = os.path.join(home, "python")
    names = os.listdir(environments) if os.path.isdir(environments) else []
    return any(os.path.isfile(os.path.join(environments, name, "installed.json")) for name in names)


def pythons(given: str) -> dict[str, Any]:
    """Find a Python for cells as the role host_components does; say which ones were too old."""
    names = [given] if given else ["/usr/bin/python3", sys.executable]
    names += [] if given else ["python3." + str(minor) for minor in range(14, _OLDEST_MINOR - 1, -1)] + ["python3"]
    return first_python(names, _VENV, lambda version: version >= [3, _OLDEST_MINOR], "without venv")


def first_python(names: list[str], program: str, fits: Callable[[list[int]], bool], without: str) -> dict[str, Any]:
    """Return path and version of the first Python that fits, or what was seen.

    Args:
        names: Of commands, or paths.
        program: Prints its version.
        fits: Whether a version, as major and minor number, does.
        without: What is said of one that the program does not run with.
    """
    seen = []
    for name in names:
        path = shutil.which(os.path.expanduser(name))
        if path is None:
            continue
        done = subprocess.run(
            [path, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        version = done.stdout.decode(errors="replace").strip()
        if done.returncode == 0 and fits([int(part) for part in version.split(".")[:2]]):
            return {"path": path, "version": version}
        seen.append(path + " " + (version or without))
    return {"path": "", "seen": list(dict.fromkeys(seen))}


def own_file(wanted: dict[str, str]) -> dict[str, Any]:
    """Look at one of the user's own files or folders."""
    for path in [wanted["path"]] + (
        [os.path.join(wanted["path"], wanted["label_file"])] if wanted["label_file"] else []
    ):
        if not os.path.exists(path):
            return {"name": wanted["name"], "path": path, "state": "missing"}
        if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
            return {"name": wanted["name"], "path": path, "state": "unreadable"}
    return {"name": wanted["name"], "path": wanted["path"], "state": "ok"}


def knob(path: str) -> str:
    """Tell whether a file of the kernel is there and can be written by root at all."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "missing"
    return "writable" if mode & 0o222 and not os.statvfs(path).f_flag & os.ST_RDONLY else "read-only"


def index(default: str) -> dict[str, Any]:
    """Ask pip's package index, through pip's own configuration, whether it answers at all."""
    settings = pip_settings()
    url = settings.get("index-url") or default
    parts = urllib.parse.urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
    # A name server that does not answer takes longer than any time limit of a socket.
    found: dict[str, Any] = {"url": shown, "state": "silent", "said": "no answer within " + str(_INDEX_SECONDS) + " s"}
    asking = threading.Thread(target=lambda: found.update(ask_index(url, shown, settings)), daemon=True)
    asking.start()
    asking.join(_INDEX_SECONDS + 1)
    return dict(found)


def ask_index(url: str, shown: str, settings: dict[str, str]) -> dict[str, Any]:
    """Send one request; whatever speaks HTTP is an index that answers."""
    parts = urllib.parse.urlsplit(url)
    if settings.get("no-index", "false").lower() not in ("false", "no", "off", "0"):
        return {"url": shown, "state": "answers", "said": "pip is told to use no index"}
    if parts.scheme == "file":
        there = os.path.isdir(urllib.request.url2pathname(parts.path))
        return {"url": shown, "state": "answers" if there else "silent", "said": "" if there else "no such folder"}
    proxies = urllib.request.getproxies()
    if settings.get("proxy"):
        proxies = {"http": settings["proxy"], "https": settings["proxy"]}
    authorities = settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or None
    context = ssl.create_default_context(cafile=authorities)
    handlers = [urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)]
    whole = url if url.endswith("/") else url + "/"
    request = urllib.request.Request(whole, method="HEAD")  # noqa: S310  # the URL is the host's own configuration
    via = bool(proxies.get(parts.scheme)) and not urllib.request.proxy_bypass(parts.hostname or "")
    try:
        urllib.request.build_opener(*handlers).open(request, timeout=_INDEX_SECONDS).close()
    except urllib.error.HTTPError as error:
        # It speaks HTTP: an index may refuse HEAD. What stands between may be a proxy that refuses us.
        refused = via and error.code in (403, 407, 502, 503, 504)
        return {
            "url": shown,
            "state": "silent" if refused else "answers",
            "said": "HTTP " + str(error.code),
            "via": via,
        }
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error))
        return {"url": shown, "state": "silent", "said": re.sub(r"//[^/@ ]*@", "//", reason)[:200], "via": via}
    return {"url": shown, "state": "answers", "said": "", "via": via}


def pip_settings() -> dict[str, str]:
    """Read what pip would: its files from the general to the special, then its environment variables."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", os.path.expanduser("~/.pip/pip.conf"), base + "/pip/pip.conf"]
    files.append(os.environ.get("PIP_CONFIG_FILE") or os.devnull)
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update(parser.items(section))
    for name in ("index-url", "no-index", "proxy", "cert"):
        value = os.environ.get("PIP_" + name.replace("-", "_").upper())
        if value:
            found[name] = value
    return {name.replace("_", "-"): value.strip() for name, value in found.items()}


def busy(home: str) -> dict[str, str]:
    """Say who holds the locks of mlperf_home, without touching them, and for which run a cell is measured."""
    held = {}
    locks = _locked_inodes()
    for name, path in (("cell", "runs/.lock"), ("provision", "state/.provision.lock")):
        try:
            with open(os.path.join(home, path), "rb") as stream:
                if os.fstat(stream.fileno()).st_ino in locks:
                    held[name] = stream.read(300).decode(errors="replace").strip() or "another process"
        except OSError:  # noqa: PERF203  # two files
            continue
    if "cell" in held:
        held["run_id"] = _run_of(held["cell"], home)
    return held


def _run_of(purpose: str, home: str) -> str:
    """Read it off the folder of the attempt that the holder of the lock works on; "" where that cannot be told."""
    try:
        pid = int(purpose.rpartition("(pid ")[2].rstrip(")"))
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as stream:
            words = stream.read().split("\0")
        attempt = words[words.index("--attempt") + 1]
    except (OSError, ValueError, IndexError):
        return ""
    runs = os.path.join(home, "runs")
    inside = os.path.relpath(attempt, runs).split(os.sep)
    return "" if inside[0] in (os.pardir, os.curdir) else inside[0]


def _locked_inodes() -> set[int]:
    with open("/proc/locks", encoding="ascii") as stream:
        fields = [line.split() for line in stream]
    return {int(words[5].rpartition(":")[2]) for words in fields if len(words) >= _LOCK_FIELDS and words[1] == "FLOCK"}


def reboot() -> list[str] | None:
    """Say which packages ask for a reboot; None: none does."""
    for marker in ("/run/reboot-required", "/var/run/reboot-required"):
        if os.path.exists(marker):
            try:
                with open(marker + ".pkgs", encoding="utf-8") as stream:
                    return sorted(set(stream.read().split()))[:5]
            except OSError:
                return []
    return None
