"""Ansible module: what a host needs to run its cells, verified and recorded."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_components
short_description: Give a host the environment, harness code and components that its cells need
version_added: "0.1.0"
description:
  - Verifies what is already below O(home), and names what is missing. What it is given in O(staged) it unpacks whole or
    not at all, after its digest was checked.
  - Records the result in C(state/provision.json), which the agent reads. Written only when different.
  - Usually called through the action of the same name, which takes O(plan_host) and the rest out of C(plan.json) and
    transfers only what this module says is missing.
options:
  results:
    description:
      - Results folder of the run on the controller, that holds C(plan.json). Empty takes C(results/<run id>).
      - Read by the action only.
    type: str
    default: ""
  mirror:
    description:
      - Folder of package files on the controller, to use instead of the package index. The controller brings the host
        what it lacks of it.
      - Or the URL of a served mirror, which hosts ask themselves.
      - Read by the action only.
    type: str
    default: ""
  cache:
    description:
      - Folder on the controller where prepared components are kept. Empty takes the one of C(mlperf-ops components).
      - Read by the action only.
    type: str
    default: ""
  python:
    description: Interpreter on the host that the environment is made with. Empty prefers the distribution's own.
    type: str
    default: ""
  home:
    description: mlperf_home of the host, absolute or starting with C(~). Given by the action.
    type: str
  run_id:
    description: Id of the run. Nothing is changed while a cell of another run is measured. Given by the action.
    type: str
    default: ""
  lock_sha256:
    description: Digest of the Python lock. Empty when cells need no packages. Given by the action.
    type: str
    default: ""
  harness_sha256:
    description: Digest of the harness code. Given by the action.
    type: str
  mirror_url:
    description: URL of a served mirror to install packages from. Given by the action.
    type: str
    default: ""
  read:
    description:
      - What is read to verify. C(auto) reads everything in full when a planned cell has no valid result yet, and else
        only what was touched, or not read since the machine booted.
    type: str
    default: auto
    choices: [auto, full]
  cells:
    description: The host's planned cells. Given by the action.
    type: list
    elements: dict
    default: []
    options:
      path:
        description: Folder of the cell below C(runs).
        type: str
        required: true
      request_sha256:
        description: Digest of the cell's request.
        type: str
        required: true
  components:
    description: What the host's cells need. Given by the action.
    type: list
    elements: dict
    default: []
    options:
      name:
        description: Name in the catalogue.
        type: str
        required: true
      kind:
        description: Kind in the catalogue, in words of the error messages.
        type: str
        required: true
      sha256:
        description: Pinned digest. Empty when only the host can know it.
        type: str
        default: ""
      path:
        description: The user's own path on the host. Empty when the component comes from the controller.
        type: str
        default: ""
      label_file:
        description: Label file of a data set of the user's own, relative to its path or absolute.
        type: str
        default: ""
  staged:
    description: Archives that the action has brought to the host. Given by the action.
    type: dict
    default: {}
  tolerant:
    description: A component that cannot be had is named in RV(lacking) and keeps no other away. Given by the action.
    type: bool
    default: false
  lacking:
    description: Components that the controller could not prepare, and why. Given by the action.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Names what is missing and changes nothing.
    support: full
  diff_mode:
    description: Shows what would be added.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Give the host what its cells need
  mlperf_ops.lab.host_components:
    results: results/lab
"""

RETURN = r"""
missing:
  description: What is not there yet, or not as it should be.
  returned: success
  type: list
  elements: str
  sample: ["python", "harness", "components/efficientnet-lite0"]
lacking:
  description: Components that cannot be had, and why; only in a smoke run.
  returned: success
  type: dict
home:
  description: The absolute path of mlperf_home.
  returned: success
  type: str
  sample: /home/lab/mlperf
read:
  description: C(full) when every byte was read, C(quick) when digests of before were trusted.
  returned: success
  type: str
  sample: quick
python_tag:
  description: Tag of the interpreter in names of package files.
  returned: success
  type: str
  sample: cp311
machine:
  description: Architecture of the interpreter.
  returned: success
  type: str
  sample: x86_64
"""

# Ansible reads the documentation above as the head of the file.
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_measuring, host_store  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_provision import Host  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402

COMPONENT_OPTIONS = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True},
    "sha256": {"type": "str", "default": ""},
    "path": {"type": "str", "default": ""},
    "label_file": {"type": "str", "default": ""},
}
CELL_OPTIONS = {
    "path": {"type": "str", "required": True},
    "request_sha256": {"type": "str", "required": True},
}
ARGUMENTS = {
    "results": {"type": "str", "default": ""},
    "mirror": {"type": "str", "default": ""},
    "cache": {"type": "str", "default": ""},
    "python": {"type": "str", "default": ""},
    "home": {"type": "str"},
    "run_id": {"type": "str", "default": ""},
    "lock_sha256": {"type": "str", "default": ""},
    "harness_sha256": {"type": "str"},
    "mirror_url": {"type": "str", "default": ""},
    "read": {"type": "str", "default": "auto", "choices": ["auto", "full"]},
    "cells": {"type": "list", "elements": "dict", "default": [], "options": CELL_OPTIONS},
    "components": {"type": "list", "elements": "dict", "default": [], "options": COMPONENT_OPTIONS},
    "staged": {"type": "dict", "default": {}},
    "tolerant": {"type": "bool", "default": False},
    "lacking": {"type": "dict", "default": {}},
}


def main() -> None:
    """Verify; with everything staged also bring and record."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        host = Host(module.params)
        host_store.require_usable(host.home, 0)
        missing = host.missing()
        if missing:
            host.require_room(missing)
        changed = bool(missing)
        if not module.check_mode and (host.staged or not missing):
            with host_store.held(host.home):
                if missing:
                    host_measuring.require_no_other_run(host.home, host.run_id)
                    host_store.remove_leftovers(host.home)
                    missing = host.missing()  # another play may have ended since, and its cells use what it made
                host.bring(missing)
                changed = host.record() or bool(missing)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['home']}: {error.strerror or error}")
    else:
        module.exit_json(
            changed=changed,
            missing=missing,
            lacking=host.lacking,
            home=str(host.home),
            read="full" if host.full else "quick",
            python_tag=host.interpreter.tag,
            machine=host.interpreter.machine,
            diff={"before": "", "after": "".join(f"{name}\n" for name in missing)},
        )


if __name__ == "__main__":
    main()
