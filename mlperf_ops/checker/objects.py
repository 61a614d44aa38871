"""JSON and YAML files of a tree that hold an object, whatever they hold instead."""

from __future__ import annotations

import json
from dataclasses import dataclass

import yaml

from mlperf_ops.checker.tree import Tree
from mlperf_ops.files import JsonObject

_JSON = ".json"


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object of the tree; `value` is None when it is missing or broken, `problem` says why it is broken."""

    location: str
    exists: bool
    value: JsonObject | None
    problem: str | None


def read_object(tree: Tree, location: str) -> ObjectFile:
    """Read an object of JSON, or of YAML where the file's name has another ending."""
    if tree.size(location) is None:
        return ObjectFile(location, exists=False, value=None, problem=None)
    is_json = location.endswith(_JSON)
    try:
        text = tree.read(location).decode()
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        value = json.loads(text) if is_json else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = f"it is not {'JSON' if is_json else 'YAML'}: {' '.join(str(error).split())}"
        return ObjectFile(location, exists=True, value=None, problem=problem)
    except RecursionError:
        return ObjectFile(location, exists=True, value=None, problem="it is nested too deeply")
    if not isinstance(value, dict):
        return ObjectFile(location, exists=True, value=None, problem=f"it holds a {type(value).__name__}, no object")
    return ObjectFile(location, exists=True, value=value, problem=None)
