"""One module per CLI verb."""

from __future__ import annotations
