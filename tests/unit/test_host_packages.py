"""Packages, accounts, folders and limits of a host: what tools print is understood, what is asked of them is exact."""

from __future__ import annotations

import json
import os
import pwd
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlperf_ops.lab_vars import HostVars
from tests.support.playbooks import CHECKOUT
from tests.support.plugins import plugin

apt, rpm = plugin("module_utils.packages_apt"), plugin("module_utils.packages_rpm")
accounts, command = plugin("module_utils.packages_accounts"), plugin("module_utils.packages_command")
family, folders = plugin("module_utils.packages_family"), plugin("module_utils.packages_folders")
limits, record = plugin("module_utils.packages_limits"), plugin("module_utils.packages_record")
HostError = plugin("module_utils.host_store").HostError
action = plugin("action.host_packages")

VARS = CHECKOUT / "roles" / "host_packages" / "vars"
FAMILIES = ("Debian", "RedHat", "Suse")


def sets(name: str) -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = yaml.safe_load((VARS / f"{name}.yml").read_text())["_host_packages_sets"]
    return loaded


def all_families() -> dict[str, Any]:
    return {name: sets(name) for name in FAMILIES}


# Data of the families


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_the_same_sets_and_says_why(name: str) -> None:
    assert list(sets(name)) == ["base", "build", "containers", "power"]
    for entry in [entry for entries in sets(name).values() for entry in entries]:
        assert set(entry) <= {"name", "why", "only"}, entry
        assert entry["why"], entry
        assert family._NAME.match(entry["name"]), entry


