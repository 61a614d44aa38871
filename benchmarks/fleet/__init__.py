"""A campaign on hosts of one machine, against the slowest host's own cells."""

from __future__ import annotations
