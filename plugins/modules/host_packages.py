"""Ansible module: packages, service user, work directories and limits of a host, and the way back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_packages
short_description: Give a host its OS packages, service user, work directories and limits, or take them back
version_added: "0.1.0"
description:
  - Asks the package database itself what is missing, and starts the package manager only when something is. Nothing is
    upgraded that need not be, nothing is removed, and no package is chosen that was only recommended.
  - Whatever it adds or changes is recorded in C(/var/lib/mlperf-ops/host_packages.json) before the change.
    O(state=reverted) takes back exactly that. A package that another one needs by then stays, and so does a folder with
    results; both are named.
  - Usually called through the action of the same name, which adds what the role knows of each family of distributions.
options:
  state:
    description:
      - V(applied) makes it so, V(verified) fails with what differs, V(reverted) takes back what was added.
    type: str
    choices: [applied, verified, reverted]
    default: applied
  sets:
    description: Sets of packages to install, out of those of the host's family.
    type: list
    elements: str
    default: []
  extra:
    description: Further packages, by their names in the host's distribution.
    type: list
    elements: str
    default: []
  groups:
    description: Groups that must exist.
    type: list
    elements: str
    default: []
  user:
    description: Service user. Without a name there is none.
    type: dict
    default: {}
    options:
      name:
        description: Name of the account.
        type: str
        default: ""
      uid:
        description: Its number, where it has to be the same on all hosts.
        type: int
      home:
        description: Its home folder. Empty takes C(/home/<name>).
        type: str
        default: ""
      shell:
        description: Its login shell.
        type: str
        default: /bin/bash
      groups:
        description: Groups that it is in besides its own.
        type: list
        elements: str
        default: []
  home:
    description: mlperf_home of the host, absolute or starting with C(~). Empty leaves it alone.
    type: str
    default: ""
  folders:
    description: Further work directories.
    type: list
    elements: dict
    default: []
    options:
      path:
        description: Absolute, or starting with C(~) for the home of the account that Ansible logs in with.
        type: str
        required: true
      owner:
        description: User. Empty takes the service user, or else the account that Ansible logs in with.
        type: str
        default: ""
      group:
        description: Group. Empty takes the owner's.
        type: str
        default: ""
      mode:
        description: Mode, such as C("0755"). Empty makes that and leaves a folder that exists as it is.
        type: str
        default: ""
  limits:
    description:
      - Limits of new sessions of the service user and of the account that Ansible logs in with; a number or
        V(unlimited).
      - What the kernel would refuse is not written, because PAM would then refuse the whole session.
    type: dict
    default: {}
    options:
      memlock_bytes:
        description: Memory that may be locked.
        type: str
      nofile:
        description: Open files.
        type: str
      nproc:
        description: Processes.
        type: str
      stack_bytes:
        description: Stack.
        type: str
  strict:
    description: Fail when something could not be done for lack of privileges or because the kernel does not grant it.
    type: bool
    default: false
  lock_seconds:
    description: How long to wait for another package manager on the host.
    type: int
    default: 120
  index_seconds:
    description: How long the package index may take to answer, in all.
    type: int
    default: 90
  families:
    description: Packages by family and set. Given by the action.
    type: dict
    default: {}
  privileged:
    description:
      - Whether the host itself may be changed. Without, only folders are made and the rest is listed in
        RV(unprivileged). Given by the action from C(become) of the task.
    type: bool
    default: true
attributes:
  check_mode:
    description: Names what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows each thing before and after.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Give the host what cells and facts need
  mlperf_ops.lab.host_packages:
    sets: [base]
    limits:
      memlock_bytes: unlimited
  become: true
"""

RETURN = r"""
unprivileged:
  description: What could not be done without privileges.
  returned: success
  type: list
  elements: str
  sample: ["package numactl: memory and CPU pinning of cells"]
clamped:
  description: Limits that the kernel does not grant in full.
  returned: success
  type: list
  elements: str
kept:
  description: What V(reverted) has left on the host, and why.
  returned: success
  type: list
  elements: str
notes:
  description: What a user should know besides.
  returned: success
  type: list
  elements: str
by_hand:
  description: The command that installs what is missing, where this module may not.
  returned: success
  type: str
packages:
  description: Packages that are or were missing.
  returned: success
  type: list
  elements: str
"""

# Ansible reads the documentation above as the head of the file.
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.packages_host import Host  # noqa: E402

USER_OPTIONS = {
    "name": {"type": "str", "default": ""},
    "uid": {"type": "int"},
    "home": {"type": "str", "default": ""},
    "shell": {"type": "str", "default": "/bin/bash"},
    "groups": {"type": "list", "elements": "str", "default": []},
}
FOLDER_OPTIONS = {
    "path": {"type": "str", "required": True},
    "owner": {"type": "str", "default": ""},
    "group": {"type": "str", "default": ""},
    "mode": {"type": "str", "default": ""},
}
LIMIT_OPTIONS = {name: {"type": "str"} for name in ("memlock_bytes", "nofile", "nproc", "stack_bytes")}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["applied", "verified", "reverted"], "default": "applied"},
    "sets": {"type": "list", "elements": "str", "default": []},
    "extra": {"type": "list", "elements": "str", "default": []},
    "groups": {"type": "list", "elements": "str", "default": []},
    "user": {"type": "dict", "default": {}, "options": USER_OPTIONS},
    "home": {"type": "str", "default": ""},
    "folders": {"type": "list", "elements": "dict", "default": [], "options": FOLDER_OPTIONS},
    "limits": {"type": "dict", "default": {}, "options": LIMIT_OPTIONS},
    "strict": {"type": "bool", "default": False},
    "lock_seconds": {"type": "int", "default": 120},
    "index_seconds": {"type": "int", "default": 90},
    "families": {"type": "dict", "default": {}},
    "privileged": {"type": "bool", "default": True},
}


def main() -> None:
    """Apply, verify or revert; a failure is one sentence."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        outcome = Host(module.params, check_mode=module.check_mode).run()
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the host'}: {error.strerror or error}")
    else:
        module.exit_json(**outcome)


if __name__ == "__main__":
    main()
