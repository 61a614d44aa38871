"""Bring attempts from a host: piece by piece, resumable, verified by digest before they count.

`source` reads pieces of a host's files, `parts` puts them together beside their place, `assemble` brings whole
attempts. Memory is bounded by the size of one piece, however large a log is. Nothing of it knows Ansible.
"""

from __future__ import annotations
