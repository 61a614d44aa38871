"""The unofficial sources, each against a stand-in at its own boundary."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.harness.energy import programs
from mlperf_ops.harness.energy.model import SourceError, SourceKind, SourceSettings
from mlperf_ops.harness.energy.rapl import Rapl
from mlperf_ops.harness.energy.redfish import Redfish
from tests.support.energy import ACCOUNT, DCMI, RANGE_UJ, make_powercap, program, running_bmc, zone

PASSWORD_FILE: dict[str, Any] = {"password_file": "/etc/bmc.pass"}


def settings(kind: SourceKind, **more: Any) -> SourceSettings:  # noqa: ANN401  # its fields
    return SourceSettings(kind, kind, **more)


def write_uj(root: Path, folder: str, value: int) -> None:
    (root / folder / "energy_uj").write_text(f"{value}\n")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder before all others in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


# --- RAPL -------------------------------------------------------------------------------------------------------------


def test_rapl_reads_packages_memory_and_psys_and_nothing_twice(tmp_path: Path) -> None:
    source = Rapl(settings("rapl", powercap=str(make_powercap(tmp_path / "powercap", packages=2))))
    domains = [one.domain for one in source.read()]
    assert domains == ["package-0", "package-0/dram", "package-1", "package-1/dram", "psys"]
    assert source.parts == {"psys"}


def test_rapl_goes_on_counting_where_the_counter_wraps(tmp_path: Path) -> None:
    root = tmp_path / "powercap"
    zone(root, "intel-rapl:0", "package-0", RANGE_UJ - 3_000_000)
    source = Rapl(settings("rapl", powercap=str(root)))
    seen = [source.read()[0].joules]
    for value in (RANGE_UJ - 1_000_000, 4_000_000, 4_500_000):
        write_uj(root, "intel-rapl:0", value)
        seen.append(source.read()[0].joules)
    assert seen == pytest.approx([0, 2, 7, 7.5])


def test_rapl_without_zones_says_so_for_good(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no RAPL zone") as caught:
        Rapl(settings("rapl", powercap=str(tmp_path / "none"))).read()
    assert caught.value.final


def test_rapl_without_the_right_to_read_says_which_file_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_powercap(tmp_path / "powercap")
    counter = root / "intel-rapl:0" / "energy_uj"
    counter.chmod(0)
    if os.geteuid() == 0:  # root reads any file: the refusal comes from where the kernel would give it
        real = Path.read_text

        def refused(path: Path) -> str:
            if path == counter:
                raise PermissionError(13, "Permission denied")
            return real(path)

        monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(SourceError, match="energy_uj is readable by root only") as caught:
        Rapl(settings("rapl", powercap=str(root))).read()
    assert caught.value.final


# --- programs ---------------------------------------------------------------------------------------------------------


def test_ipmitool_is_asked_for_the_hosts_own_bmc_with_a_simulated_ipmitool(tools: Path) -> None:
    program(tools, "ipmitool", f"cat <<'X'\n{DCMI.format(watts=412, state='activated')}X")
    reading = programs.dcmi(settings("dcmi")).read()[0]
    assert (reading.domain, reading.watts, reading.joules) == ("system", 412.0, None)
    assert abs(reading.time - time.time()) < 60
    assert (tools / "ipmitool.argv").read_text() == "dcmi power reading\n"


def test_the_password_of_a_bmc_over_the_network_stays_in_its_file_with_a_simulated_ipmitool(tools: Path) -> None:
    program(tools, "ipmitool", f"cat <<'X'\n{DCMI.format(watts=1, state='activated')}X")
    programs.dcmi(settings("dcmi", address="bmc1", user="monitor", **PASSWORD_FILE)).read()
    assert (tools / "ipmitool.argv").read_text() == (
        "-I lanplus -H bmc1 -U monitor -f /etc/bmc.pass dcmi power reading\n"
    )


def test_a_port_is_told_to_ipmitool_apart_with_a_simulated_ipmitool(tools: Path) -> None:
    program(tools, "ipmitool", f"cat <<'X'\n{DCMI.format(watts=1, state='activated')}X")
    for address in ("bmc1:6230", "fe80::1"):
        programs.dcmi(settings("dcmi", address=address)).read()
    assert (tools / "ipmitool.argv").read_text().splitlines() == [
        "-I lanplus -H bmc1 -p 6230 dcmi power reading",
        "-I lanplus -H fe80::1 dcmi power reading",
    ]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo Could not open device at /dev/ipmi0 >&2; exit 1", "exit code 1: Could not open device at /dev/ipmi0"),
        (f"cat <<'X'\n{DCMI.format(watts=0, state='deactivated')}X", "the BMC's power reading is deactivated"),
        ("echo DCMI request failed", "ipmitool shows no power reading: DCMI request failed"),
        ("exit 1", "exit code 1: it said nothing"),
    ],
)
def test_a_bmc_without_power_is_one_sentence_with_a_simulated_ipmitool(tools: Path, script: str, sentence: str) -> None:
    program(tools, "ipmitool", script)
    with pytest.raises(SourceError) as caught:
        programs.dcmi(settings("dcmi")).read()
    assert sentence in str(caught.value)


def test_a_program_that_is_not_there_is_not_asked_again(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(SourceError, match="cannot start ipmitool: No such file") as caught:
        programs.dcmi(settings("dcmi")).read()
    assert caught.value.final


@pytest.mark.parametrize("script", ["sleep 60", "exec >&- 2>&-; sleep 60"])
def test_a_program_that_hangs_is_ended_with_what_it_has_started(tools: Path, script: str) -> None:
    program(tools, "slow", f"{script} & echo $! > {tools}/pid; wait")
    source = programs.command(settings("command", argv=("slow",), timeout_seconds=0.3))
    began = time.monotonic()
    with pytest.raises(SourceError):
        source.read()
    assert time.monotonic() - began < 20
    stat = Path(f"/proc/{(tools / 'pid').read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not stat.exists() or " Z " in stat.read_text()


def test_snmpget_gives_each_object_and_is_told_no_community_with_a_simulated_snmpget(tools: Path) -> None:
    program(tools, "snmpget", 'echo "conf $SNMPCONFPATH" >> "$0.env"; echo 41; echo \'"42.5"\'')
    oids = ("1.3.6.1.4.1.318.1.1.26.4.3.1.5.1", "1.3.6.1.4.1.318.1.1.26.4.3.1.5.2")
    source = programs.snmp(settings("snmp", address="pdu1", oids=oids, conf_dir="/etc/pdu", scale=10.0))
    assert [(one.domain, one.watts) for one in source.read()] == [(oids[0], 410.0), (oids[1], 425.0)]
    assert (tools / "snmpget.argv").read_text() == f"-m  -Oqv -r 1 -t 1.67 pdu1 {' '.join(oids)}\n"
    assert (tools / "snmpget.env").read_text() == "conf /etc/pdu\n"


def test_an_object_that_a_pdu_lacks_is_said_with_a_simulated_snmpget(tools: Path) -> None:
    program(tools, "snmpget", "echo No Such Instance currently exists at this OID")
    with pytest.raises(SourceError, match="printed no number: No Such Instance"):
        programs.snmp(settings("snmp", address="pdu1", oids=("1.3.6",))).read()


def test_a_command_may_print_a_counter_of_energy(tools: Path) -> None:
    program(tools, "meter", "echo 1.5; echo 2")
    source = programs.command(settings("command", argv=("meter", "--all"), measures="joules", scale=3600.0))
    assert [(one.domain, one.joules, one.watts) for one in source.read()] == [
        ("value0", 5400.0, None),
        ("value1", 7200.0, None),
    ]
    assert source.child_cpu_seconds() > 0


def test_one_nvidia_smi_gives_all_readings_in_utc_with_a_simulated_nvidia_smi(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    lines = "2026/01/31 18:20:02.123, 0, 71.40\\n2026/01/31 18:20:02.124, 1, [N/A]\\n"
    program(tools, "nvidia-smi", f'echo "$TZ" > "$0.tz"\nprintf "{lines}"; exec sleep 60')
    source = programs.NvidiaSmi(settings("nvml", sample_seconds=0.5))
    reading = source.read()[0]
    assert (reading.time, reading.domain, reading.watts) == (1769883602.123, "gpu0", 71.4)
    with pytest.raises(SourceError, match="GPU 1 states no power"):
        source.read()
    assert (tools / "nvidia-smi.tz").read_text() == "UTC\n"
    assert (tools / "nvidia-smi.argv").read_text().endswith("--loop-ms=500\n")
    source.stop()
    assert source.read() == []
    source.close()


def test_a_driver_that_is_not_loaded_is_said_with_a_simulated_nvidia_smi(tools: Path) -> None:
    program(tools, "nvidia-smi", "echo NVIDIA-SMI has failed: no driver; exit 9")
    source = programs.NvidiaSmi(settings("nvml"))
    with pytest.raises(SourceError, match="nvidia-smi says: NVIDIA-SMI has failed"):
        source.read()
    with pytest.raises(SourceError, match="exit code 9"):
        source.read()
    source.close()


# --- Redfish ----------------------------------------------------------------------------------------------------------


def netrc(folder: Path, host: str = "localhost", password: str = ACCOUNT[1]) -> str:
    path = folder / "netrc"
    path.write_text(f"machine {host} login {ACCOUNT[0]} password {password}\n")
    path.chmod(0o600)
    return str(path)


def test_redfish_adds_up_what_is_not_inside_of_something_else(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        bmc.chassis("Enclosure", power=900)
        bmc.chassis("Baseboard", inside="Enclosure", environment=640.5, power=1)
        bmc.chassis("Fans")
        source = Redfish(settings("redfish", url=bmc.url, netrc=netrc(tmp_path), ca_file=str(tmp_path / "bmc.pem")))
        assert [(one.domain, one.watts) for one in source.read()] == [("Enclosure", 900.0), ("Baseboard", 640.5)]
        assert source.parts == {"Baseboard"}
        asked = len(bmc.asked)
        bmc.answers["/redfish/v1/Chassis/Enclosure/Power"]["PowerControl"][0]["PowerConsumedWatts"] = 901
        assert source.read()[0].watts == 901.0
        assert len(bmc.asked) == asked + 2  # no search again
        source.close()


def test_redfish_reads_the_chassis_that_are_named(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        bmc.account = None
        bmc.chassis("node1", power=100)
        bmc.chassis("node2", power=200)
        source = Redfish(settings("redfish", url=bmc.url, verify_tls=False, chassis=("node2",)))
        assert [(one.domain, one.watts) for one in source.read()] == [("node2", 200.0)]
        source.close()
        other = Redfish(settings("redfish", url=bmc.url, verify_tls=False, chassis=("node3",)))
        with pytest.raises(SourceError, match="chassis 'node3' is not there or states no power"):
            other.read()
        other.close()


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("refused", "the account is refused (401 Unauthorized)"),
        ("untrusted", "the certificate is not trusted"),
        ("open file", "is readable by others: chmod 600"),
        ("other host", "has no entry for machine localhost"),
        ("no file", "cannot read"),
        ("nothing", "no chassis states its power"),
    ],
)
def test_why_redfish_has_no_reading_is_said_without_the_account(tmp_path: Path, case: str, sentence: str) -> None:
    with running_bmc(tmp_path) as bmc:
        if case == "nothing":
            bmc.chassis("1")
        else:
            bmc.chassis("1", power=5)
        file = netrc(
            tmp_path, "bmc9" if case == "other host" else "localhost", "x" if case == "refused" else ACCOUNT[1]
        )
        if case == "open file":
            Path(file).chmod(0o644)
        if case == "no file":
            Path(file).unlink()
        trusted = None if case == "untrusted" else str(tmp_path / "bmc.pem")
        source = Redfish(settings("redfish", url=bmc.url, netrc=file, ca_file=trusted))
        with pytest.raises(SourceError) as caught:
            source.read()
        source.close()
    assert sentence in str(caught.value)
    assert caught.value.final
    assert not any(word in str(caught.value) for word in ACCOUNT)


def test_redfish_opens_a_connection_again_that_the_bmc_has_closed(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as bmc:
        bmc.chassis("1", power=5)
        source = Redfish(settings("redfish", url=bmc.url, netrc=netrc(tmp_path), ca_file=str(tmp_path / "bmc.pem")))
        source.read()
        source.stop()  # as if the other end had gone
        assert source.read()[0].watts == 5.0
        source.close()
    with pytest.raises(SourceError, match="no answer"):
        source.read()
    source.close()
