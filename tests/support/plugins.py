"""Import the collection's plugins out of the checkout, as Ansible does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

_COLLECTIONS = str(Path(__file__).resolve().parents[2] / "collections")


def plugin(name: str) -> Any:  # noqa: ANN401  # a module that mypy knows under another name
    """Return a module below plugins/, such as "module_utils.host_store"."""
    if _COLLECTIONS not in sys.path:
        sys.path.insert(0, _COLLECTIONS)
    return importlib.import_module(f"ansible_collections.mlperf_ops.lab.plugins.{name}")