@pytest.mark.parametrize(
    ("text", "base", "of_family", "release"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian", "Debian", "debian12"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "ubuntu", "Debian", "ubuntu24"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n', "ubuntu", "Debian", "ubuntu22"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "rhel", "RedHat", "rhel9"),
        ("ID=fedora\nVERSION_ID=42\n", "fedora", "RedHat", "fedora42"),
        ('ID="sles"\nID_LIKE="suse"\nVERSION_ID="15.6"\n', "sles", "Suse", "sles15"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n', "suse", "Suse", "suse15"),
        ("ID=arch\n", "", "", ""),
    ],
)
def test_a_distribution_is_known_by_os_release(text: str, base: str, of_family: str, release: str) -> None:
    found = family.Distribution(text)
    assert (found.base, found.family, found.release) == (base, of_family, release)


def test_names_that_differ_inside_a_family_are_chosen_by_the_distribution() -> None:
    def names(text: str) -> set[str]:
        return set(family.wanted(family.Distribution(text), all_families(), ["base", "power"], ["tmux"]))

    debian, ubuntu = names("ID=debian\nVERSION_ID=12\n"), names("ID=ubuntu\nVERSION_ID=24.04\n")
    assert debian ^ ubuntu == {"linux-cpupower", "linux-tools-generic"}
    assert "tmux" in debian
    assert "python3.11" in names('ID=rocky\nID_LIKE="rhel"\nVERSION_ID=9.4\n')
    assert "python3.11" not in names('ID=rocky\nID_LIKE="rhel"\nVERSION_ID=10.0\n')


def test_what_was_cut_off_while_it_was_unpacked_is_found_and_the_manager_is_quoted_whole() -> None:
    text = (
        "a\tamd64\tok\tinstalled\nb\tamd64\treinstreq\tunpacked\nc\tall\tok\thalf-installed\nd\tamd64\tok\tunpacked\n"
    )
    assert apt.parse_cut_off(text) == ["b:amd64", "c"]
    told = "dpkg: error processing package b (--configure):\n package is in a bad state; you should\n reinstall it\n"
    done = command.Done(1, "", told + "Errors were encountered while processing:\n b\n")
    assert command.last_error(done) == (
        "dpkg: error processing package b (--configure): package is in a bad state; you should reinstall it"
    )


def test_a_wrong_set_or_name_is_one_sentence() -> None:
    debian = family.Distribution("ID=debian\n")
    with pytest.raises(HostError, match=r"host_packages_sets names 'container'; .* \(did you mean 'containers'\?\)"):
        family.wanted(debian, all_families(), ["container"], [])
    with pytest.raises(HostError, match=r"names 'numactl=2\.0', which is no package name"):
        family.wanted(debian, all_families(), [], ["numactl=2.0"])
    with pytest.raises(HostError, match="'--reinstall'"):
        family.wanted(debian, all_families(), [], ["--reinstall"])
    with pytest.raises(HostError, match=r"nothing is known of the packages of distribution 'arch' .*sets: \[\]"):
        family.wanted(family.Distribution("ID=arch\n"), all_families(), ["base"], [])
    assert family.wanted(family.Distribution("ID=arch\n"), all_families(), [], []) == {}


def test_this_machine_is_not_changed_by_make_run() -> None:
    local = yaml.safe_load((CHECKOUT / "inventory" / "local" / "group_vars" / "all" / "mlperf.yml").read_text())
    assert local["mlperf_become"] is False
    assert HostVars.model_fields["become"].default is True


# Debian family


def test_dpkg_tells_what_is_installed_and_what_was_interrupted() -> None:
    text = (
        "numactl\tamd64\tok\tinstalled\n"
        "libnuma1\ti386\tok\tconfig-files\n"
        "libnuma1\tamd64\tok\tinstalled\n"
        "ethtool\tamd64\tok\thalf-configured\n"
        "pciutils\tamd64\treinstreq\thalf-installed\n"
        "kmod\tamd64\tok\tconfig-files\n"
        "podman\tamd64\tok\tnot-installed\n"
    )
    found = apt.parse_query(text)
    assert {name: state for name, state in found.items() if ":" not in name} == {
        "numactl": "installed",
        "libnuma1": "installed",
        "ethtool": "half-installed",
        "pciutils": "half-installed",
        "kmod": "config-files",
    }
    assert found["libnuma1:i386"] == "config-files"


def test_apt_is_asked_without_questions_recommendations_and_endless_waits() -> None:
    argv = apt.Apt(120, 90).command("install", "numactl")
    assert argv[:4] == ["apt-get", "install", "--quiet", "--yes"]
    assert argv[-2:] == ["--no-install-recommends", "numactl"]
    for option in (
        "DPkg::Lock::Timeout=120",
        "Acquire::http::Timeout=15",
        "Dpkg::Options::=--force-confold",
        "APT::Get::AutomaticRemove=false",
    ):
        assert argv[argv.index(option) - 1] == "-o"


def test_a_simulation_tells_new_upgraded_and_removed_packages() -> None:
    text = (
        "NOTE: This is only a simulation!\n"
        "Remv exim4 [4.96-15] [mailx:amd64 ]\n"
        "Inst libnuma1 (2.0.16-1 Debian:12.5/stable [amd64])\n"
        "Inst libc6 [2.36-9] (2.36-9+deb12u4 Debian-Security:12/stable-security [amd64]) []\n"
        "Inst numactl (2.0.16-1 Debian:12.5/stable [amd64])\n"
        "Conf libnuma1 (2.0.16-1 Debian:12.5/stable [amd64])\n"
    )
    assert apt.parse_simulation(text) == (("libnuma1", "numactl"), {"libc6": "2.36-9"}, ("exim4",))


def test_a_package_exists_when_there_is_a_candidate() -> None:
    text = (
        "numactl:\n  Installed: (none)\n  Candidate: 2.0.16-1\n  Version table:\n     2.0.16-1 500\n"
        "ghost:\n  Installed: (none)\n  Candidate: (none)\n"
    )
    assert apt.parse_policy(text) == {"numactl"}


def test_a_package_that_another_one_needs_is_not_removed() -> None:
    text = (
        "dpkg: dependency problems prevent removal of libnuma1:amd64:\n"
        " openmpi-bin depends on libnuma1 (>= 2.0.11); however:\n"
        "  Package libnuma1:amd64 is to be removed.\n\n"
        "dpkg: error processing package libnuma1:amd64 (--purge):\n dependency problems - not removing\n"
    )
    assert apt.parse_prevented(text) == {"libnuma1:amd64": "openmpi-bin"}


# RHEL and SUSE families: what the tools print, as their documentation and sources have it


def test_rpm_tells_what_is_installed() -> None:
    assert rpm.query(["numactl", "ethtool"]) == ["rpm", "--query", "--queryformat", "%{NAME}\\n", "numactl", "ethtool"]
    text = "numactl\npackage ethtool is not installed\n"
    assert rpm.parse_query(text, ["numactl", "ethtool"]) == {"numactl": "installed"}


def test_dnf_is_asked_for_no_weak_dependencies() -> None:
    assert rpm.Dnf(1, 1).command("install", "numactl") == [
        "dnf",
        "install",
        "--setopt=install_weak_deps=False",
        "--setopt=timeout=15",
        "--setopt=retries=2",
        "--setopt=keepcache=False",
        "numactl",
    ]


def test_what_dnf_4_would_do_is_read_from_its_table() -> None:
    text = """Last metadata expiration check: 0:01:00 ago on Mon 02 Nov 2026 10:00:00 AM UTC.
Dependencies resolved.
================================================================================
 Package             Architecture  Version                Repository       Size
================================================================================
Installing:
 numactl             x86_64        2.0.18-2.el9           baseos           71 k
Upgrading:
 numactl-libs        x86_64        2.0.18-2.el9           baseos           32 k
Installing dependencies:
 libfoo              x86_64        1.0-1.el9              appstream        10 k

Transaction Summary
================================================================================
Install  2 Packages
Upgrade  1 Package

Total download size: 113 k
Operation aborted.
"""
    assert rpm.parse_dnf(text) == (("numactl", "libfoo"), {"numactl-libs": "?"}, ())


def test_what_dnf_5_would_do_is_read_from_its_table() -> None:
    text = """Package        Arch   Version       Repository      Size
Upgrading:
 numactl-libs  x86_64 2.0.19-1.fc42 fedora      56.9 KiB
   replacing numactl-libs x86_64 2.0.18-1.fc42 anaconda 56.8 KiB
Installing:
 numactl       x86_64 2.0.19-1.fc42 fedora     167.4 KiB
Removing dependent packages:
 oldthing      x86_64 1.0-1.fc42    fedora      10.0 KiB

Transaction Summary:
 Installing:        1 package
"""
    assert rpm.parse_dnf(text) == (("numactl",), {"numactl-libs": "?"}, ("oldthing",))


def test_what_zypper_would_do_is_read_from_its_xml() -> None:
    text = """<?xml version='1.0'?>
<stream>
<install-summary download-size="100" space-usage-diff="200">
<to-upgrade>
<solvable type="package" name="libnuma1" edition="2.0.15-1" arch="x86_64" edition-old="2.0.14-4" arch-old="x86_64"/>
</to-upgrade>
<to-install>
<solvable type="package" name="numactl" edition="2.0.15-1" arch="x86_64" summary="NUMA Policy Control"/>
<solvable type="patch" name="SUSE-2026-1" edition="1" arch="noarch"/>
</to-install>
</install-summary>
</stream>
"""
    assert rpm.parse_zypper(text) == (("numactl",), {"libnuma1": "2.0.14-4"}, ())
    assert rpm.Zypper(1, 1).command("install", "numactl") == [
        "zypper",
        "--non-interactive",
        "--xmlout",
        "install",
        "--no-recommends",
        "numactl",
    ]


def test_rpm_tells_what_is_needed_by_others() -> None:
    text = (
        "error: Failed dependencies:\n"
        "\tlibnuma.so.1()(64bit) is needed by (installed) qemu-kvm-17:8.0-1.el9.x86_64\n"
        "\tnumactl >= 2.0 is needed by (installed) tuned-2.21-1.el9.noarch\n"
    )
    assert rpm.parse_needed(text) == [
        ("libnuma.so.1()(64bit)", "qemu-kvm-17:8.0-1.el9.x86_64"),
        ("numactl", "tuned-2.21-1.el9.noarch"),
    ]


# Errors


def test_the_last_error_is_the_managers_own() -> None:
    done = command.Done(
        100,
        "Setting up x\ndpkg: error processing archive /var/cache/x.deb (--unpack):\n cannot copy extracted data\n",
        "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
    )
    assert "cannot copy extracted data" in command.last_error(done)
    assert "Sub-process" not in command.last_error(done)
    unlocated = command.Done(100, "", "W: something\nE: Unable to locate package nosuch\n")
    assert command.last_error(unlocated) == "Unable to locate package nosuch"
    assert command.last_error(command.Done(3, "", "")) == "exit code 3"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    full = command.Done(100, "", "E: You don't have enough free space in /var/cache/apt/archives/.\n")
    assert command.disk_full(full, ["/nowhere", str(tmp_path)]).startswith(f"the disk is full: {tmp_path} has ")
    assert command.disk_full(command.Done(100, "", "E: Unable to locate package x\n"), ["/"]) == ""


def test_a_command_that_hangs_is_ended_with_all_that_it_started() -> None:
    with pytest.raises(TimeoutError, match=r"sh gave no answer within 0 s|sh gave no answer within 1 s"):
        command.run(["sh", "-c", "sleep 60 & wait"], 0.5)
    with pytest.raises(HostError, match="this host has no command no-such-command"):
        command.run(["no-such-command"])


def test_a_lock_of_another_package_manager_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()

    def once() -> Any:  # noqa: ANN401  # the module's own type
        done = command.run(["sh", "-c", f"test ! -e {lock} || {{ echo 'E: Could not get lock' >&2; exit 100; }}"])
        lock.unlink(missing_ok=True)
        return done

    assert command.run_locked(once, apt._LOCKED, 30).code == 0
    lock.touch()
    assert command.run_locked(once, apt._LOCKED, -1).code == 100


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Missing sudo password", "a password is needed for it"),
        ("sudo: a password is required", "a password is needed for it"),
        ("Incorrect sudo password", "the password that was given is wrong"),
        ("ops is not in the sudoers file.", "it is not allowed to"),
        ("/bin/sh: 1: sudo: not found", "the host has no such command"),
    ],
)
def test_what_sudo_says_becomes_a_reason(said: str, why: str) -> None:
    assert next(reason for pattern, reason, _ in action._NO_BECOME if pattern.search(said.lower())) == why


