"""The collection builds from the checkout, and its playbooks run by name from any folder."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mlperf_ops import __version__
from tests.support.playbooks import CHECKOUT, environ, play

_GALAXY = Path(sys.executable).parent / "ansible-galaxy"
_STUB = CHECKOUT / "collections" / "ansible_collections" / "mlperf_ops" / "lab"


def no_config(folder: Path) -> Path:
    """Make a configuration that says nothing, as a user's own folder has it."""
    path = folder / "empty.cfg"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    done = subprocess.run(
        [_GALAXY, "collection", "build", str(CHECKOUT), "--output-path", str(folder)],
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.tar.gz")
    return built


def test_the_checkout_is_the_collection_by_links_that_lead_somewhere() -> None:
    for name in ("galaxy.yml", "meta", "playbooks", "plugins", "roles"):
        link = _STUB / name
        assert link.is_symlink()
        assert link.resolve() == CHECKOUT / name
    for name in ("roles", "collections"):
        assert (CHECKOUT / "playbooks" / name).resolve() == CHECKOUT / name


def test_collection_and_package_have_one_version(archive: Path) -> None:
    assert archive.name == f"mlperf_ops-lab-{__version__}.tar.gz"


def test_the_archive_holds_the_collection_and_nothing_of_the_checkout(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = {name.split("/")[0] for name in tar.getnames()}
        links = [member.name for member in tar if member.issym() or member.islnk()]
    documents = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "FILES.json", "MANIFEST.json"}
    assert names <= documents | {"meta", "playbooks", "plugins", "roles"}
    assert names >= {"meta", "playbooks", "plugins", "roles"}
    assert links == []


def test_the_installed_collection_validates_by_name_from_another_folder(archive: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    subprocess.run(
        [_GALAXY, "collection", "install", str(archive), "-p", str(installed), "--offline"],
        env=environ(ANSIBLE_CONFIG=str(no_config(tmp_path))),  # the checkout's would find it there already
        capture_output=True,
        check=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = play(
        "mlperf_ops.lab.validate",
        CHECKOUT / "inventory" / "local",
        elsewhere,
        ANSIBLE_CONFIG=str(no_config(tmp_path)),
        ANSIBLE_COLLECTIONS_PATH=str(installed),
    )
    assert done.exit_code == 0, done.output
    assert (elsewhere / "results" / "local" / "plan.json").is_file()


def test_the_checkout_runs_from_another_folder(tmp_path: Path) -> None:
    done = play(
        str(CHECKOUT / "run-inference.yml"),
        CHECKOUT / "inventory" / "local",
        tmp_path,
        "--tags",
        "validate",
        ANSIBLE_CONFIG=str(no_config(tmp_path)),
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "results" / "local" / "plan.json").is_file()
