"""The doctor and the preflight on real hosts that are off, cut off, frozen, strangers, full or badly set up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.files import Json, read_json
from tests.lab import Host, Lab
from tests.support import sshd
from tests.support.playbooks import CHECKOUT

pytestmark = pytest.mark.lab

HOME = "~/mlperf"
FLOW = """---
- name: Preflight
  ansible.builtin.import_playbook: {checkout}/playbooks/preflight.yml

- name: What comes later
  hosts: sut
  gather_facts: false
  tasks:
    - name: Go on
      ansible.builtin.debug:
        msg: went on

- name: What comes last
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Sum up
      ansible.builtin.debug:
        msg: summed up
"""


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Host]:
    """One host for all tests that do not break it."""
    made = lab.fresh()
    yield made
    lab.remove(made)


def reach(lab: Lab, host: Host, **changes: Json) -> dict[str, Json]:
    """Return the variables of an inventory that reach a host as the ordinary user."""
    variables: dict[str, Json] = {
        "ansible_host": host.address,
        "ansible_user": "ops",
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={lab.known_hosts} -o IdentityAgent=none",
        "mlperf_home": HOME,
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_system_type": "edge",
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
    }
    return {**variables, **changes}


def inventory(folder: Path, hosts: Mapping[str, Mapping[str, Json]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    groups = {"all": {"children": {"sut": {"hosts": {name: dict(values) for name, values in hosts.items()}}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(groups))
    return folder


def doctor(lab: Lab, folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "mlperf_ops", "doctor", "-i", str(folder), "--json", *words]
    done = lab.run(argv, check=False, cwd=CHECKOUT)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def by_host(answer: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Return the findings of each name, without the one that several tests provoke: names of one machine."""
    return {one["name"]: [found for found in one["findings"] if found["check"] != "address"] for one in answer["hosts"]}


def test_hosts_that_are_off_cut_off_or_frozen_are_told_while_the_others_answer(lab: Lab, tmp_path: Path) -> None:
    good, off, cut, frozen = lab.add([(None, None)] * 4)
    off.kill()
    cut.cut()
    frozen.freeze()
    try:
        folder = inventory(
            tmp_path / "lab",
            {name: reach(lab, one) for name, one in (("good", good), ("off", off), ("cut", cut), ("frozen", frozen))},
        )
        code, answer = doctor(lab, folder, "--timeout", "6")
        assert code == 1
        assert answer["blocked"] == ["off", "cut", "frozen"] or set(answer["blocked"]) == {"off", "cut", "frozen"}
        found = by_host(answer)
        assert [one for one in found["good"] if one["severity"] == "blocks"] == []
        assert [(one["check"], one["severity"]) for one in found["off"] + found["cut"]] == [("port", "blocks")] * 2
        assert found["cut"][0]["message"] == f"{cut.address} does not answer"
        assert found["frozen"][0]["message"].endswith("takes the connection but says nothing")
        assert answer["seconds"] < 7.5
    finally:
        for one in (good, off, cut, frozen):
            lab.remove(one)


def test_the_examination_changes_nothing_on_a_virgin_host(lab: Lab, host: Host, tmp_path: Path) -> None:
    listing = "find / -xdev -not -path '/run*' -not -path '/var/log/*' -printf '%p %s %T@\\n' | sort"
    before = host.exec(listing, timeout=60).stdout
    code, answer = doctor(lab, inventory(tmp_path / "lab", {"h": reach(lab, host)}))
    assert (code, by_host(answer)) == (0, {"h": []})
    assert host.exec(listing, timeout=60).stdout == before


