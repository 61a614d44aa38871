"""The book of leases, on the host that owns the shared things: who holds each, and who waits behind whom.

One file for everything that runs there: it is sent to the host's own Python (3.8 or newer, standard library only). The
first half is pure: a book is a JSON object, time and the life of processes are arguments. The second half keeps books
as files, each behind a flock, and is the only part that touches anything.

A claim speaks for one cell. Until its cell may have been started (`stage` "held"), silence ends it; from then on
("running") only its own word, somebody's evidence that the cell has ended, or a person does: a cell outlives its
controller, and two users of an analyzer spoil both measurements. Times are the owner's own, since its boot.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the aliases exist for type checkers alone: Python 3.8 cannot make them
    from collections.abc import Callable, Iterator

    Book = dict[str, Any]
    Claim = dict[str, Any]
    Dead = Callable[[Claim], bool]

SCHEMA = 1
SILENT_SECONDS = 60.0  # without a word, a claim is silent: three missed heartbeats
FOLDER = "/var/tmp/mlperf-ops-leases"  # noqa: S108  # of the machine, not of a user or a home: all users share its things
_FINE_SECONDS = 5.0  # between two notes of having heard of somebody
_LOG_BYTES_MAX = 1 << 20
_EVERYBODY_FOLDER, _EVERYBODY_FILE = 0o777, 0o666


class LeaseError(Exception):
    """The request cannot be done; one sentence."""


class Now:
    """The owner's own time: which boot, and seconds since it, sleep included."""

    def __init__(self, boot_id: str, seconds: float) -> None:
        """Keep both."""
        self.boot_id, self.seconds = boot_id, seconds


# --- pure ------------------------------------------------------------------------------------------------------------


def new_book(thing: str) -> Book:
    """Return the book of a thing that nobody has asked for."""
    return {"schema": SCHEMA, "thing": thing, "next_ticket": 1, "holder": None, "queue": []}


def silent_seconds(claim: Claim, now: Now) -> float:
    """Return how long ago a claim was last heard of; after a reboot of the owner it counts anew."""
    beat = claim["beat"]
    return float(now.seconds - beat["seconds"]) if beat["boot_id"] == now.boot_id else 0.0


def _is_silent(claim: Claim, now: Now, dead: Dead) -> bool:
    return dead(claim) or silent_seconds(claim, now) > SILENT_SECONDS


def _heard(claim: Claim, now: Now) -> None:
    beat = claim.get("beat")
    if beat and beat["boot_id"] == now.boot_id and 0 <= now.seconds - beat["seconds"] < _FINE_SECONDS:
        return  # a book that does not change is not written: a queue of many asks often
    claim["beat"] = {"boot_id": now.boot_id, "seconds": now.seconds}


def tidy(book: Book, now: Now, dead: Dead) -> list[Claim]:
    """Drop who is dead or silent, let the first of the queue have what is free, and return what happened."""
    events: list[Claim] = []
    holder = book["holder"]
    for claim in [*book["queue"], *([holder] if holder else [])]:
        if claim["beat"]["boot_id"] != now.boot_id:
            _heard(claim, now)
    for claim in list(book["queue"]):
        if dead(claim) or silent_seconds(claim, now) > SILENT_SECONDS:
            book["queue"].remove(claim)
            events.append({"event": "left", "why": "its controller is gone", **claim})
    if holder and holder["stage"] == "held" and (dead(holder) or silent_seconds(holder, now) > SILENT_SECONDS):
        events.append({"event": "expired", "why": "its controller is gone, and no cell was started", **holder})
        book["holder"] = None
    if book["holder"] is None and book["queue"]:
        first = book["queue"].pop(0)
        first["since_seconds"], first["stage"] = now.seconds, "held"
        book["holder"] = first
        events.append({"event": "granted", **first})
    return events


