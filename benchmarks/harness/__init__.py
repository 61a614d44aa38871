"""The harness against a bare ONNX Runtime loop and, where checkouts are given, against its forerunners."""

from __future__ import annotations
