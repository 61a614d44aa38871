"""Names of the files of an attempt. Standard library only."""

from __future__ import annotations

SPEC, USER_CONF, CONSOLE = "spec.json", "user.conf", "console.log"
AUDIT_CONFIG = "audit.config"  # LoadGen's own name: an implementation that is not ours finds it in its current folder
RESULT, MANIFEST = "result.json", "manifest.json"
# Notes: folded into result.json or about the processes, not part of the raw result.
STATE, SUPERVISOR_LOG = "state.json", "supervisor.log"
PHASE, EFFECTIVE = "phase", "effective.json"
CHILD = "child"  # pid and start time of the process that measures: "123 4567"
# For a supervisor in a unit: the environment of the login; whoever removes it has the attempt.
ENVIRONMENT = ".environment"
UNIT_END = "unit_end.json"  # how the unit ended that left no result
RESERVE = ".reserve"  # space for the result, so that a full disk cannot keep it from being written