def test_each_fault_of_a_login_is_one_sentence(lab: Lab, host: Host, tmp_path: Path) -> None:
    wrong = sshd.keygen(tmp_path / "wrong")
    (tmp_path / "strangers").write_text("")
    other = " ".join(Path(f"{wrong}.pub").read_text().split()[:2])
    (tmp_path / "changed").write_text(f"# ours\n{host.address} {other}\n")
    host.exec("useradd --create-home --shell /bin/sh plain && cp -r ~ops/.ssh ~plain/ && chown -R plain ~plain/.ssh")

    def known(path: Path) -> str:
        return f"-F none -o UserKnownHostsFile={path} -o IdentityAgent=none"

    folder = inventory(
        tmp_path / "lab",
        {
            "good": reach(lab, host),
            "key": reach(lab, host, ansible_ssh_private_key_file=str(wrong)),
            "stranger": reach(lab, host, ansible_ssh_common_args=known(tmp_path / "strangers")),
            "changed": reach(lab, host, ansible_ssh_common_args=known(tmp_path / "changed")),
            "plain": reach(lab, host, ansible_user="plain"),
            "unprivileged": reach(lab, host, ansible_user="plain", mlperf_become=False),
            "python": reach(lab, host, ansible_python_interpreter="/usr/local/bin/python3.12"),
        },
    )
    code, answer = doctor(lab, folder)
    assert code == 1
    found = by_host(answer)
    assert found["good"] == found["unprivileged"] == []
    twins = {one["name"]: found for one in answer["hosts"] for found in one["findings"] if found["check"] == "address"}
    others = "changed, key, plain, python, stranger, unprivileged"
    assert twins["good"]["message"] == f"it is the same machine as {others}: {host.address}"
    assert set(twins) == set(found)
    assert found["key"][0]["message"].startswith(f"ops@{host.address} does not accept the key {wrong} (ED25519 SHA256:")
    assert found["stranger"][0]["check"] == "host-key"
    assert found["stranger"][0]["remedy"].endswith(f"ssh-keyscan {host.address} >> {tmp_path}/strangers")
    assert f"but {tmp_path}/changed:2 holds another one" in found["changed"][0]["message"]
    assert found["plain"][0]["message"] == "plain cannot use sudo without a password"
    assert found["python"][0]["message"].startswith("there is no /usr/local/bin/python3.12")
    assert {name: len(findings) for name, findings in found.items() if name in answer["blocked"]} == dict.fromkeys(
        ("key", "stranger", "changed", "plain", "python"), 1
    )


def test_a_host_without_python_is_told_so(lab: Lab, tmp_path: Path) -> None:
    bare = lab.fresh()
    try:
        bare.exec("rm -f /usr/bin/python3 /usr/bin/python3.*")
        code, answer = doctor(lab, inventory(tmp_path / "lab", {"bare": reach(lab, bare)}))
    finally:
        lab.remove(bare)
    assert code == 1
    assert by_host(answer)["bare"][0]["message"] == "there is no python3, and Ansible's modules need Python 3.8"


def test_a_full_disk_a_locked_folder_and_missing_data(lab: Lab, host: Host, tmp_path: Path) -> None:
    host.exec(
        "mkdir -p /mnt/small && mount -t tmpfs -o size=8m,mode=1777 small /mnt/small && install -d -m 700 /srv/theirs"
    )
    data: Json = {"imagenet": {"path": "/data/imagenet"}}
    folder = inventory(
        tmp_path / "lab",
        {
            "full": reach(lab, host, mlperf_home="/mnt/small/mlperf"),
            "locked": reach(lab, host, mlperf_home="/srv/theirs", mlperf_become=False),
            "data": reach(lab, host, mlperf_components=data),
        },
    )
    _, answer = doctor(lab, folder)
    host.exec("umount /mnt/small")
    found = by_host(answer)
    assert found["full"][0]["message"] == "mlperf_home /mnt/small/mlperf has 8 MiB free, 600 MiB are needed"
    assert found["locked"][0]["message"] == "mlperf_home /srv/theirs cannot be written: no permission on /srv/theirs"
    assert found["data"][0]["message"] == "mlperf_components.imagenet.path is not there: /data/imagenet"