def ask(book: Book, claim: Claim, now: Now) -> None:
    """Queue a claim, or hear of one that is queued or holds; one that was dropped meanwhile has its old place again."""
    mine = _find(book, claim["id"])
    if mine is None:
        mine = {**claim, "stage": "waiting"}
        if not mine.get("ticket"):
            mine["ticket"] = book["next_ticket"]
            book["next_ticket"] += 1
        book["queue"].append(mine)
        book["queue"].sort(key=lambda one: one["ticket"])
    _heard(mine, now)


def confirm(book: Book, claim_id: str, now: Now) -> bool:
    """Say that the holder's cell starts now, or runs; False: it holds no more."""
    holder = book["holder"]
    if not holder or holder["id"] != claim_id:
        return False
    holder["stage"] = "running"
    _heard(holder, now)
    return True


def adopt(book: Book, claim: Claim, now: Now) -> Claim | None:
    """Let a controller speak for a cell that runs already: the claim of that cell, None where another holds."""
    holder = book["holder"]
    if holder is None:
        ticket = book["next_ticket"]
        book["next_ticket"] += 1
        holder = book["holder"] = {**claim, "ticket": ticket, "since_seconds": now.seconds}
    elif any(holder[key] != claim[key] for key in ("where", "home", "cell")):
        return None
    holder["stage"] = "running"
    _heard(holder, now)
    return dict(holder)


def free(book: Book, claim_id: str, *, silent_only: bool, now: Now, dead: Dead = lambda _: False) -> Claim | None:
    """Take a claim out of the book; `silent_only`: on somebody else's evidence, never over the holder's own word."""
    holder = book["holder"]
    if holder and holder["id"] == claim_id:
        if silent_only and not _is_silent(holder, now, dead):
            return None
        book["holder"] = None
        return dict(holder)
    for claim in list(book["queue"]):
        if claim["id"] == claim_id and not silent_only:
            book["queue"].remove(claim)
            return dict(claim)
    return None


def _find(book: Book, claim_id: str) -> Claim | None:
    claims: list[Claim] = [*book["queue"], *([book["holder"]] if book["holder"] else [])]
    return next((one for one in claims if one["id"] == claim_id), None)


def view(book: Book, now: Now, claim_id: str = "", dead: Dead = lambda _: False) -> dict[str, Any]:
    """Return what a controller or a person is told: the holder, the queue, and where a claim of theirs stands."""
    holder = book["holder"]
    shown = [{**one, "silent_seconds": round(silent_seconds(one, now), 1)} for one in book["queue"]]
    mine = _find(book, claim_id) if claim_id else None
    told = None
    if holder:
        silent = silent_seconds(holder, now)
        told = {**holder, "silent_seconds": round(silent, 1), "silent": _is_silent(holder, now, dead)}
        told["held_seconds"] = round(max(now.seconds - holder.get("since_seconds", now.seconds), 0.0), 1)
    return {
        "thing": book["thing"],
        "holder": told,
        "queue": shown,
        "held": bool(holder and claim_id and holder["id"] == claim_id),
        "ticket": mine["ticket"] if mine else None,
        "before": [one for one in shown if mine and one["ticket"] < mine["ticket"]],
    }


# --- files -----------------------------------------------------------------------------------------------------------


def boot_id() -> str:
    """Return the identity of the running boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pid_space() -> str:
    """Return which processes a pid can mean here: containers on one kernel share its boot id, not their pids."""
    return os.readlink("/proc/self/ns/pid")


def start_ticks(pid: int) -> int | None:
    """Return the start of a live process in ticks since boot; None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def this_process() -> dict[str, Any]:
    """Return what names the calling process once and for all, on its own machine."""
    pid = os.getpid()
    return {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id(), "pid_space": pid_space()}


def is_dead(claim: Claim) -> bool:
    """Whether a claim's controller has surely ended, which shows only for processes of this very machine."""
    process = claim["process"]
    here = process["boot_id"] == boot_id() and process["pid_space"] == pid_space()
    return bool(here and start_ticks(process["pid"]) != process["start_ticks"])


