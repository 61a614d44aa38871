"""Wait while a host measures a cell of another run: what this one still has to do is not lost by that."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mlperf_ops.lab.plugins.plugin_utils import fetch

with contextlib.suppress(ImportError):  # `controller.package` says it in a sentence
    from mlperf_ops.campaign import look

_PAUSE_SECONDS = 10.0  # the host is measuring
_LINE_SECONDS = 60.0
display = Display()


def until_free(action: ActionBase, title: str, home: str, goes_on: Callable[[], None], *, lost_seconds: float) -> None:
    """Wait until no cell holds the host any more.

    Args:
        action: Its connection is used.
        title: Of the cell that waits, in progress lines.
        home: mlperf_home of the host, absolute.
        goes_on: Fails when nobody wants the cell any more.
        lost_seconds: How long the host may be silent.

    Raises:
        AnsibleConnectionFailure: The host is away.
    """
    script = f"cd {shlex.quote(home)} 2>/dev/null || exit 0\n{look.HOLDER}printf '%s\\n' \"$lock\"\n"
    began, shown, shown_at = time.monotonic(), "", 0.0
    while True:
        said = fetch.run_script(action, script, goes_on, lost_seconds)
        holder, now = said.decode(errors="replace").strip(), time.monotonic()
        if holder and (holder != shown or now - shown_at >= _LINE_SECONDS):
            display.display(f"{title}   waits, since {now - began:.0f} s: another run measures {holder} on this host")
            shown, shown_at = holder, now
        time.sleep(_PAUSE_SECONDS)  # also where it is free: it was not just now, and another cell may be its next
        if not holder:
            return
