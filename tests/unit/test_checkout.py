"""The official checkout: from a folder, from git, or a sentence why not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mlperf_ops.catalogue import ComponentEntry, GitSource, load_catalogue
from mlperf_ops.checkout import obtain
from mlperf_ops.errors import ConfigError

NEEDED = "tools/submission"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin" / "inference"
    (folder / NEEDED).mkdir(parents=True)
    (folder / NEEDED / "main.py").write_text("print('checker')\n")
    (folder / "large.bin").write_bytes(b"x" * 1000)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def entry(url: str, commit: str) -> ComponentEntry:
    source = GitSource(type="git", repository="example/inference", url=url, commit=commit)
    return load_catalogue().component("mlperf-inference").model_copy(update={"source": source})


def test_one_commit_is_fetched_without_what_the_checker_does_not_need(origin: Path, tmp_path: Path) -> None:
    commit = git(origin, "rev-parse", "HEAD")
    (origin / "later").write_text("")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "second")
    component = entry(f"file://{origin}", commit)
    found = obtain(component, tmp_path / "cache")
    assert (found.note, found.fetched) == ("", True)
    assert found.path is not None
    assert git(found.path, "rev-parse", "HEAD") == commit
    assert (found.path / NEEDED / "main.py").is_file()
    assert not (found.path / "large.bin").exists()
    shutil.rmtree(origin)
    again = obtain(component, tmp_path / "cache")
    assert (again.path, again.fetched) == (found.path, False)


def test_a_folder_of_the_user_is_used_as_it_is(origin: Path, tmp_path: Path) -> None:
    found = obtain(entry("file:///nowhere", "0" * 40), tmp_path / "cache", given=str(origin))
    assert (found.path, found.note) == (origin, "")
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_the_checker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"has no {NEEDED} .give a checkout of example/inference"):
        obtain(entry("file:///nowhere", "0" * 40), tmp_path / "cache", given=str(tmp_path / "empty"))


def test_the_mirror_comes_before_the_internet(origin: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    git(tmp_path, "clone", "--quiet", "--bare", str(origin), str(mirror / "inference.git"))
    commit = git(origin, "rev-parse", "HEAD")
    found = obtain(entry("file:///nowhere", commit), tmp_path / "cache", mirror=mirror)
    assert found.fetched
    assert found.path is not None


def test_a_repository_that_cannot_be_reached_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    found = obtain(entry(f"file://{tmp_path}/nowhere", "0" * 40), tmp_path / "cache")
    assert found.path is None
    assert found.note.startswith("the official checker could not be fetched: ")
    assert "\n" not in found.note
    assert list((tmp_path / "cache" / "mlperf-inference").iterdir()) == []
