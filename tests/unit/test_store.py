from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlperf_ops.catalogue import ComponentEntry, load_catalogue
from mlperf_ops.errors import ConfigError, ToolError
from mlperf_ops.files import sha256_file, sha256_tree
from mlperf_ops.package_files import download
from mlperf_ops.store import prepare
from tests.support.wheels import component, write_wheel

ONE = {"tiny/weights.bin": b"weights"}
IMAGES = {"pics/a_3.jpg": b"first", "pics/b_12.jpg": b"second"}
LABELLED = {
    "with": "labelled_file_names",
    "options": {"pattern": r"_(?P<label>\d+)\.jpg$", "label_file": "val_map.txt"},
}
ZERO = "0" * 64


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def tiny(mirror: Path) -> ComponentEntry:
    return component(write_wheel(mirror, "tiny", ONE), ONE)


@pytest.fixture
def images(mirror: Path) -> ComponentEntry:
    wheel = write_wheel(mirror, "pics", IMAGES)
    return component(wheel, IMAGES, kind="dataset", convert=LABELLED, sample_count=2, label_file="val_map.txt")


@pytest.fixture
def pip_sees_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point pip at a folder of the test instead of this machine's sources."""
    source = tmp_path / "index"
    source.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", str(source))):
        monkeypatch.setenv(f"PIP_{name}", value)
    return source


def _left_behind(cache: Path) -> list[str]:
    return [path.name for path in cache.glob("*/*") if not path.name.startswith((".lock", ".made."))]


def test_one_member_becomes_one_file_in_a_folder_of_its_digest(tiny: ComponentEntry, cache: Path, mirror: Path) -> None:
    made = prepare(tiny, cache, mirror=mirror)

    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert made.path == cache / "tiny" / sha256[:12] / "weights.bin"
    assert made.path.read_bytes() == b"weights"
    assert (made.name, made.sha256, made.fetched) == ("tiny", sha256, True)