@pytest.mark.parametrize("hang", [False, True], ids=["refused", "silent"])
def test_a_package_index_that_does_not_answer_blocks_only_where_there_is_no_mirror(
    lab: Lab,
    host: Host,
    tmp_path: Path,
    hang: bool,  # noqa: FBT001  # a parameter of pytest
) -> None:
    folder = inventory(
        tmp_path / "lab", {"index": reach(lab, host), "mirror": reach(lab, host, mlperf_mirror="/srv/mirror")}
    )
    with lab.outage(hang=hang):
        _, answer = doctor(lab, folder)
    found = by_host(answer)
    assert [(one["check"], one["severity"]) for one in found["index"]] == [("index", "blocks")]
    assert "cannot reach the package index" in found["index"][0]["message"]
    assert found["mirror"] == []


def test_another_controller_that_provisions_the_host_is_seen_and_not_disturbed(
    lab: Lab, host: Host, tmp_path: Path
) -> None:
    lock = "mkdir -p mlperf/state && flock mlperf/state/.provision.lock sleep 20"
    with subprocess.Popen(host.ssh_argv(lock, user="ops"), stdin=subprocess.DEVNULL) as holder:
        time.sleep(1)
        _, answer = doctor(lab, inventory(tmp_path / "lab", {"h": reach(lab, host)}))
        assert holder.poll() is None
        host.exec(["pkill", "--exact", "sleep"])
    assert by_host(answer)["h"][0]["message"] == "another play is provisioning it"
    host.exec("rm -rf ~ops/mlperf")


def play(lab: Lab, folder: Path, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "flow.yml").write_text(FLOW.format(checkout=CHECKOUT))
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), "flow.yml", "-i", str(folder), *words]
    env = {"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    return lab.run(argv, check=False, env=env, cwd=tmp_path)


def test_a_blocked_host_drops_out_with_its_reason_and_the_others_go_on(lab: Lab, host: Host, tmp_path: Path) -> None:
    other = lab.fresh()
    folder = inventory(tmp_path / "mini", {"one": reach(lab, host), "two": reach(lab, other)})
    record = tmp_path / "results" / "mini" / "preflight.json"
    try:
        other.cut()
        checked = play(lab, folder, tmp_path, "--check", "-e", "lab_preflight_timeout_seconds=5")
        assert checked.returncode == 2, checked.stdout
        assert not record.parent.exists()
        first = play(lab, folder, tmp_path, "-e", "lab_preflight_timeout_seconds=5")
        assert first.returncode == 2, first.stdout
        sentence = f"{other.address} does not answer (is it switched on, and its network cable in?)"
        assert f"msg: {sentence}" in first.stdout
        assert first.stdout.count("went on") == 1
        assert first.stdout.count("summed up") == 1
        hosts: Any = read_json(record)["hosts"]
        assert {name: one["state"] for name, one in hosts.items()} == {"one": "ready", "two": "blocked"}
        other.heal()
        second = play(lab, folder, tmp_path, "-v")
        assert second.returncode == 0, second.stdout
        assert "asked:\n    - two\n" in second.stdout
        assert second.stdout.count("went on") == 2
        third = play(lab, folder, tmp_path, "-v")
        assert "asked: []" in third.stdout
        assert "changed=1" not in third.stdout
        assert "WARNING" not in third.stdout + third.stderr
    finally:
        lab.remove(other)


def test_what_decides_a_hosts_answer_makes_it_be_asked_again(lab: Lab, host: Host, tmp_path: Path) -> None:
    folder = inventory(tmp_path / "mini", {"one": reach(lab, host)})
    assert play(lab, folder, tmp_path).returncode == 0
    inventory(tmp_path / "mini", {"one": reach(lab, host, mlperf_home="~/elsewhere")})
    assert "asked:\n    - one\n" in play(lab, folder, tmp_path, "-v").stdout
