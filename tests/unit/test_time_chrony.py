"""chrony's configuration as the inventory asks for it; what is not asked for is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.plugins import plugin

time_chrony, time_record = plugin("module_utils.time_chrony"), plugin("module_utils.time_record")
HostError = plugin("module_utils.host_store").HostError
DEBIAN_CONF = "# Include configuration files found in /etc/chrony/conf.d.\nconfdir /etc/chrony/conf.d\npool x iburst\n"


def wanted(servers: tuple[str, ...] = (), allow: tuple[str, ...] = (), stratum: int = 0, options: str = "") -> Any:  # noqa: ANN401
    return time_chrony.Wanted(servers, allow, stratum, options)


def family(folder: Path, conf: str) -> Any:  # noqa: ANN401
    (folder / "chrony.conf").write_text(conf.replace("/etc/chrony/", f"{folder}/"))
    (folder / "default").write_text('# Options to pass to chrony.\nDAEMON_OPTS="-F 1"\n')
    return time_chrony.Family(
        "chrony.service", f"{folder}/chrony.conf", f"{folder}/conf.d", f"{folder}/default", "DAEMON_OPTS"
    )


def texts(folder: Path, conf: str, asked: Any) -> dict[str, str | None]:  # noqa: ANN401
    made = time_chrony.Chrony(family(folder, conf), asked).texts()
    return {path.name: text for path, text in made.items()}


def test_nothing_asked_for_is_nothing_written(tmp_path: Path) -> None:
    assert set(texts(tmp_path, DEBIAN_CONF, wanted()).values()) == {None}


def test_servers_are_preferred_to_those_of_the_distribution(tmp_path: Path) -> None:
    chrony = time_chrony.Chrony(family(tmp_path, DEBIAN_CONF), wanted(("10.77.1.14", "ntp.lab iburst")))
    assert (chrony.texts()[chrony.drop_in] or "").splitlines()[1:] == [
        "server 10.77.1.14 iburst minpoll 4 maxpoll 6 prefer",
        "server ntp.lab iburst",
    ]
    assert "chrony.conf" not in {path.name for path in chrony.texts()}


def test_a_host_that_serves_time(tmp_path: Path) -> None:
    chrony = time_chrony.Chrony(family(tmp_path, DEBIAN_CONF), wanted((), ("10.77.0.0/16",), 10))
    assert (chrony.texts()[chrony.drop_in] or "").splitlines()[1:] == ["allow 10.77.0.0/16", "local stratum 10"]


def test_a_configuration_that_reads_no_drop_ins_is_told_to(tmp_path: Path) -> None:
    made = texts(tmp_path, "pool x iburst\n", wanted(("a",)))
    text = made["chrony.conf"] or ""
    assert text.startswith("pool x iburst\n\n# Written by the role time_sync")
    assert text.endswith(f"include {tmp_path}/conf.d/*.conf\n")
    (tmp_path / "chrony.conf").write_text(text)
    assert "chrony.conf" not in texts(tmp_path, text, wanted(("a",)))


def test_options_are_added_to_those_of_the_distribution(tmp_path: Path) -> None:
    chrony = time_chrony.Chrony(family(tmp_path, DEBIAN_CONF), wanted(options="-x"))
    made = chrony.texts()
    assert (made[chrony.environment] or "").endswith('DAEMON_OPTS="-F 1 -x"\n')
    assert "ConditionCapability=\n" in (made[chrony.unit_drop_in] or "")
    other = time_chrony.Chrony(chrony.family, wanted(options="-4"))
    assert "ConditionCapability" not in (other.texts()[other.unit_drop_in] or "")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (wanted(("a\nallow",)), "time_sync_servers: 'a\nallow' is no name or address"),
        (wanted((), ("-all",)), "time_sync_allow: '-all' is no name or address"),
        (wanted(stratum=16), "time_sync_local_stratum is 16; expected 0 for none, or 1 to 15"),
    ],
)
def test_what_would_break_the_configuration_is_refused(asked: Any, sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(HostError) as told:
        time_chrony.check(asked)
    assert str(told.value).startswith(sentence)


def test_the_record_of_before_survives_and_a_damaged_one_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ops" / "time_sync.json"
    record = time_record.Record(path)
    assert not record.exists
    record.files, record.service = {"/etc/x": None, "/etc/y": "old"}, {"enabled": True, "active": False}
    record.save()
    again = time_record.Record(path)
    assert (again.files, again.service, again.exists) == (record.files, record.service, True)
    again.remove()
    assert not path.parent.exists()
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(HostError, match="cannot be read"):
        time_record.Record(path)
    assert path.read_text() == "{"


def test_a_file_that_is_not_wanted_any_more_goes_back_to_what_it_was(tmp_path: Path) -> None:
    chrony = time_chrony.Chrony(family(tmp_path, DEBIAN_CONF), wanted())
    record = time_record.Record(tmp_path / "record.json")
    chrony.drop_in.parent.mkdir()
    chrony.drop_in.write_text("ours")
    record.files[str(chrony.drop_in)] = "the user's own"
    changes = chrony.file_changes(record)
    assert changes == {chrony.drop_in: ("ours", "the user's own")}
    time_record.write(changes)
    assert chrony.drop_in.read_text() == "the user's own"
