"""Ansible module: tune a host, prove it, and put it back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_tuning
short_description: Set the knobs of a host that a result depends on, and put them back
version_added: "0.1.0"
description:
  - Changes only what O(settings) ask for. The value from before is kept in C(/var/lib/mlperf-ops/tuning.json), on the
    disk, before a knob is changed for the first time. A knob that is no longer asked for gets that value back.
  - Everything is read again afterwards. A knob that has another value than was written fails the task. One that the
    host does not have, or refuses to change, is skipped, and the result says why.
  - What is tuned is told in C(state/tuning.json) below O(home).
  - Usually called through the action of the same name, which takes O(settings) and O(home) out of C(plan.json). It does
    not connect to a host that is not tuned and shall not be.
options:
  results:
    description:
      - Results folder of the run on the controller, that holds C(plan.json). Empty takes C(results/<run id>).
      - Read by the action only.
    type: str
    default: ""
  state:
    description:
      - C(applied) sets and proves, C(verified) only compares and fails where something differs, C(reverted) puts
        everything back and removes the backup.
    type: str
    choices: [applied, verified, reverted]
    default: applied
  strict:
    description: Fail when a setting cannot be had on this host.
    type: bool
    default: false
  settings:
    description:
      - Settings by their names in the inventory; see C(mlperf_ops/tuning.py). Given by the action.
    type: dict
    default: {}
  home:
    description: mlperf_home of the host, absolute or starting with C(~). Given by the action.
    type: str
    default: ""
  user:
    description: Account that a C(~) at the start of O(home) belongs to. Given by the action.
    type: str
    default: ""
  drop_caches:
    description:
      - Drop caches once, after the rest. 1 is the page cache, 2 dentries and inodes, 3 both. Given before a cell.
    type: int
    choices: [0, 1, 2, 3]
    default: 0
  root:
    description: Folder that stands for the root of the file system, for tests.
    type: path
    default: /
attributes:
  check_mode:
    description: Says what would be set or put back, and changes nothing.
    support: full
  diff_mode:
    description: Shows each knob with its value before and after.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Let the CPUs run at their highest frequency
  mlperf_ops.lab.host_tuning:
    settings:
      governor: performance
      min_frequency_khz: hardware_max
      sysctls: {vm.swappiness: 1}

- name: Put everything back
  mlperf_ops.lab.host_tuning:
    state: reverted
"""

RETURN = r"""
changes:
  description: Each knob that was set or put back, with its values.
  returned: always
  type: list
  elements: dict
  sample:
    - {setting: governor, knob: /sys/devices/system/cpu/cpufreq/policy0/scaling_governor, before: powersave,
       after: performance, restored: false}
skips:
  description: What this host does not have or refuses, and why. Named without I(knob) where it is the whole setting.
  returned: always
  type: list
  elements: dict
  sample: [{setting: smt, knob: "", reason: the cores of this host have one thread each}]
waits_for:
  description: The cell that the host is measuring. Nothing is changed meanwhile.
  returned: always
  type: str
"""

# Ansible reads the documentation above as the head of the file.
from typing import TYPE_CHECKING, Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import (  # noqa: E402
    host_measuring,
    host_store,
    tuning_apply,
    tuning_memory,
)
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_knob import Machine, Skip  # noqa: E402

if TYPE_CHECKING:
    from ansible_collections.mlperf_ops.lab.plugins.module_utils.tuning_apply import Outcome

ARGUMENTS = {
    "results": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": ["applied", "verified", "reverted"], "default": "applied"},
    "strict": {"type": "bool", "default": False},
    "settings": {"type": "dict", "default": {}},
    "home": {"type": "str", "default": ""},
    "user": {"type": "str", "default": ""},
    "drop_caches": {"type": "int", "choices": [0, 1, 2, 3], "default": 0},
    "root": {"type": "path", "default": "/"},
}
_SHOWN = 3


