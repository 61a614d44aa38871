"""Leases: at run time, what only one cell of a lab may use at a time is held by one cell (docs/adr/0012-leases.md)."""
