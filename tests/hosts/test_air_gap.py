"""Hosts without a route to the outside: provisioned from a mirror, healed when a byte changes, served by a host."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.files import JsonObject, read_json
from tests.lab import Host, Lab

pytestmark = [pytest.mark.lab, pytest.mark.network]

_HOME = "/srv/mlperf"
_MIRROR_PATH = "/var/lib/mlperf-ops/mirror"
_COMPONENTS = {"efficientnet-lite0", "imagenet-20"}
_SILENT = """
import os, pathlib, sys
path = pathlib.Path(sys.argv[1])
stat = path.stat()
raw = bytearray(path.read_bytes())
raw[len(raw) // 2] ^= 1
path.write_bytes(bytes(raw))
os.utime(str(path), ns=(stat.st_atime_ns, stat.st_mtime_ns))
"""


def variables(**changes: str) -> JsonObject:
    """The variables of a small lab."""
    return {
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "example",
        "mlperf_system_type": "edge",
        "mlperf_run_style": "test",
        "mlperf_run_id": "gap",
        "mlperf_home": _HOME,
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0", "scenarios": ["Offline"]}],
        **changes,
    }


def words(done: subprocess.CompletedProcess[str]) -> str:
    """What a play said, without the line breaks that Ansible makes."""
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


def changes(done: subprocess.CompletedProcess[str], host: Host) -> int:
    found = re.search(rf"^{host.name} +: .*\bchanged=(\d+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    return int(found[1])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controller")


@pytest.fixture(scope="module")
def mirror(work: Path) -> Path:
    """Fill a mirror by the command, with this machine's route to the outside."""
    inventory = work / "inventory"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text("all: {children: {sut: {hosts: {h1: {}}}}}\n")
    (inventory / "group_vars").mkdir()
    (inventory / "group_vars" / "all.yml").write_text(json.dumps(variables()))
    folder = work / "mirror"
    argv = [str(Path(sys.executable).parent / "mlperf-ops"), "mirror", "fetch", str(folder), "-i", str(inventory)]
    argv += ["--python-version", "3.11", "--no-controller", "--no-checkouts", "--json"]
    argv += ["--os-packages", "tree"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["lacking"] == []
    return folder


@pytest.fixture(scope="module")
def cut_off(lab: Lab) -> Iterator[Host]:
    """A host that knows no way to any package source."""
    made = lab.fresh()
    made.exec(
        "rm -f /etc/pip.conf /etc/apt/apt.conf.d/*; : > /etc/environment; : > /etc/apt/sources.list; "
        "rm -f /etc/apt/sources.list.d/*"
    )
    assert made.exec("ip route show default").stdout.strip() == ""
    yield made
    lab.remove(made)


def provision(lab: Lab, host: Host, work: Path, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    return lab.playbook(
        "run-inference.yml", "--limit", f"{host.name},localhost", "--tags", "validate,host_components", *arguments,
        check=False, extra_vars={**variables(**changed), "host_components_cache": str(work / "cache")}, cwd=work,
    )  # fmt: skip


def asked_outside(lab: Lab, host: Host) -> list[str]:
    """What a host asked the lab's proxy for; it may ask other hosts of the lab through it, as apt does."""
    return [request for request in lab.requests(host) if not re.match(r"\w+ (http://)?10\.77\.", request)]


def state(host: Host) -> JsonObject:
    found: JsonObject = json.loads(host.read(f"{_HOME}/state/provision.json"))
    return found


def store(verb: str, lab: Lab, host: Host) -> list[str]:
    """The command that looks after the store of a host."""
    command = [sys.executable, "-m", "mlperf_ops", "store", verb, "-i", str(lab.inventory), "--limit", host.name]
    return [*command, "-e", f"mlperf_home={_HOME}", "-e", "ansible_user=root", "--json"]


def flip(host: Host, path: str) -> None:
    """Change one byte, and neither size nor time of modification."""
    host.exec(["python3", "-c", _SILENT, path])


def test_a_host_without_a_route_gets_all_from_the_mirror_and_asks_nobody(
    lab: Lab, cut_off: Host, mirror: Path, work: Path
) -> None:
    before = asked_outside(lab, cut_off)
    done = provision(lab, cut_off, work, mlperf_mirror=str(mirror))
    assert done.returncode == 0, words(done)
    assert asked_outside(lab, cut_off) == before
    made = state(cut_off)
    assert set(made["components"]) == _COMPONENTS  # type: ignore[arg-type]  # an object
    python = made["python"]
    assert isinstance(python, dict)
    assert {"mlcommons-loadgen", "numpy", "onnxruntime", "pillow"} <= set(python["packages"])  # type: ignore[arg-type]
    cut_off.exec([str(python["path"]), "-c", "import mlperf_loadgen, onnxruntime"])
    again = provision(lab, cut_off, work, mlperf_mirror=str(mirror))
    assert (again.returncode, changes(again, cut_off)) == (0, 0), words(again)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("store/efficientnet-lite0/*/*.onnx", "components/efficientnet-lite0"),
        ("store/imagenet-20/*/imagenet_07_609.jpg", "components/imagenet-20"),
        ("harness/*/mlperf_ops/harness/sut.py", "harness"),
        ("python/*/lib/python3*/site-packages/numpy/version.py", "python"),
    ],
)
def test_one_changed_byte_is_named_and_healed_and_nothing_else_is_brought(
    lab: Lab, cut_off: Host, mirror: Path, work: Path, pattern: str, part: str
) -> None:
    path = cut_off.exec(f"ls {_HOME}/{pattern}").stdout.split()[0]
    digest = cut_off.exec(["sha256sum", path]).stdout
    flip(cut_off, path)
    assert cut_off.exec(["sha256sum", path]).stdout != digest
    verified = lab.run(store("verify", lab, cut_off), check=False, cwd=work)
    assert verified.returncode == 1, verified.stdout + verified.stderr
    (fault,) = json.loads(verified.stdout)["faults"]
    assert (fault["what"], path.endswith(fault["file"])) == ("damaged", True)
    done = provision(lab, cut_off, work, mlperf_mirror=str(mirror))
    assert done.returncode == 0, words(done)
    assert re.findall(rf"{cut_off.name}  bringing (\S+),", done.stdout) == [part]
    assert cut_off.exec(["sha256sum", path]).stdout == digest


def test_what_nothing_refers_to_is_removed_and_results_stay(lab: Lab, cut_off: Host, work: Path) -> None:
    cut_off.exec(
        f"mkdir -p {_HOME}/store/old/0123456789ab {_HOME}/python/0123456789ab {_HOME}/runs/x; "
        f"echo 1 > {_HOME}/store/old/0123456789ab/f; echo 1 > {_HOME}/runs/x/f"
    )
    listing = f"cd {_HOME} && find store python harness runs -maxdepth 2 -mindepth 1 -not -name '.*' | sort"
    before = cut_off.exec(listing).stdout.split()
    for dry in (["--dry-run"], []):
        done = lab.run([*store("gc", lab, cut_off), *dry], cwd=work)
        names = [(row["kind"], row["name"]) for row in json.loads(done.stdout)["removed"]]
        assert names == [("component", "old"), ("python", "python")]
        if dry:
            assert cut_off.exec(listing).stdout.split() == before
    gone = {"store/old", "store/old/0123456789ab", "python/0123456789ab"}
    left = set(cut_off.exec(listing).stdout.split())
    assert {name for name in set(before) - left if not name.startswith("python/0123456789ab/")} == gone
    assert cut_off.read(f"{_HOME}/runs/x/f") == "1\n"
    listed = json.loads(lab.run(store("ls", lab, cut_off), cwd=work).stdout)["stores"]
    assert _COMPONENTS | {"python", "harness"} == {row["name"] for row in listed}
    assert all(row["used_by"] and row["size_bytes"] for row in listed)


def test_an_index_that_does_not_answer_is_one_sentence_with_the_remedy(lab: Lab, host: Host, work: Path) -> None:
    began = time.monotonic()
    with lab.outage(hang=True):
        done = provision(lab, host, work)
    assert time.monotonic() - began < 240
    assert done.returncode != 0
    assert re.search(r"(cannot be reached|does not answer).*mlperf_mirror", words(done)), words(done)
    assert host.exec(f"ls -A {_HOME}/python 2>/dev/null; true").stdout.split() == []


def test_a_small_disk_is_one_sentence_and_nothing_is_left_on_it(lab: Lab, host: Host, mirror: Path, work: Path) -> None:
    host.exec(f"mkdir -p {_HOME} && mount -t tmpfs -o size=5m none {_HOME}")
    done = provision(lab, host, work, mlperf_mirror=str(mirror))
    assert done.returncode != 0
    sentence = r"mlperf_home /srv/mlperf has \d MiB free, \d+ MiB are needed \(free some space"
    assert re.search(sentence, words(done)), words(done)
    assert host.exec(f"find {_HOME} -type f").stdout.split() == []


def test_a_services_host_serves_the_mirror_and_gives_everything_back(
    lab: Lab, cut_off: Host, mirror: Path, work: Path
) -> None:
    services = lab.fresh(name="services1")
    snapshot = "find /var/lib/mlperf-ops /etc/systemd/system | sort; systemctl list-units --all --plain | grep mlperf"
    before = services.exec(f"{snapshot}; true").stdout
    extra: JsonObject = {"mirror_source": str(mirror)}
    try:
        checked = lab.playbook("playbooks/mirror.yml", "--check", extra_vars=extra, cwd=work)
        assert changes(checked, services) == 1
        assert services.exec(f"{snapshot}; true").stdout == before
        first = lab.playbook("playbooks/mirror.yml", extra_vars=extra, cwd=work)
        assert changes(first, services) == 1
        again = lab.playbook("playbooks/mirror.yml", extra_vars=extra, cwd=work)
        assert changes(again, services) == 0
        lab.playbook("playbooks/mirror.yml", extra_vars={**extra, "mirror_tasks": "verify"}, cwd=work)

        cut_off.exec(["rm", "-rf", _HOME])
        asked = asked_outside(lab, cut_off)
        done = provision(lab, cut_off, work, mlperf_mirror=f"http://{services.address}:8000")
        assert done.returncode == 0, words(done)
        assert asked_outside(lab, cut_off) == asked
        assert set(state(cut_off)["components"]) == _COMPONENTS  # type: ignore[arg-type]  # an object

        source = f"deb [trusted=yes] http://{services.address}:8000/apt/$(. /etc/os-release; echo $VERSION_CODENAME) ./"
        cut_off.exec(f'echo "{source}" > /etc/apt/sources.list && apt-get -qq update && apt-get -qq install tree')
        assert cut_off.exec("tree --version").stdout.startswith("tree v")
        assert asked_outside(lab, cut_off) == asked

        name = next(one for one in read_json(mirror / "mirror.json")["files"] if "numpy" in one["name"])["name"]  # type: ignore[union-attr,operator,index,call-overload]
        flip(services, f"{_MIRROR_PATH}/{name}")
        damaged = lab.playbook(
            "playbooks/mirror.yml", check=False, extra_vars={**extra, "mirror_tasks": "verify"}, cwd=work
        )
        assert f"{name} is not as it should be" in words(damaged)
        healed = lab.playbook("playbooks/mirror.yml", extra_vars=extra, cwd=work)
        assert "bringing 1 files" in words(healed)

        services.reboot()
        lab.playbook("playbooks/mirror.yml", extra_vars={**extra, "mirror_tasks": "verify"}, cwd=work)
        reverted = lab.playbook("playbooks/mirror.yml", extra_vars={**extra, "mirror_tasks": "revert"}, cwd=work)
        assert changes(reverted, services) == 1
        left = services.exec(f"{snapshot}; true").stdout
        assert [line for line in left.splitlines() if line not in before.splitlines()] in ([], ["/var/lib/mlperf-ops"])
    finally:
        lab.remove(services)