def _now() -> Now:
    return Now(boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


@contextlib.contextmanager
def _locked(folder: Path, thing: str) -> Iterator[None]:
    """Hold a thing's lock file, which is never removed: who waits for a removed one would lock nothing."""
    if folder.is_symlink():
        raise LeaseError(f"{folder} is a symbolic link; leases need a folder of their own")
    old = os.umask(0)
    try:
        folder.mkdir(mode=_EVERYBODY_FOLDER, parents=True, exist_ok=True)
        handle = os.open(str(folder / (thing + ".lock")), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _EVERYBODY_FILE)
    finally:
        os.umask(old)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(folder: Path, thing: str) -> Book:
    path = folder / (thing + ".json")
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return new_book(thing)
    except ValueError:
        raise LeaseError(f"{path} is damaged; 'mlperf-ops lease break {thing}' starts it anew") from None
    if not isinstance(book, dict) or book.get("schema") != SCHEMA:
        raise LeaseError(f"{path} is of another version of mlperf-ops; use one version on all controllers")
    return book


def _write(folder: Path, book: Book) -> None:
    """Replace a book: whole or not at all, also when the process or the machine dies meanwhile."""
    path = folder / (book["thing"] + ".json")
    fresh = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()  # of a writer that died, maybe of another user
    handle = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _EVERYBODY_FILE)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), _EVERYBODY_FILE)
        json.dump(book, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _log(folder: Path, thing: str, events: list[Claim]) -> None:
    """Append what happened, for people; the oldest megabyte but one goes."""
    path = folder / (thing + ".log")
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, _EVERYBODY_FILE)
    with os.fdopen(handle, "a", encoding="utf-8") as stream:
        with contextlib.suppress(PermissionError):
            os.fchmod(stream.fileno(), _EVERYBODY_FILE)
        stream.writelines(json.dumps({"at": at, **one}) + "\n" for one in events)


def perform(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Do one request: its `verb` with `thing`, and `claim` or `id`; the answer is `view`, with `done` and `removed`.

    Raises:
        LeaseError: The book cannot be read or the verb is unknown.
    """
    verb, thing = request["verb"], request["thing"]
    claim = request.get("claim") or {}
    claim_id = str(request.get("id") or claim.get("id") or "")
    with _locked(folder, thing):
        now = _now()
        try:
            book = _read(folder, thing)
        except LeaseError:
            if verb != "break":
                raise
            book = new_book(thing)
        before = json.dumps(book)
        events, done, removed = tidy(book, now, is_dead), True, None
        if verb == "ask":
            claim = {**claim, "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}
            ask(book, claim, now)
        elif verb == "confirm":
            done = confirm(book, claim_id, now)
        elif verb == "adopt":
            claim = {**claim, "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}
            adopted = adopt(book, claim, now)
            done, claim_id = adopted is not None, adopted["id"] if adopted else claim_id
        elif verb in {"free", "settle", "break"}:
            removed = free(book, claim_id, silent_only=verb == "settle", now=now, dead=is_dead)
            done = removed is not None
            if removed:
                words = {"free": "given back", "settle": "its cell has ended", "break": "broken"}
                events.append({"event": words[verb], **removed})
        elif verb != "view":
            raise LeaseError(f"unknown verb '{verb}'")
        events += tidy(book, now, is_dead)
        if json.dumps(book) != before or verb == "break":
            _write(folder, book)
        if events:
            _log(folder, thing, events)
        return {**view(book, now, claim_id, is_dead), "done": done, "removed": removed, "id": claim_id}


def things(folder: Path) -> list[str]:
    """Return the things that anybody ever asked for."""
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def answer(folder: Path, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Do requests one after another; a verb "list" stands for a view of every thing. A problem is a sentence."""
    told: list[dict[str, Any]] = []
    try:
        for one in requests:
            if one["verb"] == "list":
                told += [perform(folder, {"verb": "view", "thing": thing}) for thing in things(folder)]
            else:
                told.append(perform(folder, one))
    except LeaseError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{error.filename or folder}: {error.strerror}"}
    return {"answers": told}


if __name__ == "__main__":
    print(json.dumps(answer(Path(sys.argv[1]), json.loads(sys.argv[2]))))  # noqa: T201  # stdout is the answer
