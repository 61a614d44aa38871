"""The double of the power software as a git repository, and a catalogue whose round accepts just that."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import yaml

from mlperf_ops.catalogue.folders import BUILT_IN
from tests.power_sim.flow import DOUBLE

ROUND = "v6.1-double"


def make(folder: Path) -> tuple[Path, Path]:
    """Write the repository, and a catalogue with a round and a component for it; return both folders."""
    repository, catalogue = folder / "power-double", folder / "catalogue"
    sources = repository / DOUBLE.name
    sources.mkdir(parents=True)
    sums = {}
    for path in sorted(DOUBLE.glob("*.py")):
        data = path.read_bytes()
        (sources / path.name).write_bytes(data)
        sums[path.name] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    _git(repository, "init", "--quiet")
    _git(repository, "add", ".")
    _git(repository, "commit", "--quiet", "-m", "a double, by a test")
    component = yaml.safe_load((BUILT_IN / "components" / "power-dev.yaml").read_text())
    component |= {"name": "power-double", "description": "a double of power-dev, by a test"}
    component["source"] |= {"url": f"file://{repository}", "commit": _git(repository, "rev-parse", "HEAD")}
    round_ = yaml.safe_load((BUILT_IN / "rounds" / "v6.1.yaml").read_text())
    round_["name"] = ROUND
    round_["power"] |= {"software": "power-double", "sources": [sums]}
    for kind, entry in (("components", component), ("rounds", round_)):
        (catalogue / kind).mkdir(parents=True)
        (catalogue / kind / f"{entry['name']}.yaml").write_text(yaml.safe_dump(entry, sort_keys=False))
    return repository, catalogue


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
