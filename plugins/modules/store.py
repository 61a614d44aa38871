"""Ansible module: list, verify and clean what a host holds below mlperf_home."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: store
short_description: List, verify and clean what a host holds below mlperf_home
version_added: "0.2.0"
description:
  - Called by C(mlperf-ops store) through C(playbooks/store.yml). The action of the same name adds what the plans on the
    controller refer to, and keeps the answers.
options:
  home:
    description: mlperf_home of the host, absolute or starting with C(~).
    type: str
    required: true
  verb:
    description:
      - C(ls) describes every part, C(verify) reads every byte, C(gc) removes what nothing refers to. Results are never
        touched.
    type: str
    default: ls
    choices: [ls, verify, gc]
  results:
    description: Folder on the controller that holds the results folders of all runs. Read by the action only.
    type: str
    default: ""
  answers:
    description: Folder on the controller where the answer of each host is kept. Read by the action only.
    type: str
    default: ""
  keep:
    description: What plans refer to. Given by the action.
    type: dict
    default: {}
attributes:
  check_mode:
    description: C(gc) names what it would remove.
    support: full
  diff_mode:
    description: Shows what is removed.
    support: full
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Read every byte of the stores
  mlperf_ops.lab.store:
    home: "{{ mlperf_home }}"
    verb: verify
"""

RETURN = r"""
parts:
  description: What is there, for C(ls); what is or would be removed, for C(gc).
  returned: success
  type: list
  elements: dict
faults:
  description: What is damaged, for C(verify).
  returned: success
  type: list
  elements: dict
"""

# Ansible reads the documentation above as the head of the file.
from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils import host_care, host_store  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_store import HostError  # noqa: E402

ARGUMENTS = {
    "home": {"type": "str", "required": True},
    "verb": {"type": "str", "default": "ls", "choices": ["ls", "verify", "gc"]},
    "results": {"type": "str", "default": ""},
    "answers": {"type": "str", "default": ""},
    "keep": {"type": "dict", "default": {}},
}


def main() -> None:
    """Answer one verb."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    verb = module.params["verb"]
    try:
        home = host_store.expand(module.params["home"])
        keep = host_care.Keep(module.params["keep"])
        faults = host_care.verify(home) if verb == "verify" else []
        parts = host_care.listing(home, keep) if verb != "verify" else []
        removed = []
        if verb == "gc":
            removed = host_care.unused(home, keep)
            paths = {str(part.path) for part in removed}
            parts = [part for part in parts if part["path"] in paths]
            if removed and not module.check_mode:
                host_care.remove(home, removed)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['home']}: {error.strerror or error}")
    else:
        before = "".join(f"{part['path']}\n" for part in parts) if verb == "gc" else ""
        module.exit_json(
            changed=bool(removed),
            home=str(home),
            parts=parts,
            faults=faults,
            diff={"before": before, "after": ""},
        )


if __name__ == "__main__":
    main()
