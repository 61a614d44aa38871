"""Shims: tools of hardware that a lab host lacks, as scripts in its /usr/local/bin. They are simulations.

A shim keeps its state in ``/lab/shims/<tool>.json`` of the host and logs each call as a line of JSON in
``/lab/shims/log.jsonl``. A test changes what it simulates by editing the state file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

_HERE = Path(__file__).parent

# Suffix of a view -> script here -> the tools' names in the host.
_TOOLS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {
        "nvidia": {"nvidia-smi": "nvidia_smi.py"},
        "rocm": {"rocm-smi": "rocm_smi.py", "amd-smi": "amd_smi.py"},
        "dmidecode": {"dmidecode": "dmidecode.py"},
        "ipmitool": {"ipmitool": "ipmitool.py"},
    }
)
NAMES: tuple[str, ...] = tuple(_TOOLS)


def install(names: Iterable[str], root: Path) -> None:
    """Put the tools of the given suffixes into the root file system of a host."""
    chosen = tuple(names)
    if not chosen:
        return
    state, tools = root / "lab/shims", root / "usr/local/bin"
    library = root / "usr/local/lib/lab-shims" / __name__.replace(".", "/")  # so that imports read the same in the host
    for folder in (state, tools, library):
        folder.mkdir(parents=True, exist_ok=True)
    state.chmod(0o777)  # any user of the host can ask a tool
    for shared in ("simulation.py", "amd_gpus.py"):
        shutil.copyfile(_HERE / shared, library / shared)
    for name in chosen:
        for tool, script in _TOOLS[name].items():
            shutil.copyfile(_HERE / script, tools / tool)
            (tools / tool).chmod(0o755)
