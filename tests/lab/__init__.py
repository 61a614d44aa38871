"""A real lab on one machine: hosts with their own root file system, address, systemd and sshd. See docs/lab.md."""

from __future__ import annotations

from tests.lab.host import Host
from tests.lab.lab import Lab

__all__ = ["Host", "Lab"]