def run(parameters: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Do what is asked and return the result of the task."""
    state, home = parameters["state"], parameters["home"]
    if home.startswith("~/") and parameters["user"]:
        home = f"~{parameters['user']}{home[1:]}"
    machine = Machine(parameters["root"])
    settings = {} if state == "reverted" else parameters["settings"]
    tuner = tuning_apply.Tuner(machine, settings, host_store.expand(home) if home else None)
    verify = state == "verified"
    outcome = tuner.look(to_write=not verify) if check_mode or verify else tuner.apply()
    drops = parameters["drop_caches"] and not check_mode and state == "applied" and not outcome.failures
    now = host_measuring.measuring(tuner.home) if drops and tuner.home is not None else None
    if now is not None:
        outcome = outcome._replace(waits_for=now.cell)
    elif drops:
        reason = tuning_memory.drop_caches(machine, parameters["drop_caches"])
        if reason:
            outcome.skips.append(Skip("drop_caches", "", reason))
    result = _result(outcome, check_mode=check_mode)
    problem = _problem(outcome, state, strict=parameters["strict"])
    return {**result, "failed": True, "msg": problem} if problem else {**result, **_verified(state, result)}


def _verified(state: str, result: dict[str, Any]) -> dict[str, Any]:
    if state != "verified":
        return {}
    return {"changed": False, "msg": f"all is as asked{_skipped_words(result['skips'])}"}


def _result(outcome: Outcome, *, check_mode: bool) -> dict[str, Any]:
    skipped = _grouped(outcome.skips)
    put_back = sum(change.restored for change in outcome.changes)
    number = len(outcome.changes) - put_back
    would = "would be " if check_mode else ""
    parts = [f"{number} knobs {would}set"] if number else []
    parts += [f"{put_back} {would}put back"] if put_back else []
    parts += [f"{outcome.reset} that a reboot had put back"] if outcome.reset else []
    if outcome.waits_for:
        parts = [f"nothing was touched, because {outcome.waits_for} is being measured"]
    return {
        "changed": bool(outcome.changes),
        "msg": (", ".join(parts) or "all is as asked") + _skipped_words(skipped),
        "changes": [change._asdict() for change in outcome.changes],
        "skips": skipped,
        "waits_for": outcome.waits_for,
        "diff": {
            "before": "".join(f"{change.knob}: {change.before}\n" for change in outcome.changes),
            "after": "".join(f"{change.knob}: {change.after}\n" for change in outcome.changes),
        },
    }


def _grouped(skips: list[Skip]) -> list[dict[str, Any]]:
    """Tell knobs of one setting that are skipped for one reason as one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for skip in skips:
        groups.setdefault((skip.setting, skip.reason), []).append(skip.knob)
    return [
        {"setting": setting, "reason": reason, "knob": knobs[0] if len(knobs) == 1 else "", "count": len(knobs)}
        for (setting, reason), knobs in groups.items()
    ]


def _skipped_words(skipped: list[dict[str, Any]]) -> str:
    if not skipped:
        return ""
    return "; skipped: " + "; ".join(f"{one['setting']} ({one['reason']})" for one in skipped)


def _problem(outcome: Outcome, state: str, *, strict: bool) -> str:
    """Return why the task fails, "" when it does not."""
    if outcome.failures:
        return _listed(outcome.failures)
    if state == "verified" and outcome.changes:
        return _listed(
            [
                f"{change.knob} is '{change.before}' and should be '{change.after}'"
                + (" again, as nobody asks for it" if change.restored else "")
                for change in outcome.changes
            ]
        )
    if state == "reverted" and outcome.waits_for:
        return f"{outcome.waits_for} is being measured (revert when it has ended)"
    if outcome.skips and (strict or state == "reverted"):
        word = "not put back" if state == "reverted" else "not to be had here"
        return _listed([f"{one['setting']}: {one['reason']}" for one in _grouped(outcome.skips)], f"{word}: ")
    return ""


def _listed(sentences: list[str], head: str = "") -> str:
    more = f"; and {len(sentences) - _SHOWN} more" if len(sentences) > _SHOWN else ""
    return head + "; ".join(sentences[:_SHOWN]) + more


def main() -> None:
    """Tune."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module.params, check_mode=module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'this host'}: {error.strerror or error}")
    else:
        if result.get("failed"):
            module.fail_json(**result)
        module.exit_json(**result)


if __name__ == "__main__":
    main()
