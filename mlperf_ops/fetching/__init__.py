"""Bring attempts from a host: piece by piece, resumable, verified by digest before they count.

`source` reads pieces of a host's files, `assemble` puts them together beside their place. Memory is bounded by the size
of one piece, however large a log is. Nothing of it knows Ansible.
"""

from __future__ import annotations
