"""A host and a controller without any route: all comes from a folder of package files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_ops.catalogue import PypiSource, load_catalogue
from tests.support.playbooks import CHECKOUT, local_inventory, play

pytestmark = [pytest.mark.integration, pytest.mark.network]

_COMPONENTS = ("efficientnet-lite0", "imagenet-20")
_NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}


def pip_download(folder: Path, *arguments: str) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    catalogue = load_catalogue()
    lock = CHECKOUT / "mlperf_ops" / "catalogue" / "locks" / catalogue.round("v6.1").loadgen.requirements
    pip_download(folder, "--require-hashes", "-r", str(lock))
    for name in _COMPONENTS:
        source = catalogue.component(name).source
        assert isinstance(source, PypiSource)
        pip_download(folder, "--no-deps", f"{source.package}=={source.version}")
    return folder


def test_a_host_is_provisioned_from_a_mirror_alone(mirror: Path, tmp_path: Path) -> None:
    inventory = local_inventory(tmp_path / "mini", tmp_path / "home", mirror=str(mirror), become=False)
    done = play(
        str(CHECKOUT / "run-inference.yml"), inventory, tmp_path, "--tags", "validate,provision",
        XDG_CACHE_HOME=str(tmp_path / "cache"), **_NOWHERE,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    provision = json.loads((tmp_path / "home" / "state" / "provision.json").read_text())
    assert set(provision["components"]) == set(_COMPONENTS)
    assert {"mlcommons-loadgen", "numpy", "onnxruntime", "pillow"} <= set(provision["python"]["packages"])


def test_without_a_mirror_the_sentence_names_it(tmp_path: Path) -> None:
    inventory = local_inventory(tmp_path / "mini", tmp_path / "home", become=False)
    done = play(
        str(CHECKOUT / "run-inference.yml"), inventory, tmp_path, "--tags", "validate,provision",
        XDG_CACHE_HOME=str(tmp_path / "cache"), **_NOWHERE,
    )  # fmt: skip
    assert done.exit_code != 0
    assert "or set mlperf_mirror to a folder that holds" in " ".join(done.output.split())
    assert not (tmp_path / "home" / "state" / "provision.json").exists()
