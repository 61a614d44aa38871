"""What a host is asked of the attempts of a run: one shell script, which answers with one JSON object.

It only reads, and starts next to no process, because the host may be measuring. The names of attempts are ours
(letters, digits, ".", "_", "+", "-"), so that the script need not quote them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# Sets `lock` to the words of the cell that holds the host, in the folder mlperf_home. The file keeps its words, so the
# kernel's own list tells; trying the lock would hold it, and refuse a cell that starts just then.
HOLDER = r"""lock=''
[ -s runs/.lock ] && read -r lock < runs/.lock
pid=${lock##*(pid }
[ -n "$lock" ] && grep -q " ${pid%)} [^ ]*:$(stat -c %i runs/.lock) " /proc/locks || lock=''
"""
# `known` are the ended attempts that the controller has, each between spaces.
_SCRIPT = (
    r"""
cd "$home" 2>/dev/null || { printf '{"absent": "%s"}\n' "$home"; exit 0; }
quoted() { # a file as a JSON value, null without one
  if [ -s "$1" ]; then cat "$1"; else printf null; fi
}
boot=''
read -r boot 2>/dev/null < /proc/sys/kernel/random/boot_id
"""
    + HOLDER
    + r"""
printf '{"now": %s, "boot_id": "%s", "home": "%s", "lock": "%s", "provision": ' "$(date +%s)" "$boot" "$PWD" "$lock"
quoted state/provision.json
printf ', "attempts": ['
comma=''
for attempt in runs/"$run"/*/*/*/*/*/attempt_*; do
  [ -d "$attempt" ] || continue
  case " $known " in *" $attempt "*) continue ;; esac
  ticks=''
  if [ ! -f "$attempt/result.json" ] && [ -f "$attempt/state.json" ]; then
    pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$attempt/state.json")
    stat=''
    [ -n "$pid" ] && read -r stat 2>/dev/null < "/proc/$pid/stat"
    # shellcheck disable=SC2086  # the words of the line after the process's name; the start time is the twentieth
    [ -n "$stat" ] && set -- ${stat##*) } && [ "$1" != Z ] && ticks=${20}
  fi
  # Looked for last: an attempt that ended meanwhile has a result, and did not vanish.
  if [ -f "$attempt/result.json" ]; then
    printf '%s{"path": "%s", "result": ' "$comma" "$attempt"
    cat "$attempt/result.json"
  else
    phase=''
    [ -f "$attempt/phase" ] && phase=$(cat "$attempt/phase")
    began=$(stat -c %Y "$attempt/state.json" 2>/dev/null) || began=''
    printf '%s{"path": "%s", "start_ticks": "%s", "phase": "%s", "began": %s, "state": ' \
      "$comma" "$attempt" "$ticks" "$phase" "${began:-0}"
    quoted "$attempt/state.json"
  fi
  printf '}'
  comma=', '
done
printf ']}\n'
"""
)


def look_script(home: str, run_id: str, known: Sequence[str]) -> str:
    """Return the script for one host.

    Args:
        home: mlperf_home, which may start with "~".
        run_id: Of the plan.
        known: Attempts below mlperf_home whose results the controller has.
    """
    return f"home={quoted_home(home)}\nrun={shlex.quote(run_id)}\nknown={shlex.quote(' '.join(known))}\n{_SCRIPT}"


def quoted_home(home: str) -> str:
    """Return mlperf_home for a shell: a leading "~" is the user's own folder there."""
    if home == "~" or home.startswith("~/"):
        return f'"$HOME"{shlex.quote(home[1:]) if home[1:] else ""}'
    return shlex.quote(home)
