"""Measurements behind the numbers in the documents; run by hand, never as tests."""

from __future__ import annotations
