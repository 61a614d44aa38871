# ruff: noqa: INP001  # a script, no package
"""Keep docs/reference/cli.md equal to the command line's own help: rewrite it, or with --check only tell.

Example: python tools/cli_docs.py --check
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main

from mlperf_ops.cli import VERBS, app

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
_PROGRAM = "mlperf-ops"
_HEAD = """# Command line

Made from the command line's own help by `make docs`; do not edit.

```
{usage}
```

{help}

| verb | does |
|---|---|
{verbs}

Every verb has `--json`: one JSON object on stdout, also for errors (`{{"error": …, "hint": …, "exit_code": …}}`).
Data goes to stdout, talk to stderr. `mlperf-ops --install-completion` sets up your shell.
"""


def document() -> str:
    """Return the whole document."""
    group: Any = typer.main.get_command(app)
    head = _HEAD.format(
        usage=f"{_PROGRAM} VERB [OPTIONS] …",
        help=_text(group.help or ""),
        verbs="\n".join(f"| [`{verb}`](#{_PROGRAM}-{verb}) | {_cell(text)} |" for verb, (_, text) in VERBS.items()),
    )
    parts = [part for verb in VERBS for part in _command(f"{_PROGRAM} {verb}", group.get_command(None, verb))]
    return "\n".join([head, *parts])


def _command(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401  # click or typer's own copy of it
    """Describe a verb, and the verbs below it."""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    words = [_argument_name(param) if param.required else f"[{_argument_name(param)}]" for param in arguments]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *words])
    yield f"## {name}\n\n```\n{usage}\n```\n\n{_text(command.help or '')}\n"
    if arguments:
        yield _table("argument", [(f"`{_argument_name(param)}`", _meaning(param)) for param in arguments])
    if options:
        yield _table("option", [(_option_name(param), _meaning(param)) for param in options])
    for below in getattr(command, "commands", {}).values():
        yield from _command(f"{name} {below.name}", below)


def _text(text: str) -> str:
    """Return a docstring as Markdown: paragraphs, and each example as code."""
    paragraphs = inspect.cleandoc(text.replace("\f", "")).split("\n\n")
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs if paragraph.strip())


def _paragraph(text: str) -> str:
    joined = " ".join(text.split())
    title, colon, command = joined.partition("Example: ")
    return f"{title}Example:\n\n```sh\n{command}\n```" if colon else joined.replace("<", "\\<")


def _table(heading: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([f"| {heading} | meaning |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""])


def _argument_name(param: Any) -> str:  # noqa: ANN401
    return str(param.metavar or param.name.upper())


def _option_name(param: Any) -> str:  # noqa: ANN401
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    if param.is_flag:
        return names
    value = (
        param.metavar or "\\|".join(_choices(param)) or max(param.opts, key=len).lstrip("-").replace("-", "_").upper()
    )
    return f"{names} {value}"


def _choices(param: Any) -> list[str]:  # noqa: ANN401
    """Return the names of a closed list; releases of typer keep them in different places."""
    told = getattr(param, "type_descriptor", None)
    if told is not None:
        annotation = told.annotation
        return [str(name) for name in get_args(annotation)] if get_origin(annotation) is Literal else []
    return [str(name) for name in getattr(param.type, "choices", ())]


def _meaning(param: Any) -> str:  # noqa: ANN401
    notes = [_cell(param.help or "")]
    if param.param_type_name == "argument" and _choices(param):
        notes.append(f"One of {', '.join(_choices(param))}.")
    if param.param_type_name == "option" and param.required:
        notes.append("Required.")
    if (
        not getattr(param, "is_flag", False)
        and isinstance(param.default, (str, int, float, Path))
        and param.default != ""
    ):
        notes.append(f"Default: `{param.default}`.")
    return " ".join(notes)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def main() -> int:
    """Rewrite or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when the document is stale")
    check = parser.parse_args().check
    made = document()
    stale = not DOCUMENT.is_file() or DOCUMENT.read_text("utf-8") != made
    if stale:
        print(f"{DOCUMENT.name} {'is out of date: run make docs' if check else 'rewritten'}")  # noqa: T201  # a command line
        if not check:
            DOCUMENT.write_text(made, encoding="utf-8")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
