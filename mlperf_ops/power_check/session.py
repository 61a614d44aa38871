"""What client and server recorded of their session: software, names, messages, digests."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping

from mlperf_ops.catalogue.power_rules import PowerRules
from mlperf_ops.files import Json, JsonObject
from mlperf_ops.power_check.files import FILES
from mlperf_ops.power_check.model import PowerFinding, objects, texts

_CLIENT, _SERVER = "power/client.json", "power/server.json"
# client.json and server.json cannot hold their own digests.
_DIGESTED = tuple(name for name in FILES if name not in (_CLIENT, _SERVER))
_HELLO = {"cmd": re.compile(r"mlcommons/power client v(\d+)$"), "reply": re.compile(r"mlcommons/power server v(\d+)$")}
_SHOWN = 3


def sources(client: JsonObject, server: JsonObject, rules: PowerRules) -> Iterator[PowerFinding]:
    """Compare the digests of the measuring software with the accepted sets."""
    for name, session in ((_CLIENT, client), (_SERVER, server)):
        found = session.get("sources")
        if found not in rules.sources:
            theirs = texts(found)
            best = min(rules.sources, key=lambda known: len(set(known.items()) ^ set(theirs.items())))
            odd = sorted({key for key, _ in set(best.items()) ^ set(theirs.items())}) or ["the list"]
            yield PowerFinding(
                "sources",
                "official",
                name,
                f"the software that measured is not the accepted one: {', '.join(odd[:_SHOWN])}",
                value=", ".join(f"{key}={theirs.get(key, 'missing')[:12]}" for key in odd[:_SHOWN]),
                limit=", ".join(f"{key}={best.get(key, 'absent')[:12]}" for key in odd[:_SHOWN]),
            )


def identity(client: JsonObject, server: JsonObject) -> Iterator[PowerFinding]:
    """Compare the names that both gave the session."""
    ours, theirs = texts(client.get("uuid")), texts(server.get("uuid"))
    for side in ("client", "server"):
        if _uuid(ours.get(side)) is None or _uuid(ours.get(side)) != _uuid(theirs.get(side)):
            yield PowerFinding(
                "identity",
                "official",
                _SERVER,
                f"client and server do not name the same {side} uuid",
                value=str(theirs.get(side)),
                limit=str(ours.get(side)),
            )
    if client.get("session_name") != server.get("session_name"):
        yield PowerFinding(
            "identity",
            "official",
            _SERVER,
            "client and server do not name the same session",
            value=str(server.get("session_name")),
            limit=str(client.get("session_name")),
        )


def _uuid(text: str | None) -> uuid.UUID | None:
    try:
        return None if text is None else uuid.UUID(text)
    except ValueError:
        return None


def messages(client: JsonObject, server: JsonObject) -> Iterator[PowerFinding]:
    """Compare what client and server recorded of their conversation."""
    ours, theirs = objects(client.get("messages")), objects(server.get("messages"))
    if len(ours) != len(theirs) or not ours:
        yield PowerFinding(
            "messages",
            "official",
            _SERVER,
            "client and server recorded different numbers of messages",
            value=str(len(theirs)),
            limit=str(len(ours)),
        )
        return
    for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        command = one.get("cmd")
        if command != other.get("cmd") or (command != "time" and one.get("reply") != other.get("reply")):
            yield PowerFinding(
                "messages",
                "official",
                _SERVER,
                f"message {index} differs: client and server did not record the same conversation",
                value=f"{other.get('cmd')} -> {other.get('reply')}",
                limit=f"{command} -> {one.get('reply')}",
            )
            return
    hello = {key: pattern.search(str(theirs[0].get(key))) for key, pattern in _HELLO.items()}
    client_version, server_version = (match[1] if match else None for match in hello.values())
    if client_version is None or client_version != server_version:
        yield PowerFinding(
            "messages",
            "official",
            _SERVER,
            "client and server do not speak the same version of the protocol",
            value=f"server v{server_version}",
            limit=f"client v{client_version}",
        )


def digests(client: JsonObject, server: JsonObject, found: Mapping[str, str]) -> Iterator[PowerFinding]:
    """Compare the digests that client and server recorded with each other and with the files."""
    ours, theirs = _recorded(client.get("results")), _recorded(server.get("results"))
    recorded = ours | theirs
    for name in _DIGESTED:
        if name in ours and name in theirs and ours[name] != theirs[name]:
            yield PowerFinding(
                "digests", "official", _SERVER, f"client and server recorded different digests of {name}",
                value=theirs[name], limit=ours[name],
            )  # fmt: skip
        elif name not in recorded:
            yield PowerFinding("digests", "official", _SERVER, f"no digest of {name} was recorded", limit=name)
        elif name in found and found[name] != recorded[name]:
            yield PowerFinding(
                "digests",
                "official",
                name,
                f"{name} was changed after the measurement, or is of another one",
                value=found[name],
                limit=recorded[name],
            )


def _recorded(value: Json) -> dict[str, str]:
    return {name: digest for name, digest in texts(value).items() if name in _DIGESTED}


def simulated(marked: tuple[tuple[str, str], ...]) -> Iterator[PowerFinding]:
    """Say once that a stand-in for the meter took part, wherever it left its mark."""
    if marked:
        files = ", ".join(name for name, _ in marked)
        file, line = next((one for one in marked if one[0] == _SERVER), marked[0])
        yield PowerFinding(
            "simulated",
            "rules",
            file,
            f"the readings were made by a stand-in for the meter, as {files} say{'s' if len(marked) == 1 else ''}",
            value=line,
        )
