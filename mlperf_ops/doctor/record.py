"""preflight.json of a run: which hosts were examined with which inputs, and what was found.

A host that passed is not asked again until what it was asked changes; a host that was blocked is asked every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from mlperf_ops.errors import ResultError
from mlperf_ops.files import Json, JsonObject, read_json, sha256_json

FILE = "preflight.json"
_SCHEMA = 1
# Part of every digest: raise it when a check is added, so that hosts are asked about it once.
_VERSION = 2


def digest(access: JsonObject, variables: Mapping[str, Json], planned: JsonObject | None) -> str:
    """Return the digest of what a host is asked; its password is no part of it."""
    public = {name: value for name, value in access.items() if name != "password"}
    return sha256_json({"version": _VERSION, "access": public, "variables": dict(variables), "plan": planned})


def read(run: Path) -> dict[str, JsonObject]:
    """Return the hosts of preflight.json; none when there is no file, or nothing that can be used."""
    try:
        found = read_json(run / FILE)
    except ResultError:
        return {}
    hosts = found.get("hosts")
    if found.get("schema") != _SCHEMA or not isinstance(hosts, dict):
        return {}
    return {name: one for name, one in hosts.items() if isinstance(one, dict)}


def passed(held: Mapping[str, JsonObject], name: str, inputs_sha256: str) -> bool:
    """Tell whether a host need not be asked again."""
    one = held.get(name, {})
    return one.get("inputs_sha256") == inputs_sha256 and one.get("state") in {"ready", "warned"}


def merged(
    held: Mapping[str, JsonObject], answers: Sequence[JsonObject], digests: Mapping[str, str], known: Sequence[str]
) -> JsonObject:
    """Return the new file.

    Args:
        held: What `read` returned.
        answers: Hosts as `mlperf-ops doctor --json` lists them.
        digests: Host to the digest of what it was asked.
        known: All hosts of the inventory; what was found about others is dropped.
    """
    hosts = {name: one for name, one in held.items() if name in known}
    for answer in answers:
        name = str(answer["name"])
        kept: JsonObject = {key: answer[key] for key in ("state", "address", "findings")}
        hosts[name] = {**kept, "inputs_sha256": digests[name]}
    return {"schema": _SCHEMA, "hosts": cast("Json", hosts)}


def blocked(run: Path) -> dict[str, str]:
    """Return the hosts that the last preflight left out, each with the reasons and remedies in one line."""
    return {name: reasons(one) for name, one in read(run).items() if one.get("state") == "blocked"}


def reasons(answer: JsonObject) -> str:
    """Return the sentences of what blocks a host."""
    findings = answer.get("findings")
    told = [one for one in findings if isinstance(one, dict)] if isinstance(findings, list) else []
    lines = [
        f"{one['message']} ({one['remedy']})" if one.get("remedy") else str(one["message"])
        for one in told
        if one.get("severity") == "blocks"
    ]
    return "; ".join(lines)
