"""The lab tool itself: hosts are real, faults do what they say, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_ops.errors import BusyError, ConfigError, ToolError
from tests.lab import Host, Lab, cgroups, machine, network, processes, records, sources, sweep
from tests.lab.machine import CHECKOUT

pytestmark = pytest.mark.lab

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
Pair = tuple[Host, Host]


def answers(host: Host, seconds: float = 1) -> bool:
    return bool(network.answering(host.lab_id, {host.name: host.address}, seconds))


def traces(lab_id: str) -> list[str]:
    """All that a lab can leave on a machine."""
    groups = [group / f"{machine.PREFIX}-{lab_id}" for group in cgroups.hierarchies().values()]
    found = [str(path) for path in (*groups, records.folder_of(lab_id)) if path.exists()]
    found += [name for name in os.listdir("/sys/class/net") if lab_id in name]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"/{lab_id}/" in line]
    found += network.namespaces(lab_id)
    commands = {pid: processes.argv_of(pid) for pid in processes.all_pids()}
    return found + [" ".join(argv) for argv in commands.values() if any(f"/{lab_id}/" in word for word in argv)]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.lab", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_hosts_are_machines_of_their_own(pair: Pair) -> None:
    one, other = pair
    assert one.boot_id() != other.boot_id()
    assert one.exec(["hostname"]).stdout.strip() == one.name
    assert f"inet {one.address}/16" in one.exec("ip -4 addr show dev eth0").stdout
    assert one.exec("systemctl is-system-running --wait").stdout.strip() == "running"
    assert one.read("/proc/1/comm").strip() == "systemd"
    one.write("/etc/only-here", "text\n")
    assert (one.root / "etc/only-here").read_text() == "text\n"
    assert other.exec("test -e /etc/only-here", check=False).returncode == 1


def test_hosts_know_each_other_by_name_and_have_no_way_out(pair: Pair) -> None:
    one, other = pair
    assert one.exec(["getent", "hosts", other.name]).stdout.split() == [other.address, other.name]
    one.exec(["ping", "-c1", "-W2", other.name])
    assert one.exec("ip route show default").stdout == ""


def test_an_ordinary_user_has_sudo_and_the_way_to_packages(pair: Pair) -> None:
    one, _ = pair
    assert one.exec("id -un; sudo id -un", user="ops").stdout.split() == ["ops", "root"]
    for line in ("env", "sudo env", "systemd-run --quiet --pipe --wait env"):
        assert "https_proxy=http://10.77.0.1:3128" in one.exec(line).stdout.splitlines(), line


def test_words_arrive_as_they_are_and_a_failure_is_told(pair: Pair) -> None:
    one, _ = pair
    assert one.exec(["printf", "%s|", "a b", "$HOME", "'"]).stdout == "a b|$HOME|'|"
    assert one.exec("cat", input="äöü\n").stdout == "äöü\n"
    with pytest.raises(ToolError, match=r"`false` failed, exit code 1"):
        one.exec("false")
    with pytest.raises(ToolError, match=r"did not end within 1 s"):
        one.exec("sleep 60", timeout=1)


def test_a_limit_of_a_unit_holds(pair: Pair) -> None:
    eat = "systemd-run --quiet --pipe --wait -p MemoryMax=40M python3 -c 'print(len(b\"x\" * 90000000))'"
    assert pair[0].exec(eat, check=False).returncode != 0
    assert pair[0].exec(eat.replace("40M", "400M")).stdout == "90000000\n"


def test_hosts_run_below_the_groups_of_who_started_them(pair: Pair) -> None:
    pid = pair[0].pid1()
    assert pid is not None
    if cgroups.systemd_owns_them():
        pytest.skip("systemd of this machine places the hosts")
    for controllers, group in cgroups.hierarchies(pid).items():
        assert group.is_relative_to(cgroups.hierarchies()[controllers] / f"{machine.PREFIX}-{pair[0].lab_id}")


def test_a_reboot_gives_a_new_boot_id_and_keeps_the_files(pair: Pair) -> None:
    one, other = pair
    before, untouched = one.boot_id(), other.boot_id()
    one.write("/etc/kept", "text\n")
    one.exec("touch /run/lost")
    one.reboot()
    assert one.boot_id() != before
    assert one.read("/etc/kept") == "text\n"
    assert one.exec("test -e /run/lost", check=False).returncode == 1
    assert other.boot_id() == untouched


def test_a_host_can_reboot_itself(pair: Pair) -> None:
    _, other = pair
    before = other.boot_id()
    other.exec("systemctl reboot", check=False)
    assert processes.wait_until(lambda: other.exec("true", check=False, timeout=60).returncode == 0, 60)
    other.wait()
    assert other.boot_id() != before


def test_a_cut_cable_silences_a_host_that_goes_on_running(pair: Pair) -> None:
    one, other = pair
    before = one.boot_id()
    one.cut()
    assert (one.state(), other.state()) == ("cut", "up")
    assert not answers(one)
    one.heal()
    assert answers(one, 10)
    assert one.boot_id() == before


def test_a_frozen_host_stands_still_until_it_is_thawed(pair: Pair) -> None:
    one, other = pair
    before = one.boot_id()
    one.freeze()
    assert (one.state(), other.state()) == ("frozen", "up")
    assert not answers(one)
    with pytest.raises(ToolError, match=rf"cannot reboot {one.name}: it is frozen \(`thaw {one.name}` first\)"):
        one.reboot()
    one.thaw()
    assert answers(one, 10)
    assert one.boot_id() == before


def test_a_killed_host_is_dark_and_starts_again_with_its_files(pair: Pair) -> None:
    one, other = pair
    before = one.boot_id()
    one.write("/etc/kept-too", "text\n")
    one.freeze()  # the hardest case: a frozen process ignores even SIGKILL
    one.kill()
    assert (one.state(), other.state()) == ("off", "up")
    assert not answers(one)
    with pytest.raises(ToolError, match="it is off"):
        one.freeze()
    one.reboot()
    assert one.state() == "up"
    assert one.boot_id() != before
    assert one.read("/etc/kept-too") == "text\n"


def test_apt_and_pip_work_and_the_second_host_is_served_from_the_cache(lab: Lab, pair: Pair) -> None:
    install = "apt-get -qq update && apt-get -qq install -y hello >/dev/null && hello"
    for host in pair:
        assert host.exec(install, timeout=300).stdout == "Hello, world!\n"
    assert any(one.startswith("hit ") for one in lab.requests(pair[1]))
    pair[0].exec("python3 -m venv /root/v && /root/v/bin/pip -q install six", timeout=300)
    assert pair[0].exec(["/root/v/bin/python", "-c", "import six; print(six.PY3)"]).stdout == "True\n"


def test_a_foreign_url_is_refused(lab: Lab, pair: Pair) -> None:
    before = lab.requests(pair[0])
    for url in ("http://foreign.example/x", "https://foreign.example/x"):
        fetch = f"import urllib.request; urllib.request.urlopen('{url}')"
        done = pair[0].exec(["python3", "-c", fetch], check=False)
        assert done.returncode == 1
        assert "403" in done.stderr.splitlines()[-1]
    assert lab.requests(pair[0])[len(before) :] == ["denied http://foreign.example/x", "denied foreign.example:443"]


def test_an_outage_of_the_package_sources(lab: Lab, pair: Pair) -> None:
    update = "apt-get update -o Acquire::Retries=0 -o APT::Update::Error-Mode=any"
    with lab.outage():
        done = pair[0].exec(update, check=False, timeout=60)
        assert done.returncode != 0
        assert "503" in done.stderr + done.stdout
    with lab.outage(hang=True):
        assert pair[0].exec(f"timeout 2 {update}", check=False).returncode == 124
    pair[0].exec(update, timeout=120)


def test_a_playbook_reaches_the_hosts_as_either_user(lab: Lab, pair: Pair, tmp_path: Path) -> None:
    play = {"hosts": "sut", "gather_facts": False, "tasks": [{"ansible.builtin.command": "id -un"}]}
    (tmp_path / "who.yml").write_text(json.dumps([{**play, "become": True}]))
    done = lab.playbook(str(tmp_path / "who.yml"), user="ops", cwd=tmp_path)
    for host in pair:
        assert f"changed: [{host.name}]" in done.stdout


def test_another_host_key_is_refused(lab: Lab, pair: Pair, tmp_path: Path) -> None:
    one, other = pair
    # The key of the other host under the address of this one: what a machine in the middle would show.
    lines = lab.known_hosts.read_text().splitlines()
    key = next(line for line in lines if line.startswith(other.address)).partition(" ")[2]
    (tmp_path / "known_hosts").write_text(f"{one.address} {key}\n")
    strict = ["-o", f"UserKnownHostsFile={tmp_path / 'known_hosts'}", "-o", "StrictHostKeyChecking=yes"]
    argv = ["ssh", "-F", "none", "-i", str(lab.key), "-o", "BatchMode=yes", *strict, f"root@{one.address}", "true"]
    done = lab.run(argv, check=False)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_a_removed_host_leaves_nothing(lab: Lab) -> None:
    host = lab.fresh(name="guest")
    assert "guest" in lab.inventory.joinpath("hosts.yml").read_text()
    lab.remove(host)
    assert not host.folder.exists()
    assert "guest" not in lab.inventory.joinpath("hosts.yml").read_text()
    assert network.namespace(lab.id, "guest") not in network.namespaces(lab.id)
    assert not [line for line in sweep.mounts_below(lab.folder) if "guest" in line.parts]
    lab.remove(host)


@pytest.mark.usefixtures("lab")
def test_after_down_the_machine_is_as_before_and_a_second_down_is_no_error() -> None:
    before = _INOTIFY.read_text(), os.listdir("/sys/class/net"), os.listdir("/run")
    lab = Lab.up(2)
    lab.hosts[0].exec("true")
    lab.hosts[1].freeze()
    assert traces(lab.id)
    assert lab.down()
    assert traces(lab.id) == []
    assert (_INOTIFY.read_text(), os.listdir("/sys/class/net"), os.listdir("/run")) == before
    assert not lab.down()


@pytest.fixture
def orphan() -> Iterator[str]:
    """A lab whose owner was killed while it was up."""
    code = "from tests.lab import Lab; import time; print(Lab.up(1).id, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        lab_id = owner.stdout.readline().strip()
        owner.send_signal(signal.SIGKILL)
    yield lab_id
    Lab(lab_id).down()


@pytest.mark.usefixtures("lab")
def test_the_next_lab_sweeps_what_a_killed_owner_left(orphan: str) -> None:
    assert traces(orphan)
    with Lab.up():
        assert traces(orphan) == []


@pytest.mark.usefixtures("lab")
def test_the_command_down_sweeps_as_well(orphan: str) -> None:
    argv = [sys.executable, "-m", "tests.lab", "down", "--id", "nothere"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"removed {orphan}\n"
    assert traces(orphan) == []


@pytest.mark.usefixtures("lab")
def test_a_half_built_lab_is_taken_down_even_without_its_record() -> None:
    code = (
        "import os, signal\nfrom tests.lab import Lab, supervisor\n"
        "supervisor.start = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nLab.up(2, lab_id='thalf')"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=False).returncode == -signal.SIGKILL
    assert len(sweep.mounts_below(records.folder_of("thalf"))) == 2
    records.folder_of("thalf").joinpath("lab.json").unlink()
    assert Lab("thalf").down()
    assert traces("thalf") == []


@pytest.fixture
def site_proxy(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A proxy of the machine's own network, as a company has one: its URL and its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {name: str(tmp_path / name) for name in ("cache", "log", "outage")}
    here = {"netns": "/proc/self/ns/net", "address": "127.0.0.1", "port": port, "subnet": "192.0.2.0/24"}
    config = {**here, **places, "allow": [list(target) for target in sources.allowed()], "upstream": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    argv = [sys.executable, str(processes.PROXY), str(tmp_path / "config.json")]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as running:
        assert processes.wait_until((tmp_path / "log").exists, 30)
        yield f"http://127.0.0.1:{port}", tmp_path / "log"
        running.terminate()


@pytest.mark.usefixtures("lab")
def test_hosts_reach_packages_through_the_proxy_that_the_machine_needs(
    site_proxy: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, log = site_proxy
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, url)
    by_port = {port: host for host, port in sources.allowed()}
    urls = [f"{scheme}://{by_port[port]}/" for scheme, port in (("http", 80), ("https", 443)) if port in by_port]
    with Lab.up(1) as lab:
        for wanted in urls:
            fetch = f"import urllib.request as u; print(u.urlopen('{wanted}').status)"
            assert lab.hosts[0].exec(["python3", "-c", fetch]).stdout == "200\n"
    passed = [json.loads(line) for line in log.read_text().splitlines()][1:]
    told = {"http": "pass {0}", "https": "connect {1}:443"}
    assert [f"{line['event']} {line['target']}" for line in passed] == [
        told[wanted.partition(":")[0]].format(wanted, wanted.split("/")[2]) for wanted in urls
    ]


@pytest.mark.usefixtures("lab")
def test_the_machine_itself_reaches_hosts_over_an_uplink() -> None:
    try:
        lab = Lab.up(1, uplink=True)
    except BusyError as error:
        pytest.skip(str(error))
    with lab, socket.create_connection((lab.hosts[0].address, 22), timeout=10) as connection:
        assert connection.recv(4) == b"SSH-"
    assert traces(lab.id) == []


@pytest.mark.usefixtures("lab")
def test_the_command_line(tmp_path: Path) -> None:
    try:
        done = command("up", "--names", "alpha,services1", "--id", "tcli", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [host["state"] for host in told["hosts"]] == ["up", "up"]
        assert command("exec", "--id", "tcli", "alpha", "echo", "a b").stdout == "a b\n"
        assert command("exec", "--id", "tcli", "alpha", "exit 3").returncode == 3
        assert "alpha is cut" in command("cut", "--id", "tcli", "alpha").stdout
        assert json.loads(command("status", "--id", "tcli", "--json").stdout)["labs"][0]["hosts"][0]["state"] == "cut"
        assert command("enter", "--id", "tcli", "--", "ip", "-4", "-br", "addr", "show", "br0").stdout.split()[2] == (
            "10.77.0.1/16"
        )
        done = command("kill", "--id", "tcli", "alfa")
        assert (done.returncode, done.stderr) == (
            2,
            "lab: error: unknown host 'alfa'; expected one of alpha, services1 (did you mean 'alpha'?)\n",
        )
        assert command("up", "--hosts", "1", "--id", "tcli").returncode == 6
        assert "services:" in (Path(told["inventory"]) / "hosts.yml").read_text()
    finally:
        assert command("down", "--id", "tcli").returncode == 0
    assert traces("tcli") == []
    assert command("down", "--id", "tcli").returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["up", "--id", "Lab_1"], "'Lab_1' is no lab id"),
        (["up", "--names", "a,a", "--id", "tbad"], "the host name 'a' stands there twice"),
        (["up", "--names", "a_b", "--id", "tbad"], "'a_b' is no host name"),
        (["up", "--hosts", "1", "--hardware", "h2=acpi-cpufreq", "--id", "tbad"], "unknown host 'h2'"),
        (["up", "--hosts", "1", "--hardware", "none", "--id", "tbad"], "no hardware view 'none'"),
        (["up", "--allow", "foreign:x", "--id", "tbad"], "'foreign:x' is no host to allow"),
        (["status", "--id", "tnone"], "'tnone'"),
    ],
)
def test_a_wrong_argument_is_one_sentence(words: list[str], sentence: str) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert traces("tbad") == []


def test_missing_tools_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TOOLS", {**machine.TOOLS, "no-such-tool": "one-package"})
    with pytest.raises(ConfigError) as caught:
        Lab.up()
    assert str(caught.value) == (
        "the lab needs one-package (apt-get install one-package, or: python -m tests.lab install)"
    )


def test_a_mirror_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "from tests.lab import sources\n"
        "sources.apt_sources = lambda: (sources.AptSource('http://127.0.0.1:9/debian', 'stable', ('main',), ''),)\n"
        "import sys; from tests.lab.__main__ import main; sys.exit(main(['up', '--hosts', '1', '--id', 'tbad']))"
    )
    env = {**os.environ, machine.HOME_VARIABLE: str(tmp_path / "labs")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("lab: error: the base could not be built: ")
    assert "can this machine reach http://127.0.0.1:9/debian?" in sentence
    assert [path.name for path in (tmp_path / "labs/base").iterdir()] == ["build.log"]
