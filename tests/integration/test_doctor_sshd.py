"""The doctor against a real sshd on this machine: each way in which a login can fail is a sentence with its remedy."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlperf_ops.doctor.examine import examine
from mlperf_ops.doctor.model import Answer, Finding
from mlperf_ops.doctor.question import make_question
from mlperf_ops.files import Json, JsonObject
from tests.support import sshd
from tests.support.playbooks import CHECKOUT, environ
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(sshd.why_not()), reason=sshd.why_not())]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    with sshd.running(tmp_path / "sshd") as one:
        yield one


def asked(host: Sshd, *, timeout: float = 10, variables: JsonObject | None = None, **changes: Json) -> Answer:
    question = make_question("h1", host.access(**changes), variables or {}, None)
    (answer,) = examine([question], timeout_seconds=timeout)
    return answer


def only(answer: Answer) -> Finding:
    (finding,) = answer.findings
    assert finding.host == "h1"
    return finding


def test_a_host_that_is_well_has_nothing_to_tell(host: Sshd, tmp_path: Path) -> None:
    answer = asked(host, variables={"mlperf_home": str(tmp_path / "home"), "mlperf_become": False})
    assert answer.findings == ()
    assert (answer.state, answer.reached, answer.address) == ("ready", "reboot", f"127.0.0.1 port {host.port}")
    assert not (tmp_path / "home").exists()


def test_a_host_key_that_nobody_knows_is_not_logged_in_to(host: Sshd) -> None:
    host.known_hosts.unlink()
    finding = only(asked(host))
    assert (finding.check, finding.severity) == ("host-key", "blocks")
    assert finding.message.startswith("its host key (ED25519 SHA256:")
    assert finding.remedy.endswith(f"ssh-keyscan -p {host.port} 127.0.0.1 >> {host.known_hosts}")
    assert "Accepted" not in (host.folder / "sshd.log").read_text()


def test_an_unknown_host_key_is_a_warning_where_ansible_itself_would_accept_any(host: Sshd) -> None:
    host.known_hosts.unlink()
    finding = only(asked(host, host_key_checking=False))
    assert (finding.check, finding.severity) == ("host-key", "warns")
    assert "Ansible would accept any" in finding.message


def test_a_changed_host_key_names_file_and_line(host: Sshd, tmp_path: Path) -> None:
    host.know(sshd.keygen(tmp_path / "another"))
    finding = only(asked(host))
    assert (finding.check, finding.severity) == ("host-key", "blocks")
    assert f"but {host.known_hosts}:2 holds another one" in finding.message
    assert f"ssh-keygen -f {host.known_hosts} -R '[127.0.0.1]:{host.port}'" in finding.remedy


def test_a_hashed_name_in_known_hosts_is_found_as_well(host: Sshd) -> None:
    subprocess.run(["ssh-keygen", "-H", "-f", str(host.known_hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in host.known_hosts.read_text()
    assert not [one for one in asked(host).findings if one.check == "host-key"]


def test_a_wrong_key_is_named_with_its_fingerprint(host: Sshd, tmp_path: Path) -> None:
    wrong = sshd.keygen(tmp_path / "wrong")
    finding = only(asked(host, key_file=str(wrong)))
    assert (finding.check, finding.severity) == ("login", "blocks")
    assert f"{host.user}@127.0.0.1 does not accept the key {wrong} (ED25519 SHA256:" in finding.message
    assert finding.remedy.startswith(f"ssh-copy-id -i {wrong} -p {host.port} {host.user}@127.0.0.1")


def test_a_key_file_that_is_not_there(host: Sshd, tmp_path: Path) -> None:
    finding = only(asked(host, key_file=str(tmp_path / "none")))
    assert finding.line == f"there is no key file {tmp_path}/none (correct ansible_ssh_private_key_file)"


def test_a_key_file_that_others_may_read(host: Sshd) -> None:
    host.key.chmod(stat.S_IRUSR | stat.S_IRGRP)
    finding = only(asked(host))
    assert finding.message == f"ssh does not use the key {host.key}, which others may read (mode 0440)"
    assert finding.remedy == f"chmod 600 {host.key}"


def test_a_key_with_a_passphrase_and_no_agent(host: Sshd, tmp_path: Path) -> None:
    locked = sshd.keygen(tmp_path / "locked", passphrase="correct horse")  # noqa: S106  # of a key of this test
    finding = only(asked(host, key_file=str(locked)))
    assert finding.line == f"the key {locked} has a passphrase and the agent does not hold it (ssh-add {locked})"


def test_a_file_that_is_no_key(host: Sshd, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "text").chmod(0o600)
    assert only(asked(host, key_file=str(tmp_path / "text"))).message.endswith("is not a private key that can be used")


def test_a_port_where_nobody_listens(host: Sshd) -> None:
    finding = only(asked(host, port=sshd.free_port()))
    assert finding.check == "port"
    assert "refuses the connection" in finding.message


def test_a_name_that_does_not_resolve(host: Sshd) -> None:
    finding = only(asked(host, address="no-such-host.invalid"))
    assert finding.check == "address"
    assert "no-such-host.invalid does not resolve" in finding.message


def test_settings_that_ssh_refuses(host: Sshd) -> None:
    finding = only(asked(host, arguments=["-o", "NoSuchOption=1"]))
    assert finding.check == "address"
    assert "NoSuchOption" in finding.message or "nosuchoption" in finding.message


def test_a_service_that_is_not_ssh(host: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = only(asked(host, port=server.getsockname()[1], timeout=2))
    assert finding.check in {"port", "host-key"}
    assert "says nothing" in finding.message


def test_a_frozen_host_does_not_delay_the_others_beyond_the_limit(host: Sshd, tmp_path: Path) -> None:
    with sshd.running(tmp_path / "second") as frozen:
        assert frozen.process is not None
        os.kill(frozen.process.pid, signal.SIGSTOP)
        heard: dict[str, float] = {}
        began = time.monotonic()
        questions = [make_question(name, one.access(), {}, None) for name, one in (("a", frozen), ("b", host))]
        answers = examine(
            questions,
            timeout_seconds=4,
            told=lambda answer: heard.update({answer.name: time.monotonic() - began}),
        )
        os.kill(frozen.process.pid, signal.SIGCONT)
    assert [answer.blocked for answer in answers] == [True, False]
    assert answers[0].findings[0].message.endswith("takes the connection but says nothing")
    assert heard["b"] < 3
    assert 3.5 < heard["a"] < 5.5


def test_a_python_that_is_not_there(host: Sshd) -> None:
    finding = only(asked(host, python="/nowhere/python3"))
    assert finding.check == "python"
    assert finding.message == "there is no /nowhere/python3, and Ansible's modules need Python 3.8"


def test_a_python_that_is_too_old_is_told_with_its_version_by_a_shim(host: Sshd, tmp_path: Path) -> None:
    shim = tmp_path / "python3.6"
    old = "import sys, builtins; sys.version_info = (3, 6, 9, 'final', 0)\n"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{old}exec(\\"\\"\\"$2\\"\\"\\")"\n')
    shim.chmod(0o755)
    finding = only(asked(host, python=str(shim)))
    assert finding.message == "its Python is 3.6.9, and Ansible's modules need 3.8"


def test_what_a_login_script_prints_does_no_harm(tmp_path: Path) -> None:
    with sshd.running(tmp_path / "sshd", ForceCommand="echo welcome; eval $SSH_ORIGINAL_COMMAND") as host:
        assert asked(host).findings == ()


def test_a_command_that_does_not_end_is_cut_at_the_limit(tmp_path: Path) -> None:
    with sshd.running(tmp_path / "sshd", ForceCommand="sleep 60") as host:
        finding = only(asked(host, timeout=3))
    assert finding.check == "python"
    assert "does not end" in finding.message


def test_a_jump_host_is_used_and_named_when_it_fails(host: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {host.port}\n  User {host.user}\n  IdentityFile {host.key}\n"
        f"  UserKnownHostsFile {host.known_hosts}\n"
    )
    shim = tmp_path / "ssh"
    shim.write_text(f'#!/bin/sh\nexec ssh -F {config} "$@"\n')
    shim.chmod(0o755)
    given = host.access()["arguments"]
    assert isinstance(given, list)
    arguments: Json = [*given[2:], "-o", "ProxyJump=jump"]
    assert asked(host, arguments=arguments, ssh=str(shim)).findings == ()
    (tmp_path / "wrong").mkdir()
    config.write_text(config.read_text().replace(str(host.known_hosts), str(tmp_path / "wrong" / "known_hosts")))
    finding = only(asked(host, arguments=arguments, ssh=str(shim)))
    assert finding.check == "host-key"
    assert finding.message.startswith("its jump host jump: its host key")


def test_the_command_reads_an_inventory_and_exits_with_1_for_a_blocked_host(host: Sshd, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    password = "s3cret-pass"  # noqa: S105  # of nobody
    hosts = {
        "good": {**host.variables(), "mlperf_become": False},
        "bad": {**host.variables(), "ansible_port": sshd.free_port(), "ansible_become_password": password},
    }
    common = {
        "mlperf_home": str(tmp_path / "home"),
        "mlperf_round": "v6.1",
        "mlperf_division": "open",
        "mlperf_submitter": "Example",
        "mlperf_system_type": "edge",
        "mlperf_benchmarks": [{"benchmark": "efficientnet-lite0"}],
    }
    groups = {"all": {"vars": common, "children": {"sut": {"hosts": hosts}}}}
    (lab / "hosts.yml").write_text(yaml.safe_dump(groups))
    argv = [sys.executable, "-m", "mlperf_ops", "doctor", "-i", str(lab)]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "bad  blocks  port: 127.0.0.1 port" in done.stdout
    assert "1 of 2 hosts ready" in done.stdout
    assert done.stdout.rstrip().endswith("blocked: bad")
    limited = subprocess.run(
        [*argv, "--limit", "good", "--json"], cwd=CHECKOUT, env=environ(), capture_output=True, text=True, check=False
    )
    assert limited.returncode == 0, limited.stderr
    answer = json.loads(limited.stdout)
    assert [one["name"] for one in answer["hosts"]] == ["good"]
    assert answer["inventory"] == ""
    assert password not in done.stdout + done.stderr + limited.stdout + limited.stderr

    common["mlperf_benchmarks"] = [{"benchmark": "efficientnet-lite9"}]
    (lab / "hosts.yml").write_text(yaml.safe_dump(groups))
    mistyped = subprocess.run(
        [*argv, "--limit", "good"], cwd=CHECKOUT, env=environ(), capture_output=True, text=True, check=False
    )
    assert mistyped.returncode == 1, mistyped.stderr
    assert "1 host ready" in mistyped.stdout
    assert "the inventory cannot be planned: " in mistyped.stdout
    assert "unknown benchmark 'efficientnet-lite9'" in mistyped.stdout


def test_a_limit_that_matches_nobody_names_the_nearest(host: Sshd, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "hosts.yml").write_text(
        yaml.safe_dump({"all": {"children": {"sut": {"hosts": {"sut1": host.variables()}}}}})
    )
    argv = [sys.executable, "-m", "mlperf_ops", "doctor", "-i", str(lab), "--limit", "sut11"]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert "--limit: unknown host or group 'sut11'" in done.stderr
    assert "did you mean 'sut1'?" in done.stderr
