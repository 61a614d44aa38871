"""Ansible module: facts of a machine for its MLPerf system description."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_facts
short_description: Collect the facts of a machine that an MLPerf system description needs
version_added: "0.1.0"
description:
  - Reads processor, memory, storage, network, accelerators, firmware, software and tuning state of the host from
    C(/proc), C(/sys), C(lscpu), C(lsblk), the system's C(pci.ids) and, where they are there, C(dmidecode),
    C(nvidia-smi), C(amd-smi) and C(rocm-smi). The tools run side by side.
  - Every value carries its origin. A fact that cannot be read is named with the reason; nothing is guessed.
  - A tool that fails, or gives no answer within 20 seconds, is a reason and never a failure.
  - Serial numbers, network addresses and MAC addresses are left out.
  - Changes nothing and writes nothing on the host.
options: {}
notes:
  - Memory modules need C(dmidecode) and root; without them they are reported as unknown.
  - Inside a container the operating system and the C library are those of the container, and their origin says so.
attributes:
  check_mode:
    description: Can run in check mode and return the same facts.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
author:
  - mlperf-ops contributors
"""

EXAMPLES = r"""
- name: Collect the facts of the machine
  mlperf_ops.lab.host_facts:
  register: _host_facts

- name: Show the processor and where the name comes from
  ansible.builtin.debug:
    msg: "{{ _host_facts.facts['values'].cpu_model }}"
"""

RETURN = r"""
facts:
  description: What C(facts.json) of a host holds.
  returned: always
  type: dict
  contains:
    values:
      description: Fact name to its C(value) and C(origin).
      type: dict
      sample: {"cpu_sockets": {"value": 2, "origin": "lscpu: Socket(s)"}}
    unknown:
      description: Fact name to the reason why there is no value.
      type: dict
      sample: {"memory_modules": "dmidecode needs root"}
elapsed_ms:
  description: What collecting cost on the host. Not a part of C(facts.json), which would then differ each time.
  returned: always
  type: float
  sample: 21.4
waited_ms:
  description: Tool to how long it was waited for after the ones before it.
  returned: always
  type: dict
  sample: {"lscpu": 4.1}
"""

# Ansible reads the documentation above as the head of the file.
import time  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_facts import collect  # noqa: E402
from ansible_collections.mlperf_ops.lab.plugins.module_utils.host_tools import Machine  # noqa: E402


def main() -> None:
    """Collect and return; there is nothing to change."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    started = time.monotonic()
    machine = Machine()
    facts = collect(machine)
    elapsed = round(1000 * (time.monotonic() - started), 1)
    module.exit_json(changed=False, facts=facts, elapsed_ms=elapsed, waited_ms=machine.waited_ms)


if __name__ == "__main__":
    main()