# Limits


def test_limits_are_written_in_the_units_of_each_file() -> None:
    values = {"memlock_bytes": resource.RLIM_INFINITY, "nofile": 65536, "stack_bytes": 8 << 20}
    assert limits.pam_text(["ops"], values).splitlines()[1:] == [
        "ops              -  memlock  unlimited",
        "ops              -  nofile   65536",
        "ops              -  stack    8192",
    ]
    assert limits.systemd_text(values).splitlines()[1:] == [
        "[Service]",
        "LimitMEMLOCK=infinity",
        "LimitNOFILE=65536",
        "LimitSTACK=8388608",
    ]


def test_the_kernels_own_table_is_read() -> None:
    found = limits.parse_proc_limits(Path("/proc/self/limits").read_text())
    assert found == {kind.option: resource.getrlimit(kind.number) for kind in limits.KINDS}


def test_what_is_granted_is_what_a_child_can_really_have() -> None:
    for kind in limits.KINDS:
        granted = limits.grantable(kind, resource.RLIM_INFINITY)
        assert limits._accepted(kind.number, granted), kind.option
    nofile = next(kind for kind in limits.KINDS if kind.option == "nofile")
    assert limits.grantable(nofile, 64) == 64
    assert limits.grantable(nofile, 1 << 62) <= limits._nr_open()


