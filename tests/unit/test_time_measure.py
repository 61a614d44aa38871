"""Offsets out of what the tools of the time daemons really print."""

from __future__ import annotations

import pytest

from tests.support.plugins import plugin

time_measure = plugin("module_utils.time_measure")
# chronyc 4.3 on lab hosts; the same moment without -c: "System time     : 0.000003656 seconds slow of NTP time".
TRACKING = (
    "0A4D010B,10.77.1.11,11,1795384372.230646301,0.000003654,-0.000001756,0.000001756,-0.236,-0.000,61.001,"
    "0.000030999,0.000218011,2.0,Normal\n"
)
NOT_YET = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,"
    "Not synchronised\n"
)
LOCAL = (
    "7F7F0101,,10,1795384365.022165346,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,0.000000000,"
    "0.0,Normal\n"
)
SOURCES = (
    "^,*,10.77.1.11,10,4,17,2,-0.000001782,-0.000003538,0.000015733\n"
    "^,?,10.77.9.9,0,6,0,4294967295,0.000000000,0.000000000,0.000000000\n"
)
TIMESYNC = """\
       Server: 162.159.200.123 (2.debian.pool.ntp.org)
Poll interval: 34min 8s (min: 32s; max 34min 8s)
         Leap: normal
      Version: 4
      Stratum: 3
    Reference: A0A0A0A0
    Precision: 1us (-25)
Root distance: 12.382ms (max: 5s)
       Offset: -1.234ms
        Delay: 4.101ms
       Jitter: 701us
 Packet count: 42
    Frequency: +12.345ppm
"""
NTPQ = """\
associd=0 status=0615 leap_none, sync_ntp, 1 event, clock_sync,
version="ntpd ntpsec-1.2.2", processor="x86_64", system="Linux/6.1.0",
leap=00, stratum=2, precision=-24, rootdelay=10.5, rootdisp=2.25,
refid=162.159.200.1, reftime=ec9d0000.00000000,
clock=ec9d0001.00000000, peer=1, tc=6, mintc=0, offset=-0.75,
frequency=1.5, sys_jitter=0.1
"""


def test_chrony_that_follows_a_server() -> None:
    found = time_measure.parse_tracking(TRACKING)
    assert (found.synchronised, found.source, found.stratum) == (True, "10.77.1.11", 11)
    assert found.offset_ms == -0.003654  # chronyc counts a slow clock as positive
    assert found.error_ms == 0.23351  # half the delay and the dispersion
    assert time_measure.judge(found, 400) == ""


def test_chrony_that_has_no_source_yet() -> None:
    found = time_measure.parse_tracking(NOT_YET)
    assert (found.synchronised, found.offset_ms) == (False, None)
    assert time_measure.judge(found, 400) == ("the clock is not synchronised: chronyd has not chosen a source yet")


def test_chrony_that_serves_its_own_clock() -> None:
    found = time_measure.parse_tracking(LOCAL)
    assert (found.synchronised, found.source, found.stratum, found.offset_ms) == (True, "its own clock", 10, 0.0)


def test_the_sources_of_chrony() -> None:
    first, second = time_measure.parse_sources(SOURCES)
    assert (first["name"], first["selected"], first["stratum"], first["answers"]) == ("10.77.1.11", True, 10, 4)
    assert (second["selected"], second["answers"]) == (False, 0)


@pytest.mark.parametrize("text", ["", "a,b,c\n", TRACKING.replace(",11,", ",eleven,")])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|invalid literal"):
        time_measure.parse_tracking(text)


def test_systemd_timesyncd() -> None:
    found = time_measure.parse_timesync_status(TIMESYNC)
    assert (found.synchronised, found.source, found.stratum) == (True, "162.159.200.123", 3)
    assert (found.offset_ms, found.error_ms) == (1.234, 12.382)


@pytest.mark.parametrize(("text", "offset"), [("+1min 2.5s", -62_500.0), ("-701us", 0.701), ("+0", None)])
def test_time_spans_of_systemd(text: str, offset: float | None) -> None:
    found = time_measure.parse_timesync_status(TIMESYNC.replace("-1.234ms", text))
    assert found.offset_ms == offset


def test_ntpd() -> None:
    found = time_measure.parse_ntpq(NTPQ)
    assert (found.synchronised, found.source, found.stratum) == (True, "162.159.200.1", 2)
    assert (found.offset_ms, found.error_ms) == (0.75, 7.5)
    assert not time_measure.parse_ntpq(NTPQ.replace("leap_none", "leap_alarm")).synchronised


def test_a_clock_that_is_off_is_one_sentence() -> None:
    ahead = time_measure.parse_timesync_status(TIMESYNC.replace("-1.234ms", "-450ms"))
    assert time_measure.judge(ahead, 400) == "the clock is 450 ms ahead, more than 400 ms"
    behind = time_measure.parse_timesync_status(TIMESYNC.replace("-1.234ms", "+2s"))
    assert time_measure.judge(behind, 400) == "the clock is 2000 ms behind, more than 400 ms"
