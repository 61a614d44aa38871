"""In the place of power-dev, where no checkout of it is given: a git repository of three small files of our own.

They keep to what the role relies on: where client and server are, that both start with --help, that the server reads
server.conf, tries PTDaemon once, listens, and ends on SIGINT. They measure nothing. `PTD` answers what a server asks at
its start; it is not PTDaemon.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from mlperf_ops.catalogue.folders import BUILT_IN

ROUND = "v6.1-double"
_SERVER = '''\
"""A double of power-dev's server, made by a test of mlperf-ops."""
import argparse
import configparser
import signal
import socket
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("-c", required=True)
conf = configparser.ConfigParser()
with open(parser.parse_args().c) as stream:
    conf.read_file(stream)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
host, port = conf["server"]["listen"].split(" ")
meter = conf["analyzer1"]
words = [conf["ptd"]["ptd"], "-p", meter["networkPort"], meter["deviceType"], meter["devicePort"]]
child = subprocess.Popen(words)
try:
    for _ in range(300):
        if child.poll() is not None:
            print("ERROR PTDaemon unexpectedly terminated", flush=True)
            sys.exit(1)
        try:
            link = socket.create_connection(("127.0.0.1", int(meter["networkPort"])))
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    link.sendall(b"Hello\\r\\n")
    link.recv(100)
    link.close()
    child.terminate()
    child.wait()
    with socket.create_server((host, int(port))) as server:
        print("Ready to accept connections", flush=True)
        signal.pause()
except KeyboardInterrupt:
    child.terminate()
'''
_CLIENT = '"""A double of power-dev\'s client."""\nimport argparse\n\nargparse.ArgumentParser().parse_args()\n'
PTD = '''\
#!/usr/bin/python3
"""SIMULATED: answers what a server asks at its start. It measures nothing and is not PTDaemon.

Device port "broken" ends it at once, "slow" lets it never be ready.
"""
import socket
import sys
import time

words = sys.argv[1:]
port, place = int(words[words.index("-p") + 1]), words[-1]
print("SIMULATION, this is not SPEC PTDaemon", flush=True)
if place == "broken":
    sys.exit("no meter at broken")
if place == "slow":
    time.sleep(600)
ANSWERS = {
    "Hello": "Hello, PTDaemon here!",
    "Identify": "YokogawaWT310E,1000,1,1,1,1,0,0,1,version=1.11.1-SIMULATED-1,OS=x,mode=power,1,1,1,0,0,no_cal_date,"
    "SIMULATED;NOT-A-METER;0;F0.0",
    "RR": "Ranges,0,0.500000,0,300.000000",
}
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        link = server.accept()[0]
        with link, link.makefile("rw", newline="\\r\\n") as lines:
            for line in lines:
                asked = line.strip()
                changed = f"Range {asked[3:4]} changed" if asked.startswith("SR,") else "Unknown command: " + asked
                lines.write(ANSWERS.get(asked, changed) + "\\n")
                lines.flush()
'''


def make(folder: Path, files: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """Write the repository, and a catalogue with a round and a component for it; return both folders.

    Args:
        folder: Where both are made.
        files: Python files of the software; None: those of this module, which measure nothing.
    """
    repository, catalogue = folder / "power-double", folder / "catalogue"
    sources = repository / "ptd_client_server"
    sources.mkdir(parents=True)
    files = files or {"__init__.py": "", "server.py": _SERVER, "client.py": _CLIENT}
    for name, text in files.items():
        (sources / name).write_text(text)
    _git(repository, "init", "--quiet")
    _git(repository, "add", ".")
    _git(repository, "commit", "--quiet", "-m", "a double, by a test")
    component = yaml.safe_load((BUILT_IN / "components" / "power-dev.yaml").read_text())
    component |= {"name": "power-double", "description": "a double of power-dev, by a test"}
    component["source"] |= {"url": f"file://{repository}", "commit": _git(repository, "rev-parse", "HEAD")}
    round_ = yaml.safe_load((BUILT_IN / "rounds" / "v6.1.yaml").read_text())
    round_["name"] = ROUND
    round_["power"] |= {"software": "power-double", "sources": [{name: _sha1(text) for name, text in files.items()}]}
    for kind, entry in (("components", component), ("rounds", round_)):
        (catalogue / kind).mkdir(parents=True)
        (catalogue / kind / f"{entry['name']}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    return repository, catalogue


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
