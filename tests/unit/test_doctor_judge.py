"""What the doctor makes of a host's words: one finding for each thing that is wrong, none for what is right."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from mlperf_ops.doctor.examine import THIS_MACHINE, with_twins
from mlperf_ops.doctor.judge import ENVIRONMENT_BYTES, OLDEST_FOR_CELLS, judge
from mlperf_ops.doctor.knobs import KNOBS
from mlperf_ops.doctor.model import Access, Answer, Check, Finding, OwnFiles, Question, Reply
from mlperf_ops.doctor.show import _ORDER
from mlperf_ops.doctor.wording import lines, summary
from mlperf_ops.tuning import Tuning
from tests.support.plugins import plugin

GIB = 1 << 30
HOME: dict[str, Any] = {
    "path": "/srv/mlperf",
    "there": "/srv",
    "is_folder": True,
    "writable": True,
    "read_only": False,
    "no_exec": False,
    "free_bytes": 20 * GIB,
    "environment": False,
}
WELL: dict[str, Any] = {
    "python": {"version": "3.11.2", "path": "/usr/bin/python3"},
    "machine": "x86_64",
    "user": {"name": "ops", "uid": 1000},
    "sudo": {"state": "works", "said": ""},
    "home": HOME,
    "cells_python": {"path": "/usr/bin/python3", "version": "3.11.2"},
    "files": [],
    "knobs": {},
    "programs": {},
    "index": {"url": "https://index/simple", "state": "answers", "said": "", "via": False},
    "busy": {},
    "reboot": None,
}


def question(**changes: Any) -> Question:  # noqa: ANN401  # any field
    base: dict[str, Any] = {
        "name": "h1",
        "access": Access("ssh", "10.0.0.1"),
        "home": "/srv/mlperf",
        "needs_sudo": True,
        "needs_environment": True,
    }
    return Question(**(base | changes))


def findings(
    facts: dict[str, Any] | None = None,
    *,
    asked: Question | None = None,
    offset: float | None = None,
    error: float = 0.0,
) -> tuple[Finding, ...]:
    return judge(asked or question(), Reply(WELL | (facts or {}), offset, error))


def only(*args: Any, **keywords: Any) -> Finding:  # noqa: ANN401
    (finding,) = findings(*args, **keywords)
    return finding


def test_a_host_that_is_well_has_no_findings() -> None:
    assert findings() == ()


def test_sudo_with_a_password_blocks_and_the_remedy_names_the_user() -> None:
    finding = only({"sudo": {"state": "refused", "said": "sudo: a password is required"}})
    assert (finding.check, finding.severity) == ("sudo", "blocks")
    assert finding.message == "ops cannot use sudo without a password"
    assert "'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops" in finding.remedy


def test_a_sudo_that_hangs_is_told_as_what_it_is() -> None:
    assert only({"sudo": {"state": "silent", "said": ""}}).message == "sudo does not answer"


def test_sudo_is_nobodys_business_where_nothing_becomes_root_or_a_password_is_given() -> None:
    refused = {"sudo": {"state": "refused", "said": ""}}
    assert findings(refused, asked=question(needs_sudo=False)) == ()
    assert findings(refused, asked=question(access=Access("ssh", "a", has_become_password=True))) == ()


def test_another_way_to_become_root_is_not_tried_and_said_so() -> None:
    finding = only(asked=question(access=Access("ssh", "a", become_method="doas")))
    assert (finding.severity, finding.message) == ("note", "whether ansible_become_method doas works was not tried")


@pytest.mark.parametrize(("version", "blocked"), [("3.7.9", True), ("3.8.0", False), ("3.14.1", False), ("2.7", True)])
def test_modules_need_python_3_8(version: str, blocked: bool) -> None:  # noqa: FBT001
    found = findings({"python": {"version": version}})
    assert [finding.check for finding in found] == (["python"] if blocked else [])


def test_cells_need_python_3_10_and_the_ones_that_are_there_are_named() -> None:
    finding = only({"cells_python": {"path": "", "seen": ["/usr/bin/python3 3.9.2"]}})
    assert finding.severity == "blocks"
    assert "found: /usr/bin/python3 3.9.2" in finding.message
    assert findings({"cells_python": {"path": "", "seen": []}}, asked=question(needs_environment=False)) == ()


def test_the_limits_are_those_of_the_role_that_provisions() -> None:
    host_python = plugin("module_utils.host_python")
    assert ENVIRONMENT_BYTES == host_python.NEEDED_BYTES
    assert OLDEST_FOR_CELLS == host_python.OLDEST


def test_a_disk_without_room_says_how_much_is_there_and_how_much_is_needed() -> None:
    finding = only({"home": HOME | {"free_bytes": 100 << 20}})
    assert finding.message == "mlperf_home /srv/mlperf has 100 MiB free, 600 MiB are needed"
    assert findings({"home": HOME | {"free_bytes": 100 << 20, "environment": True}}) == ()
    assert only({"home": HOME | {"free_bytes": 10 << 20, "environment": True}}).check == "disk"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_folder": False}, "/srv is not a folder"),
        ({"read_only": True}, "read-only file system"),
        ({"no_exec": True}, "mounted noexec"),
    ],
)
def test_a_home_that_cannot_be_used(change: dict[str, bool], words: str) -> None:
    finding = only({"home": HOME | change})
    assert (finding.check, finding.severity) == ("home", "blocks")
    assert words in finding.message


def test_a_home_without_permission_blocks_unless_provisioning_makes_it_as_root() -> None:
    locked = {"home": HOME | {"writable": False}}
    assert findings(locked) == ()
    assert only(locked, asked=question(needs_sudo=False)).message.endswith("no permission on /srv")
    there = {"home": HOME | {"writable": False, "there": "/srv/mlperf"}}
    assert only(there).severity == "blocks"


@pytest.mark.parametrize(
    ("offset", "error", "words"),
    [
        (5.0, 0.1, "5.0 s ahead of"),
        (-86400.0, 0.2, "86400.0 s behind"),
        (0.9, 0.1, ""),
        (1.2, 0.5, ""),
        (None, 0.0, ""),
    ],
)
def test_a_clock_is_wrong_only_beyond_what_the_round_trip_could_explain(
    offset: float | None, error: float, words: str
) -> None:
    found = findings(offset=offset, error=error)
    assert [finding.severity for finding in found] == (["warns"] if words else [])
    assert all(words in finding.message for finding in found)


def test_an_index_that_cannot_be_reached_blocks_until_a_mirror_or_the_environment_is_there() -> None:
    silent = {"index": {"url": "https://index/simple", "state": "silent", "said": "no route to host", "via": True}}
    finding = only(silent)
    assert finding.severity == "blocks"
    assert (
        finding.message == "it cannot reach the package index https://index/simple through its proxy: no route to host"
    )
    assert "set mlperf_mirror" in finding.remedy
    assert "mlperf_mirror https" in only(silent, asked=question(mirror="https://index")).message
    assert findings({"index": None}) == ()


def test_files_of_the_user_block_only_where_a_cell_uses_them() -> None:
    told = {
        "files": [
            {"name": "imagenet", "path": "/data/imagenet/val_map.txt", "state": "missing"},
            {"name": "resnet50", "path": "/data/resnet50.onnx", "state": "unreadable"},
            {"name": "squad", "path": "/data/squad", "state": "ok"},
        ]
    }
    asked = question(
        files=(
            OwnFiles("imagenet", "/data/imagenet", "val_map.txt"),
            OwnFiles("resnet50", "/data/resnet50.onnx", used=False),
        )
    )
    first, second = findings(told, asked=asked)
    assert (first.severity, second.severity) == ("blocks", "warns")
    key = "mlperf_components.imagenet.label_file"
    assert first.line == f"{key} is not there: /data/imagenet/val_map.txt (put it there or correct {key})"
    unread = "mlperf_components.resnet50.path cannot be read by ops: /data/resnet50.onnx; no planned cell uses it"
    assert second.message == unread
    smoke = question(files=(OwnFiles("imagenet", "/data/imagenet", "val_map.txt", keeps_host_out=False),))
    (warned,) = findings({"files": told["files"][:1]}, asked=smoke)
    assert warned.severity == "warns"
    assert warned.message == f"{key} is not there: /data/imagenet/val_map.txt; its cells cannot run"


def test_another_architecture_blocks_where_loadgen_has_to_run() -> None:
    assert only({"machine": "aarch64"}).message == "it is aarch64, and LoadGen is published for x86_64 only"
    assert findings({"machine": "aarch64"}, asked=question(needs_environment=False)) == ()


def test_settings_that_tuning_will_skip_share_a_sentence_for_each_reason() -> None:
    asked = question(knobs=("turbo", "governor", "gpu_persistence", "thp_enabled"))
    told = {
        "knobs": {"governor": ["missing"], "turbo": ["missing", "missing", "missing"], "thp_enabled": ["read-only"]},
        "programs": {"nvidia-smi": False, "rocm-smi": False, "amd-smi": False},
    }
    found = findings(told, asked=asked)
    assert {finding.severity for finding in found} == {"note"}
    assert [finding.message for finding in found] == [
        "turbo, the CPU frequency governor will not be set: this kernel or machine has none",
        "GPU persistence will not be set: there is no nvidia-smi or rocm-smi or amd-smi",
        "transparent huge pages will not be set: the kernel has it read-only",
    ]


def test_knobs_are_named_as_tuning_names_them() -> None:
    assert set(KNOBS) <= set(Tuning.model_fields)


def test_two_controllers_on_one_host_and_a_cell_that_runs() -> None:
    blocked, noted = findings({"busy": {"provision": "x", "cell": "h1/resnet50/Offline/performance (pid 7)"}})
    assert blocked.line == "another play is provisioning it (wait until it has ended)"
    assert (blocked.severity, noted.severity) == ("blocks", "note")
    assert "h1/resnet50/Offline/performance (pid 7)" in noted.message


def test_a_cell_of_another_run_blocks_and_one_of_the_same_run_does_not() -> None:
    busy = {"busy": {"cell": "h1/resnet50/Offline/performance (pid 7)", "run_id": "lab"}}
    [blocked] = findings(busy, asked=question(run_id="mine"))
    assert blocked.severity == "blocks"
    assert blocked.line == (
        "run 'lab' measures on it: h1/resnet50/Offline/performance (pid 7) (wait until run 'lab' has ended)"
    )
    assert [one.severity for one in findings(busy, asked=question(run_id="lab"))] == ["note"]
    assert [one.severity for one in findings(busy)] == ["note"]


def test_a_reboot_that_is_asked_for_is_a_warning() -> None:
    finding = only({"reboot": ["linux-image-amd64"]})
    assert finding.message == "it wants to be rebooted after an update (linux-image-amd64)"
    assert finding.severity == "warns"


def test_a_part_that_the_host_could_not_tell_hides_nothing_else() -> None:
    broken = {name: {"error": "PermissionError: no"} for name in WELL if name != "python"}
    assert findings({**broken, "reboot": ["x"], "files": {"error": "x"}})[0].check == "reboot"


def test_every_check_has_a_place_in_the_table() -> None:
    assert set(_ORDER) == set(get_args(Check))


def answer(name: str, *found: Finding) -> Answer:
    return Answer(name, name, 0.1, "reboot", found)


def test_equal_findings_of_many_hosts_are_one_line_and_what_blocks_comes_first() -> None:
    note = [Finding(name, "tuning", "note", "no governor", "") for name in ("a", "b")]
    block = Finding("c", "port", "blocks", "c does not answer", "switch it on")
    told = lines([answer("a", note[0]), answer("b", note[1]), answer("c", block)])
    assert told == [
        ("c  blocks  port: c does not answer (switch it on)", "blocks"),
        ("a, b  note  tuning: no governor", "note"),
    ]


def test_the_last_line_names_who_is_blocked() -> None:
    block = Finding("c", "port", "blocks", "c does not answer", "")
    assert summary([answer("a"), answer("b")], 0.81) == "2 hosts ready (0.8 s)"
    assert summary([answer("a"), answer("c", block)], 15) == "1 of 2 hosts ready (15.0 s); blocked: c"


def test_two_names_of_one_address_are_warned_of_and_others_are_not() -> None:
    one, other, third = with_twins(
        [Answer(name, f"ops@10.0.0.{last}", 0.1, "reboot") for name, last in (("sut1", 1), ("sut2", 1), ("sut3", 3))]
    )
    assert [finding.severity for finding in one.findings + other.findings] == ["warns", "warns"]
    assert one.findings[0].message == "it is the same machine as sut2: ops@10.0.0.1"
    assert not third.findings


def test_two_names_of_this_machine_are_nobodys_mistake() -> None:
    assert not any(one.findings for one in with_twins([Answer(name, THIS_MACHINE, 0.1, "reboot") for name in "ab"]))
