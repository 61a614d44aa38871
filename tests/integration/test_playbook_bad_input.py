"""What is wrong with an inventory or a host is one sentence of the play, before anything is lost or half made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.files import Json, sha256_file
from tests.support.images import make_images
from tests.support.playbooks import CHECKOUT, Played, local_inventory, play
from tests.support.small_disks import small_disk

pytestmark = pytest.mark.integration

_NAME = "efficientnet-lite0"


def provision(folder: Path, *arguments: str, home: Path | None = None, **changes: Json) -> Played:
    """Plan and provision, with the data set of the user so that nothing is fetched before the mistake shows."""
    inventory = local_inventory(folder / "mini", home or folder / "home", **changes)
    return play(str(CHECKOUT / "run-inference.yml"), inventory, folder, "--tags", "validate,provision", *arguments)


def said(played: Played) -> str:
    """Return the output on one line: the sentence may be folded."""
    assert played.exit_code != 0, played.output
    assert "Traceback" not in played.output
    return " ".join(played.output.split())


def own_data(path: Path, **more: Json) -> dict[str, Json]:
    return {"imagenet": {"path": str(path), **more}}


def test_a_mistyped_benchmark_names_file_line_and_the_nearest(tmp_path: Path) -> None:
    text = said(provision(tmp_path, benchmarks=[{"benchmark": "efficientnet-lit0"}]))
    assert "mini/hosts.yml:" in text
    assert "unknown benchmark 'efficientnet-lit0'" in text
    assert f"did you mean '{_NAME}'?" in text
    assert not (tmp_path / "home").exists()


def test_a_variable_that_cannot_be_resolved_is_named(tmp_path: Path) -> None:
    text = said(provision(tmp_path, submitter="{{ nobody }}"))
    assert "host localhost: mlperf_submitter cannot be resolved: 'nobody' is undefined" in text


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    text = said(provision(tmp_path, components=own_data(tmp_path / "none")))
    assert (
        f"the data set 'imagenet' is not at {tmp_path}/none (put it there or correct mlperf_components.imagenet" in text
    )
    assert not (tmp_path / "home" / "store").exists()


def test_a_label_file_that_is_not_there(tmp_path: Path) -> None:
    images = make_images(tmp_path / "imagenet", 2).path
    text = said(provision(tmp_path, components=own_data(images, label_file="labels.txt")))
    assert f"the data set 'imagenet' in {images} has no label file labels.txt" in text


def test_a_file_with_another_digest_than_the_inventory_pins(tmp_path: Path) -> None:
    images = make_images(tmp_path / "imagenet", 2).path
    text = said(provision(tmp_path, components=own_data(images, sha256="0" * 64)))
    assert f"has sha256 {sha256_file(images / 'val_map.txt')}, the inventory pins {'0' * 64}" in text


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = said(provision(tmp_path, home=tmp_path / "file" / "home"))
    assert "cannot be made" in text
    assert "set mlperf_home elsewhere" in text


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    with contextlib.ExitStack() as mounted:
        try:
            mounted.enter_context(small_disk(folder, 4))
        except subprocess.CalledProcessError:
            pytest.skip("this machine does not let a test mount a file system")
        yield folder


def test_a_disk_without_space_is_told_before_any_component_is_written(full_disk: Path, tmp_path: Path) -> None:
    text = said(provision(tmp_path, home=full_disk / "home"))
    assert "MiB free" in text
    assert "are needed (free some space or set mlperf_home to a larger disk)" in text
    assert {path.parent.name for path in full_disk.rglob("*") if not path.is_dir()} <= {"state"}


def test_a_python_that_does_not_work(tmp_path: Path) -> None:
    text = said(provision(tmp_path, "-e", "host_components_python=/nowhere/python3"))
    assert "Python 3.10 or newer with its venv module is needed on the host; found: '/nowhere/python3'" in text


def test_provisioning_without_a_plan_says_what_to_do(tmp_path: Path) -> None:
    inventory = local_inventory(tmp_path / "mini", tmp_path / "home")
    text = said(play(str(CHECKOUT / "playbooks" / "provision.yml"), inventory, tmp_path))
    assert "there is no plan at" in text
    assert "run the validate playbook first" in text


def test_a_mirror_that_holds_nothing_says_how_to_fill_it(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    text = said(provision(tmp_path, mirror=str(tmp_path / "mirror")))
    assert "mlperf-ops mirror fetch" in text


def test_two_plays_do_not_write_one_results_folder(tmp_path: Path) -> None:
    run = tmp_path / "results" / "mini"
    holder = (
        "import time\nfrom pathlib import Path\nfrom mlperf_ops.runlock import hold\n"
        f"with hold(Path({str(run)!r})):\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder])
    try:
        while not (run / "owner.json").is_file():
            assert process.poll() is None
            time.sleep(0.05)
        text = said(provision(tmp_path))
    finally:
        process.kill()
        process.wait()
    assert f"is in use by process {process.pid}" in text
    assert not (run / "plan.json").exists()