def test_a_limit_that_is_no_number_is_one_sentence() -> None:
    with pytest.raises(HostError, match=r"nofile of host_packages_limits is 'many' .*unlimited"):
        limits.Limits({"nofile": "many"}, {"root"})


def test_what_the_kernel_does_not_grant_is_said() -> None:
    nofile = str(1 << 62)
    wanted = limits.Limits({"nofile": nofile}, {"root"})
    assert [text.partition(", this kernel")[0] for text in wanted.clamped] == [f"nofile: {nofile} was asked"]
    assert limits.Limits({"nofile": "64"}, {"root"}).clamped == []


# Accounts


def test_a_user_is_made_with_exactly_what_was_asked() -> None:
    wanted = {"name": "mlbench", "uid": 4711, "home": "", "shell": "/bin/sh", "groups": ["video"]}
    assert accounts.Accounts([], wanted).useradd() == [
        "useradd",
        "--create-home",
        "--home-dir",
        "/home/mlbench",
        "--shell",
        "/bin/sh",
        "--user-group",
        "--groups",
        "video",
        "--uid",
        "4711",
        "mlbench",
    ]


def test_an_account_that_exists_is_not_moved() -> None:
    root: dict[str, Any] = {"name": "root", "uid": None, "home": "/elsewhere", "shell": "/bin/bash", "groups": []}
    with pytest.raises(HostError, match=r"'root' exists with home /root, host_packages_user.home says /elsewhere"):
        accounts.Accounts([], root).changes()
    taken = {"name": "mlbench", "uid": 0, "home": "", "shell": "/bin/bash", "groups": []}
    with pytest.raises(HostError, match="uid 0 of host_packages_user belongs to 'root'"):
        accounts.Accounts([], taken).changes()


def test_a_group_that_is_missing_is_named_with_the_nearest() -> None:
    wanted = {"name": "root", "uid": None, "home": "", "shell": pwd.getpwnam("root").pw_shell, "groups": ["daemom"]}
    with pytest.raises(HostError, match=r"no group 'daemom' \(did you mean 'daemon'\?"):
        accounts.Accounts([], wanted).changes()


