"""OS packages of a mirror: described by themselves, indexed for apt, refused where they cannot be had."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file
from mlperf_ops.mirror import os_packages

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="this is no Debian")


def deb(folder: Path, name: str, copyright_: str = "") -> Path:
    """Build a real, small package."""
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1.2-3\nArchitecture: all\nMaintainer: t <t@example.invalid>\nDescription: a test\n"
    )
    if copyright_:
        document = tree / "usr" / "share" / "doc" / name / "copyright"
        document.parent.mkdir(parents=True)
        document.write_text(copyright_)
    path = folder / f"{name}_1.2-3_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(path)], check=True, capture_output=True)
    return path


def test_a_package_tells_its_name_version_and_licences(tmp_path: Path) -> None:
    told = os_packages.describe(deb(tmp_path, "tiny", "License: MIT\n text\n\nLicense: GPL-2+\n text\n"))
    assert (told.package, told.version, told.license) == ("tiny", "1.2-3", "GPL-2+, MIT")
    assert os_packages.describe(deb(tmp_path, "mute")).license == "see usr/share/doc/mute/copyright in it"
    (tmp_path / "no.deb").write_text("none")
    with pytest.raises(ToolError, match=r"no.deb is no Debian package: .* \(fetch it again\)"):
        os_packages.describe(tmp_path / "no.deb")


def test_the_index_is_equal_for_equal_packages_and_names_each_by_digest(tmp_path: Path) -> None:
    packages = [deb(tmp_path, "b"), deb(tmp_path, "a")]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    made = os_packages.write_index(packages, tmp_path / "one", "bookworm")
    again = os_packages.write_index(reversed(packages), tmp_path / "two", "bookworm")
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in again]
    text = (tmp_path / "one" / "Packages").read_text()
    assert [line for line in text.splitlines() if line.startswith("Package:")] == ["Package: a", "Package: b"]
    assert f"Filename: ./{packages[0].name}" in text
    assert f"SHA256: {sha256_file(packages[0])}" in text
    assert gzip.decompress((tmp_path / "one" / "Packages.gz").read_bytes()).decode() == text
    release = (tmp_path / "one" / "Release").read_text()
    assert f" {sha256_file(tmp_path / 'one' / 'Packages')} {len(text)} Packages\n" in release


def test_another_family_is_refused_in_one_sentence(tmp_path: Path) -> None:
    other = tmp_path / "os-release"
    other.write_text('ID="rocky"\nID_LIKE="rhel fedora"\n')
    with pytest.raises(ConfigError, match="on Debian and its family only, this machine runs rocky"):
        os_packages.own_release(other)
    other.write_text("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n")
    assert os_packages.own_release(other) == "noble"


@pytest.mark.parametrize("name", ["-o=x", "a b", "Tree", "../x"])
def test_what_is_no_package_name_never_reaches_apt(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no package name"):
        os_packages.download([name], tmp_path / "work")


def test_a_name_that_apt_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"apt knows no package 'no-such-package-of-ours' \(correct the name"):
        os_packages.download(["no-such-package-of-ours"], tmp_path / "work")
