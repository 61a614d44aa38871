"""What a run costs the controller, beside `ansible -m ping`, on real hosts of one machine."""

from __future__ import annotations