def test_the_login_is_sudos_caller_only_when_ansible_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setenv("SUDO_USER", "daemon")
    monkeypatch.setenv("SUDO_COMMAND", "/usr/bin/make run")
    assert accounts.login().pw_name == me
    if os.geteuid() == 0:
        monkeypatch.setenv("SUDO_COMMAND", "/bin/sh -c echo BECOME-SUCCESS-abc ; /usr/bin/python3")
        assert accounts.login().pw_name == "daemon"


# Folders


def wanted(path: Path, mode: str = "", *, is_home: bool = False) -> Any:  # noqa: ANN401  # the module's own type
    me = pwd.getpwuid(os.geteuid())
    entry = {"path": str(path), "owner": "", "group": "", "mode": mode}
    return folders.Folder(entry, me, me.pw_name, is_home=is_home)


def test_a_folder_is_made_with_its_parents_and_taken_back(tmp_path: Path) -> None:
    log = record.Record(tmp_path / "record.json")
    folder = wanted(tmp_path / "a" / "b", "0750")
    (change,) = folder.changes(set())
    assert (change.before, change.after.split()[-1]) == ("absent", "0750")
    folder.apply(log, privileged=False)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o750
    assert wanted(tmp_path / "a" / "b", "0750").changes(set()) == []
    again = record.Record(tmp_path / "record.json")
    assert [change.what for change in folders.planned_revert(again)] == [
        f"folder {tmp_path / 'a' / 'b'}",
        f"folder {tmp_path / 'a'}",
    ]
    assert folders.revert(again) == []
    assert not (tmp_path / "a").exists()
    assert again.empty


def test_the_mode_of_a_folder_that_was_there_comes_back(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o700)
    log = record.Record(tmp_path / "record.json")
    wanted(there, "2775").apply(log, privileged=False)
    assert there.stat().st_mode & 0o7777 == 0o2775
    wanted(there, "0755").apply(log, privileged=False)
    assert folders.revert(record.Record(tmp_path / "record.json")) == []
    assert there.stat().st_mode & 0o7777 == 0o700


def test_results_are_never_taken_away(tmp_path: Path) -> None:
    home = tmp_path / "srv" / "mlperf"
    log = record.Record(home / "state" / "host_packages.json")
    wanted(home, is_home=True).apply(log, privileged=False)
    (home / "store").mkdir()
    (home / "runs" / "lab").mkdir(parents=True)
    log = record.Record(home / "state" / "host_packages.json")
    assert folders.planned_revert(log) == []
    assert folders.revert(log) == [f"folder {home}: it holds results in runs"]
    assert not log.empty, "a later revert still knows of it"
    (home / "runs" / "lab").rmdir()
    (home / "runs").rmdir()
    assert folders.revert(log) == []
    assert not (tmp_path / "srv").exists()


def test_only_mlperf_home_may_go_with_its_content(tmp_path: Path) -> None:
    log = record.Record(tmp_path / "record.json")
    wanted(tmp_path / "work").apply(log, privileged=False)
    (tmp_path / "work" / "store").mkdir()
    assert folders.revert(log) == [f"folder {tmp_path / 'work'}: it holds store"]
    home = tmp_path / "home"
    wanted(home, is_home=True).apply(log, privileged=False)
    (home / "state").mkdir()
    (home / "state" / "mine.json").write_text("{}")
    assert f"folder {home}: it holds state/mine.json" in folders.revert(log)


def test_a_file_in_the_way_and_a_wrong_mode_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="is not a folder"):
        wanted(tmp_path / "file").changes(set())
    with pytest.raises(HostError, match=r"mode '0999' of .* is no octal mode"):
        wanted(tmp_path, "0999")


# The record


def test_a_damaged_record_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "host_packages.json"
    path.write_text("{")
    with pytest.raises(HostError, match="says how to put this host back, cannot be read"):
        record.Record(path)
    parts: dict[str, Any] = {part: {} for part in record._PARTS}
    path.write_text(json.dumps({**parts, "schema": 2}))
    with pytest.raises(HostError, match="is of a newer mlperf-ops"):
        record.Record(path)


def test_the_modules_run_on_pythons_old_syntax() -> None:
    """Hosts may have Python 3.8: what newer ones only understand is found by compiling for it."""
    import ast  # noqa: PLC0415

    plugins = CHECKOUT / "plugins"
    paths = [*(plugins / "module_utils").glob("packages_*.py"), plugins / "modules" / "host_packages.py"]
    assert len(paths) > 5
    for path in paths:
        ast.parse(path.read_text(), feature_version=(3, 8))
    assert sys.version_info >= (3, 10)
