"""Ansible module: hold a mirror on a host and serve it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mirror
short_description: Hold a mirror on a services host and serve it to the lab
version_added: "0.2.0"
description:
  - Puts the files of a mirror, by digest, below O(path) and serves them read-only by a systemd unit. As an ordinary
    user it holds the files and says how to serve them.
  - Usually called through the action of the same name, which transfers only what this module says is missing.
options:
  state:
    description:
      - C(applied) holds and serves, C(verified) reads every byte and asks the server, C(reverted) takes all of it back.
    type: str
    default: applied
    choices: [applied, verified, reverted]
  source:
    description: Folder on the controller that C(mlperf-ops mirror fetch) filled. Read by the action only.
    type: str
    default: ""
  path:
    description: Folder of the mirror on the host.
    type: str
    default: /var/lib/mlperf-ops/mirror
  address:
    description: Address to serve at.
    type: str
    default: 0.0.0.0
  port:
    description: Port to serve at.
    type: int
    default: 8000
  manifest:
    description: Text of mirror.json. Given by the action.
    type: str
    default: ""
  server:
    description: Text of the server. Given by the action.
    type: str
    default: ""
  staged:
    description: Archive that the action has brought; it is unpacked, and no more. Given by the action.
    type: str
    default: ""
  complete:
    description: Whether everything was brought. Given by the action.
    type: bool
    default: false
attributes:
  check_mode:
    description: Names what is missing and changes nothing.
    support: full
  diff_mode:
    description: Shows what would be added or removed.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Serve the mirror
  mlperf_ops.lab.mirror:
    source: /srv/mirror
"""

RETURN = r"""
missing:
  description: Files that are not there, or not as they should be.
  returned: success
  type: list
  elements: str
could_not:
  description: What is left to a person, one sentence each.
  returned: success
  type: list
  elements: str
"""

# Ansible reads the documentation above as the head of the file.
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.mirror_host import MirrorHost  # noqa: E402

ARGUMENTS = {
    "state": {"type": "str", "default": "applied", "choices": ["applied", "verified", "reverted"]},
    "source": {"type": "str", "default": ""},
    "path": {"type": "str", "default": "/var/lib/mlperf-ops/mirror"},
    "address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104  # it is there for the lab's hosts
    "port": {"type": "int", "default": 8000},
    "manifest": {"type": "str", "default": ""},
    "server": {"type": "str", "default": ""},
    "staged": {"type": "str", "default": ""},
    "complete": {"type": "bool", "default": False},
}


def applied(module: AnsibleModule, host: MirrorHost) -> dict[str, Any]:
    """Say what is missing; with everything there write the rest and serve it."""
    if module.params["staged"]:
        return {"changed": True, "missing": [], "taken": host.take(Path(module.params["staged"]))}
    missing = host.missing()
    if missing:
        host.require_room(missing)
    texts = [str(path) for path in host.differing()]
    superfluous = host.superfluous()
    stopped = host.served and not texts and not host.running()
    changed = bool(missing or texts or superfluous or stopped)
    if module.params["complete"] and missing:
        raise HostError(f"{missing[0]} was not brought, and {len(missing) - 1} more", "run the play again")
    if changed and not missing and not module.check_mode:
        host.write()
    after = "".join(f"{name}\n" for name in [*missing, *texts, *(["the server"] if stopped else [])])
    before = "".join(f"{name}\n" for name in superfluous)
    return {"changed": changed, "missing": missing, "diff": {"before": before, "after": after}}


def verified(_: AnsibleModule, host: MirrorHost) -> dict[str, Any]:
    """Fail unless all is as applied."""
    wrong = host.missing() + [str(path) for path in host.differing()]
    problems = [f"{wrong[0]} is not as it should be, and {len(wrong) - 1} more"] if wrong else []
    if host.served:
        problems += [] if host.running() else ["the server does not run, or not after the next boot"]
        problems += [problem for problem in [host.answer()] if problem]
    if problems:
        raise HostError("; ".join(problems), "run playbooks/mirror.yml")
    return {"changed": False, "missing": []}


def reverted(module: AnsibleModule, host: MirrorHost) -> dict[str, Any]:
    """Take all of it back."""
    present = host.present()
    if present and not module.check_mode:
        host.revert()
    before = "".join(f"{name}\n" for name in present)
    return {"changed": bool(present), "missing": [], "diff": {"before": before, "after": ""}}


def main() -> None:
    """Do what the state asks for."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    state = module.params["state"]
    try:
        host = MirrorHost(module.params, full=state == "verified")
        result = {"applied": applied, "verified": verified, "reverted": reverted}[state](module, host)
        could_not = [] if state == "reverted" else host.could_not()
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['path']}: {error.strerror or error}")
    else:
        module.exit_json(could_not=could_not, **result)


if __name__ == "__main__":
    main()
