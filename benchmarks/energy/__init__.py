"""What reading unofficial energy costs the host that measures."""

from __future__ import annotations
