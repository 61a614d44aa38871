"""Unofficial sources with the real tools: net-snmp against its own agent, ipmitool against the BMC of pyghmi.

Skipped where they are not installed. `MLPERF_OPS_PYGHMI_PYTHON` names a Python that has pyghmi.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlperf_ops.harness.energy import programs
from mlperf_ops.harness.energy.model import SourceError, SourceSettings

pytestmark = pytest.mark.integration

_PYGHMI = os.environ.get("MLPERF_OPS_PYGHMI_PYTHON", "")
_OID = "1.3.6.1.4.1.318.1.1.26.4.3.1.5"  # power of a phase of APC's PDUs
_BMC = """
import sys
from pyghmi.ipmi import bmc

class Dcmi(bmc.Bmc):
    def handle_raw_request(self, request, session):
        if (request["netfn"], request["command"]) == (0x2C, 2):  # Get Power Reading: 213 W now, state active
            session.send_ipmi_response(data=[0xDC, 213, 0, 10, 0, 250, 0, 200, 0, *[0] * 4, 0xE8, 3, 0, 0, 0x40])
        else:
            super().handle_raw_request(request, session)

served = Dcmi({"monitor": "pass-of-bmc"}, port=int(sys.argv[1]))
print("bound", flush=True)
served.listen()
"""


def free_port() -> int:
    """Return a UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def running(says: str, *argv: str | Path) -> Iterator[None]:
    """Run a program beside the block, which begins when a line of its output says that it can be asked."""
    process = subprocess.Popen(
        list(map(str, argv)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if says in line:
                break
        assert says in "".join(lines[-1:]), f"{argv[0]} ended: {''.join(lines)}"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(
    not (shutil.which("snmpd") and shutil.which("snmpget")), reason="net-snmp is not installed (snmp, snmpd)"
)
def test_a_real_snmpget_reads_a_real_agent_with_the_community_of_its_file(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "snmpd.conf").write_text(
        f"rocommunity of-the-pdu 127.0.0.1\noverride .{_OID}.1 integer 41\noverride .{_OID}.2 unsigned 57\n"
    )
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "snmp.conf").write_text("defVersion 2c\ndefCommunity of-the-pdu\n")
    conf_dir = str(tmp_path / "client")
    both = SourceSettings(
        "snmp", "pdu", address=address, oids=(f"{_OID}.1", f"{_OID}.2"), scale=10.0, conf_dir=conf_dir
    )
    agent = ("snmpd", "-f", "-Lo", "-C", "-c", tmp_path / "snmpd.conf", "-p", tmp_path / "pid", f"udp:{address}")
    with running("NET-SNMP version", *agent):
        assert [one.watts for one in programs.snmp(both).read()] == [410.0, 570.0]
        other = SourceSettings("snmp", "pdu", address=address, oids=("1.3.6.1.4.1.318.9",), conf_dir=conf_dir)
        with pytest.raises(SourceError, match="No Such Object"):
            programs.snmp(other).read()
    with pytest.raises(SourceError, match="Timeout: No Response from"):
        programs.snmp(both).read()


@pytest.mark.skipif(
    not (_PYGHMI and shutil.which("ipmitool")), reason="needs ipmitool and MLPERF_OPS_PYGHMI_PYTHON (pyghmi)"
)
def test_a_real_ipmitool_reads_a_bmc_with_the_password_of_its_file(tmp_path: Path) -> None:
    port, password = free_port(), tmp_path / "pass"
    password.write_text("pass-of-bmc")
    password.chmod(0o600)
    (tmp_path / "bmc.py").write_text(_BMC)
    settings = SourceSettings(
        "dcmi", "bmc", address=f"127.0.0.1:{port}", user="monitor", password_file=str(password), timeout_seconds=20.0
    )
    with running("bound", _PYGHMI, tmp_path / "bmc.py", str(port)):
        assert [(one.domain, one.watts) for one in programs.dcmi(settings).read()] == [("system", 213.0)]