def test_a_data_set_is_a_folder_with_its_label_file(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    made = prepare(images, cache, mirror=mirror)

    assert sorted(path.name for path in made.path.iterdir()) == ["a_3.jpg", "b_12.jpg", "val_map.txt"]
    assert made.sha256 == sha256_tree(made.path)
    assert made.path.name == made.sha256[:12]


def test_an_archive_without_named_members_is_kept_as_it_is(cache: Path, mirror: Path) -> None:
    wheel = write_wheel(mirror, "tiny", ONE)

    made = prepare(component(wheel, {}, kind="wheel"), cache, mirror=mirror)

    assert made.path.name == wheel.name
    assert made.sha256 == sha256_file(wheel)


@pytest.mark.parametrize("pinned", [True, False])
def test_the_second_time_nothing_is_fetched(images: ComponentEntry, cache: Path, mirror: Path, pinned: bool) -> None:  # noqa: FBT001
    first = prepare(images, cache, mirror=mirror)
    shutil.rmtree(mirror)

    entry = images.model_copy(update={"sha256": first.sha256}) if pinned else images
    second = prepare(entry, cache, offline=True)

    assert (second.path, second.sha256, second.fetched) == (first.path, first.sha256, False)


def test_a_damaged_copy_is_noticed_and_made_again(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    first = prepare(images, cache, mirror=mirror)
    (first.path / "a_3.jpg").write_bytes(b"bit rot")

    again = prepare(images, cache, mirror=mirror)

    assert again.fetched
    assert (again.path / "a_3.jpg").read_bytes() == b"first"


def test_another_recipe_does_not_get_the_old_result(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    first = prepare(images, cache, mirror=mirror)
    assert images.convert is not None
    options = {**images.convert.options, "label_file": "labels.txt"}
    changed = images.model_copy(update={"convert": images.convert.model_copy(update={"options": options})})

    second = prepare(changed, cache, mirror=mirror)

    assert second.sha256 != first.sha256
    assert (second.path / "labels.txt").is_file()


def test_what_a_killed_process_left_is_cleared_away(tiny: ComponentEntry, cache: Path, mirror: Path) -> None:
    left = cache / "tiny" / ".new.killed" / "out"
    left.mkdir(parents=True)
    (left / "weights.bin").write_bytes(b"wei")

    made = prepare(tiny, cache, mirror=mirror)

    assert _left_behind(cache) == [made.sha256[:12]]


def test_many_at_once_prepare_it_once(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: prepare(images, cache, mirror=mirror), range(16)))

    assert sum(one.fetched for one in made) == 1
    assert len({(one.path, one.sha256) for one in made}) == 1


def test_a_repacked_archive_is_good_when_its_members_are(tiny: ComponentEntry, cache: Path, mirror: Path) -> None:
    write_wheel(mirror, "tiny", ONE, comment=b"packed again")

    assert prepare(tiny, cache, mirror=mirror).path.read_bytes() == b"weights"


@pytest.mark.parametrize("members", [{"tiny/weights.bin": b"other weights"}, {"tiny/other.bin": b"weights"}])
def test_another_file_under_the_same_name_is_refused(
    tiny: ComponentEntry, cache: Path, mirror: Path, members: dict[str, bytes]
) -> None:
    got = sha256_file(write_wheel(mirror, "tiny", members))
    expected = tiny.model_dump()["source"]["sha256"]

    with pytest.raises(ToolError, match=rf"tiny-1\.0-py3-none-any\.whl .* has sha256 {got}, expected {expected}"):
        prepare(tiny, cache, mirror=mirror)
    assert _left_behind(cache) == []


def test_a_member_with_another_digest_is_named(cache: Path, mirror: Path) -> None:
    entry = component(write_wheel(mirror, "tiny", ONE), {"tiny/weights.bin": b"not these"})

    with pytest.raises(
        ToolError, match=r"tiny/weights\.bin in tiny-1\.0-py3-none-any\.whl .* has sha256 [0-9a-f]{64}, exp"
    ):
        prepare(entry, cache, mirror=mirror)
    assert _left_behind(cache) == []


def test_a_file_that_is_no_archive_is_refused(tiny: ComponentEntry, cache: Path, mirror: Path) -> None:
    (mirror / "tiny-1.0-py3-none-any.whl").write_text("<html>proxy login</html>")

    with pytest.raises(ToolError, match=r"has sha256 [0-9a-f]{64}, expected .*correct the mirror"):
        prepare(tiny, cache, mirror=mirror)


def test_a_result_that_differs_from_the_pin_is_not_kept(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    with pytest.raises(ToolError, match=f"component 'pics' was prepared with sha256 [0-9a-f]{{64}}, .* pins {ZERO}"):
        prepare(images.model_copy(update={"sha256": ZERO}), cache, mirror=mirror)
    assert _left_behind(cache) == []


def test_a_mirror_that_lacks_the_file_says_how_to_fill_it(tiny: ComponentEntry, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"lacks tiny-1\.0-py3-none-any\.whl .*mlperf-ops mirror fetch"):
        prepare(tiny, cache, mirror=tmp_path)


def test_offline_without_a_copy_says_what_to_set(tiny: ComponentEntry, cache: Path) -> None:
    with pytest.raises(ToolError, match=r"not in the cache, and fetching is switched off .*mlperf_mirror"):
        prepare(tiny, cache, offline=True)


def test_pip_brings_the_file_and_installs_nothing(
    tiny: ComponentEntry, cache: Path, mirror: Path, pip_sees_only: Path
) -> None:
    shutil.copy(mirror / "tiny-1.0-py3-none-any.whl", pip_sees_only)

    made = prepare(tiny, cache)

    assert made.path.read_bytes() == b"weights"
    shown = subprocess.run([sys.executable, "-m", "pip", "show", "tiny"], capture_output=True, check=False)
    assert shown.returncode != 0
    assert _left_behind(cache) == [made.sha256[:12]]


def test_a_source_without_the_package_is_told_from_one_that_is_away(
    tiny: ComponentEntry, cache: Path, pip_sees_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolError, match=r"the package source has no wheel tiny==1\.0 .*set mlperf_mirror to a folder"):
        prepare(tiny, cache)

    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ToolError, match=r"the package source cannot be reached to fetch tiny==1\.0 .*mlperf_mirror"):
        prepare(tiny, cache)
    assert _left_behind(cache) == []


def test_a_source_package_is_never_built(
    tiny: ComponentEntry, cache: Path, tmp_path: Path, pip_sees_only: Path
) -> None:
    project = tmp_path / "tiny-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(tmp_path / 'built')!r}, 'w')\n")
    shutil.make_archive(str(pip_sees_only / "tiny-1.0"), "gztar", tmp_path, "tiny-1.0")

    with pytest.raises(ToolError, match=r"has no wheel tiny==1\.0"):
        prepare(tiny, cache)
    assert not (tmp_path / "built").exists()


def test_a_mirror_can_be_filled(tiny: ComponentEntry, mirror: Path, tmp_path: Path, pip_sees_only: Path) -> None:
    shutil.copy(mirror / "tiny-1.0-py3-none-any.whl", pip_sees_only)

    fetched = download(tiny, tmp_path / "new-mirror")

    assert prepare(tiny, tmp_path / "cache", mirror=fetched.parent).fetched


def test_what_only_the_user_can_give_says_where_to_get_it(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"mlperf_components\.imagenet\.path is not set \(Register at image-net"):
        prepare(load_catalogue().component("imagenet"), cache)


def test_a_checkout_is_not_a_package_file(cache: Path) -> None:
    with pytest.raises(ConfigError, match="comes from git; the store holds package files only"):
        prepare(load_catalogue().component("mlperf-inference"), cache)


def test_an_unknown_converter_names_component_and_nearest(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    assert images.convert is not None
    wrong = images.model_copy(update={"convert": images.convert.model_copy(update={"with_": "labeled_file_names"})})

    with pytest.raises(ConfigError, match=r"pics: unknown converter .*did you mean 'labelled_file_names'"):
        prepare(wrong, cache, mirror=mirror)


def test_a_cache_that_cannot_be_written_is_a_sentence(tiny: ComponentEntry, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ToolError, match=r"cannot be prepared in .*file: Not a directory \(make the folder writable"):
        prepare(tiny, tmp_path / "file", mirror=mirror)


def test_a_read_only_cache_still_serves_what_it_holds(images: ComponentEntry, cache: Path, mirror: Path) -> None:
    made = prepare(images, cache, mirror=mirror)
    (cache / "pics" / ".lock").unlink()
    (cache / "pics" / ".lock").mkdir()  # a lock cannot be taken, even by root

    assert prepare(images, cache).path == made.path


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """On a file system of 64 KiB, in a mount namespace of its own."""
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=64k tmpfs {small}"
    if shutil.which("unshare") is None or subprocess.run([*enter, "sh", "-c", mount], check=False).returncode != 0:
        pytest.skip("this machine does not let the test mount a small file system")
    big = {"tiny/weights.bin": os.urandom(1 << 20)}
    entry = component(write_wheel(tmp_path / "mirror", "tiny", big), big)
    (tmp_path / "entry.json").write_text(entry.model_dump_json(by_alias=True))
    program = (
        "import sys; from pathlib import Path; from mlperf_ops.catalogue import ComponentEntry\n"
        "from mlperf_ops.errors import ToolError; from mlperf_ops.store import prepare\n"
        "base = Path(sys.argv[1])\n"
        "entry = ComponentEntry.model_validate_json((base / 'entry.json').read_text())\n"
        "try: prepare(entry, base / 'small', mirror=base / 'mirror')\n"
        "except ToolError as error: print(error)\n"
        "print([path.name for path in (base / 'small' / 'tiny').iterdir()])\n"
    )
    (tmp_path / "program.py").write_text(program)

    done = subprocess.run(
        [
            *enter,
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            sys.executable,
            str(tmp_path / "program.py"),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stdout.splitlines()
    assert said[0].startswith(f"no disk space is left in {small} for component 'tiny' (free space"), done.stderr
    assert said[1] in ("['.lock']", "[]")
