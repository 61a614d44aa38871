"""Command line of the lab: `python -m tests.lab --help`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence

from mlperf_ops.errors import BusyError, ConfigError, MlperfOpsError, ToolError
from mlperf_ops.files import Json, JsonObject
from tests.lab import base, egress, machine, records, sweep
from tests.lab.host import enter_argv
from tests.lab.lab import PUBLISHED, Lab

DEFAULT_ID = "lab"
_INTERRUPTED, _TERMINATED = 130, 143  # 128 and the signal, as a shell tells it
_FAULTS = {
    "kill": "take its power away at once; reboot starts it again",
    "cut": "pull its network cable",
    "heal": "plug the cable in again",
    "freeze": "let it hang",
    "thaw": "let it go on",
    "reboot": "reboot it, or start it again when it is off",
}


def say(text: str) -> None:
    """Tell a person something; stdout is for data."""
    print(f"lab: {text}", file=sys.stderr)  # noqa: T201  # a command line tool


def _answer(args: argparse.Namespace, data: JsonObject, text: str) -> int:
    print(json.dumps(data, indent=2) if args.json else text)  # noqa: T201  # a command line tool
    return 0


def _lab(args: argparse.Namespace) -> Lab:
    machine.need()
    return Lab.attach(_id(args))


def _id(args: argparse.Namespace) -> str:
    """Return which lab is meant: by --id, else `lab`, else the only one from the command line."""
    known = records.known_ids()
    if args.id is not None or DEFAULT_ID in known:
        return str(args.id or DEFAULT_ID)
    stay = [lab_id for lab_id, record in records.find_labs().items() if record.owner is None]
    return stay[0] if len(stay) == 1 else DEFAULT_ID


def _described(lab: Lab) -> JsonObject:
    views = {host.name: host.hardware or "" for host in records.read_hosts(lab.id)}
    hosts: list[Json] = [
        {"name": host.name, "address": host.address, "state": host.state(), "hardware": views[host.name]}
        for host in lab.hosts
    ]
    record = records.read_lab(lab.id)
    return {
        "id": lab.id,
        "folder": str(lab.folder),
        "inventory": str(lab.inventory),
        "uplink": record.uplink,
        "stays": record.owner is None,
        "hosts": hosts,
    }


def _as_text(told: JsonObject) -> str:
    hosts = told["hosts"]
    assert isinstance(hosts, list)
    lines = [f"lab {told['id']}: {len(hosts)} hosts, inventory {told['inventory']}"]
    for host in hosts:
        assert isinstance(host, dict)
        lines.append(f"  {host['name']:<12} {host['address']:<12} {host['state']:<8} {host['hardware']}".rstrip())
    return "\n".join(lines)


def _hardware(texts: Sequence[str]) -> str | dict[str, str] | None:
    """Read --hardware VIEW, or --hardware h1=VIEW --hardware h2=VIEW."""
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (_, sign, view) in zip(texts, pairs, strict=True) if not sign or not view]:
        raise ConfigError(f"'{wrong[0]}' names no host; expected one VIEW for all, or HOST=VIEW for each")
    return {host: view for host, _, view in pairs}


def _up(args: argparse.Namespace) -> int:
    if args.hosts < 0:
        raise ConfigError(f"--hosts {args.hosts}: expected 0 or more")
    if args.install and (packages := machine.install()):
        say(f"installed {', '.join(packages)}")
    wanted = args.names.split(",") if args.names else [f"h{i + 1}" for i in range(args.hosts)]
    lab_id = args.id or DEFAULT_ID
    if lab_id in records.known_ids() and (records.folder_of(lab_id) / "lab.json").exists():
        lab = Lab.attach(lab_id)
        told = _described(lab)
        if records.read_lab(lab_id).owner is None:
            if [host.name for host in lab.hosts] == wanted and all(host.state() == "up" for host in lab.hosts):
                say("it is up already")
                return _answer(args, told, _as_text(told))
            raise BusyError(
                f"the lab '{lab_id}' is up with {', '.join(host.name for host in lab.hosts) or 'no hosts'}",
                hint="`python -m tests.lab down` first, or choose another --id",
            )
    start = time.monotonic()
    lab = Lab.up(
        wanted,
        lab_id=lab_id,
        hardware=_hardware(args.hardware),
        uplink=args.uplink,
        stays=True,
        allow=args.allow,
        rebuild=args.rebuild,
        say=say,
    )
    if args.uplink:
        caller = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
        records.publish(lab.id, PUBLISHED, (int(caller[0]), int(caller[1])) if caller[0] and caller[1] else None)
    say(f"{len(wanted)} hosts answer ssh after {time.monotonic() - start:.1f} s")
    told = _described(lab)
    return _answer(args, told, _as_text(told))


def _down(args: argparse.Namespace) -> int:
    machine.need()
    wanted = records.known_ids() if args.all else [_id(args)]
    with_uplink = [lab_id for lab_id in wanted if (record := records.find_lab(lab_id)) and record.uplink]
    if with_uplink or not records.known_ids():
        records.withdraw(PUBLISHED)
    downed = [lab_id for lab_id in wanted if Lab(records.check_id(lab_id)).down()]
    downed += sweep.sweep()  # what a killed owner left
    text = f"removed {', '.join(downed)}" if downed else "there is no such lab"
    return _answer(args, {"removed": list(downed)}, text)


def _status(args: argparse.Namespace) -> int:
    machine.need()
    ids = [args.id] if args.id else list(records.find_labs())
    labs = [_described(Lab.attach(lab_id)) for lab_id in ids]
    text = "\n".join(_as_text(told) for told in labs) if labs else "no lab is up"
    return _answer(args, {"labs": list(labs)}, text)


def _fault(args: argparse.Namespace) -> int:
    host = _lab(args).host(args.host)
    start = time.monotonic()
    getattr(host, args.verb)()
    state = host.state()
    text = f"{host.name} is {state} after {time.monotonic() - start:.1f} s"
    return _answer(args, {"host": host.name, "state": state}, text)


def _exec(args: argparse.Namespace) -> int:
    host = _lab(args).host(args.host)
    # One word is a line for the host's shell, as with ssh; several arrive as they are.
    line = args.command[0] if len(args.command) == 1 else shlex.join(args.command)
    argv = host.ssh_argv(line, user=args.user, terminal=sys.stdin.isatty() and sys.stdout.isatty())
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  # an argument list, no shell


def _enter(args: argparse.Namespace) -> int:
    lab = _lab(args)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    argv = [*enter_argv(lab.id), *(command or [os.environ.get("SHELL", "/bin/sh")])]
    variables = egress.controller_environment(lab.id, [host.address for host in lab.hosts])
    os.execvpe(argv[0], argv, {**variables, "ANSIBLE_INVENTORY": str(lab.inventory)})  # noqa: S606  # as above


def _install(args: argparse.Namespace) -> int:
    packages = machine.install()
    text = f"installed {', '.join(packages)}" if packages else "nothing is missing"
    return _answer(args, {"installed": list(packages)}, text)


def _clean(args: argparse.Namespace) -> int:
    machine.need()
    if records.known_ids():
        raise BusyError(f"labs are up: {', '.join(records.known_ids())}", hint="python -m tests.lab down --all")
    base.remove_tree(machine.home())
    return _answer(args, {"removed": str(machine.home())}, f"removed {machine.home()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description="A lab of real Debian hosts on this machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, help_text: str, action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        made.add_argument("--id", help=f"which lab (default: {DEFAULT_ID}, or the only one)")
        made.add_argument("--json", action="store_true", help="answer in JSON")
        made.set_defaults(action=action)
        return made

    up = verb("up", "start hosts and wait until they answer ssh", _up)
    up.add_argument("--hosts", type=int, default=3, help="how many: h1, h2, … (default: 3)")
    up.add_argument("--names", help="their names instead, with commas")
    up.add_argument("--hardware", action="append", default=[], metavar="[HOST=]VIEW", help="simulated hardware")
    up.add_argument("--uplink", action="store_true", help="make them reachable from this machine's own network")
    up.add_argument("--allow", action="append", default=[], metavar="HOST[:PORT]", help="what hosts may reach, too")
    up.add_argument("--rebuild", action="store_true", help="build the base again, for newer packages")
    up.add_argument("--install", action="store_true", help="install missing tools first (Debian, Ubuntu)")
    verb("down", "remove a lab and all that belongs to it", _down).add_argument(
        "--all", action="store_true", help="all labs of this machine, also those of running tests"
    )
    verb("status", "show the labs and their hosts", _status)
    for name, text in _FAULTS.items():
        verb(name, text, _fault).add_argument("host", metavar="HOST")
    execute = verb("exec", "run a command on a host, or open a shell there", _exec)
    execute.add_argument("--user", default="root", help="root (default) or ops, who has sudo")
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    enter = verb("enter", "run a command of this machine in the lab's network", _enter)
    enter.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    verb("install", "install the tools that a lab needs (Debian, Ubuntu)", _install)
    verb("clean", "remove the cached base and packages; no lab may be up", _clean)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # so that a half-built lab is taken down
    try:
        return int(args.action(args))
    except MlperfOpsError as error:
        say(f"error: {error}")
        return error.exit_code
    except OSError as error:
        say(f"error: {error}")
        return ToolError.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
