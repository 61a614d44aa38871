"""What a host is asked, how ssh would reach it, and when it is not asked again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.doctor import record
from mlperf_ops.doctor.examine import examine, script
from mlperf_ops.doctor.model import Access
from mlperf_ops.doctor.question import make_question
from mlperf_ops.doctor.ssh_settings import target
from mlperf_ops.errors import ResultError
from mlperf_ops.files import JsonObject, write_json

ACCESS: JsonObject = {"connection": "ssh", "address": "10.0.0.1"}
SETTINGS = {
    "hostname": ["10.0.0.1"],
    "port": ["2222"],
    "user": ["ops"],
    "userknownhostsfile": ["~/.ssh/known_hosts ~/.ssh/known_hosts2"],
    "globalknownhostsfile": ["none"],
    "identityfile": ["~/.ssh/id_ed25519", '"/keys/%h/%r"'],
    "stricthostkeychecking": ["ask"],
    "identitiesonly": ["no"],
}


def test_ssh_says_where_as_whom_and_with_what() -> None:
    found = target(SETTINGS, None, host_key_checking=True)
    assert (found.hostname, found.port, found.user) == ("10.0.0.1", 2222, "ops")
    assert found.lookup_name == "[10.0.0.1]:2222"
    assert found.known_hosts == (Path.home() / ".ssh/known_hosts", Path.home() / ".ssh/known_hosts2")
    assert found.identities == (Path.home() / ".ssh/id_ed25519", Path("/keys/10.0.0.1/ops"))
    assert not found.accepts_unknown
    assert found.use_agent
    assert found.jumps == ()
    assert found.unsupported == ""


def test_an_alias_names_the_host_in_known_hosts() -> None:
    found = target({**SETTINGS, "hostkeyalias": ["node7"], "port": ["22"]}, None, host_key_checking=True)
    assert (found.lookup_name, found.shown) == ("node7", "10.0.0.1")


@pytest.mark.parametrize("value", ["no", "false", "accept-new", "off"])
def test_ssh_that_accepts_unknown_keys_is_seen(value: str) -> None:
    assert target({**SETTINGS, "stricthostkeychecking": [value]}, None, host_key_checking=True).accepts_unknown


def test_what_only_ssh_can_do_is_named_but_a_jump_host_is_no_such_thing() -> None:
    command = {**SETTINGS, "proxycommand": ["nc %h %p"], "pkcs11provider": ["/usr/lib/opensc.so"]}
    assert target(command, None, host_key_checking=True).unsupported == "ProxyCommand and PKCS11Provider"
    jump = {**SETTINGS, "proxyjump": ["a@b:2,c"], "proxycommand": ["ssh -W x"]}
    assert target(jump, None, host_key_checking=True).jumps == ("a@b:2", "c")
    assert target(jump, None, host_key_checking=True).unsupported == ""


def test_the_plan_decides_what_a_host_needs() -> None:
    variables: dict[str, Any] = {
        "mlperf_home": "~/mlperf",
        "mlperf_become": "false",
        "mlperf_components": {
            "imagenet": {"path": "/data/imagenet"},
            "resnet50": {"version": "1"},
            "s": {"path": "/s"},
        },
        "mlperf_benchmarks": [{"benchmark": "resnet50"}],
    }
    planned: JsonObject = {
        "requirements": "",
        "components": ["imagenet"],
        "tuning": {"governor": "performance", "x": 1},
    }
    with_plan = make_question("h1", ACCESS, variables, planned)
    assert not with_plan.needs_environment
    assert not with_plan.needs_sudo
    assert [(one.name, one.used) for one in with_plan.files] == [("imagenet", True), ("s", False)]
    assert with_plan.knobs == ("governor",)
    assert all(one.keeps_host_out for one in with_plan.files)
    smoke = make_question("h1", ACCESS, variables, {**planned, "tolerant": True})
    assert [(one.used, one.keeps_host_out) for one in smoke.files] == [(True, False), (False, False)]
    without = make_question("h1", ACCESS, variables, None)
    assert without.needs_environment
    assert all(one.used for one in without.files)


def test_sudo_is_needed_unless_the_inventory_says_otherwise() -> None:
    assert make_question("h1", ACCESS, {}, None).needs_sudo
    assert not make_question("h1", ACCESS, {"mlperf_become": False}, None).needs_sudo


def test_an_access_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ResultError, match="unknown key 'addres'"):
        make_question("h1", {"connection": "ssh", "addres": "x"}, {}, None)


def test_a_password_is_neither_shown_nor_part_of_a_digest() -> None:
    access = Access("ssh", "10.0.0.1", password="s3cret")  # noqa: S106  # nobody's
    assert "s3cret" not in repr(access)
    given = record.digest({**ACCESS, "password": "s3cret"}, {}, None)
    assert given == record.digest(ACCESS, {}, None)


def test_other_inputs_are_another_digest() -> None:
    digests = {
        record.digest(ACCESS, {}, None),
        record.digest({**ACCESS, "user": "ops"}, {}, None),
        record.digest({**ACCESS, "key_file": "/k"}, {}, None),
        record.digest(ACCESS, {"mlperf_home": "/srv"}, None),
        record.digest(ACCESS, {}, {"requirements": "lock"}),
    }
    assert len(digests) == 5


def kept(state: str, *findings: JsonObject) -> JsonObject:
    return {"name": "h1", "state": state, "address": "10.0.0.1", "findings": list(findings), "seconds": 1.0}


def test_a_host_that_passed_is_not_asked_again_and_a_blocked_one_always_is(tmp_path: Path) -> None:
    block: JsonObject = {"severity": "blocks", "message": "it is off", "remedy": "switch it on"}
    for state, passed in (("ready", True), ("warned", True), ("blocked", False)):
        merged = record.merged({}, [kept(state, block)], {"h1": "d1"}, ["h1"])
        write_json(tmp_path / record.FILE, merged)
        held = record.read(tmp_path)
        assert record.passed(held, "h1", "d1") is passed
        assert not record.passed(held, "h1", "d2")
    assert record.blocked(tmp_path) == {"h1": "it is off (switch it on)"}


def test_hosts_that_were_not_asked_stay_and_those_that_are_gone_go() -> None:
    held: dict[str, JsonObject] = {"h0": {"state": "ready"}, "gone": {"state": "ready"}}
    merged = record.merged(held, [kept("ready")], {"h1": "d"}, ["h0", "h1"])
    assert isinstance(merged["hosts"], dict)
    assert set(merged["hosts"]) == {"h0", "h1"}
    assert "seconds" not in json.dumps(merged)


def test_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / record.FILE).write_text("{")
    assert record.read(tmp_path) == {}
    assert record.blocked(tmp_path) == {}


def test_this_machine_is_examined_without_a_change(tmp_path: Path) -> None:
    variables: dict[str, Any] = {"mlperf_home": str(tmp_path / "a" / "home"), "mlperf_become": False}
    question = make_question("here", {"connection": "local", "address": "here"}, variables, None)
    (answer,) = examine([question])
    assert [finding.line for finding in answer.findings if finding.severity == "blocks"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_python_of_this_machine_that_hangs_is_cut_at_the_limit(tmp_path: Path) -> None:
    shim = tmp_path / "python3"
    shim.write_text("#!/bin/sh\nexec sleep 30\n")
    shim.chmod(0o755)
    access: JsonObject = {"connection": "local", "address": "here", "python": str(shim)}
    (answer,) = examine([make_question("here", access, {}, None)], timeout_seconds=1)
    assert answer.findings[0].message == "the command that examines it does not end"
    assert answer.seconds < 3


def test_a_connection_that_is_not_ssh_is_left_alone_and_said_so() -> None:
    question = make_question("box", {"connection": "community.docker.docker", "address": "box"}, {}, None)
    (answer,) = examine([question])
    assert answer.findings[0].severity == "note"
    assert "community.docker.docker" in answer.findings[0].message


def test_the_probe_needs_nothing_but_python_and_hides_credentials_of_an_index(tmp_path: Path) -> None:
    question = make_question(
        "here",
        {"connection": "local", "address": "here"},
        {"mlperf_home": str(tmp_path), "mlperf_benchmarks": [{}]},
        None,
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; exec(sys.stdin.read())"],
        input=script(question),
        env={
            "PIP_INDEX_URL": "http://somebody:hunter2@127.0.0.1:9/simple",
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert set(first) == {"time"}
    assert second["index"]["state"] == "silent"
    assert second["index"]["url"] == "http://127.0.0.1:9/simple"
    assert "hunter2" not in done.stdout
    assert not [name for name, part in second.items() if isinstance(part, dict) and "error" in part]
