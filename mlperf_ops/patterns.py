"""Texts of one form, as types of pydantic models, and what each form is in words for whoever wrote another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias, get_args

from pydantic import StringConstraints

# A directory name of the submission tree: no spaces, no slashes, no leading dot or dash.
PATH_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$"
PathName: TypeAlias = Annotated[str, StringConstraints(pattern=PATH_NAME)]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that is also a file and directory name: no spaces, no slashes."""
Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]
RemotePath: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(/|~).*")]
AbsolutePath: TypeAlias = Annotated[str, StringConstraints(pattern=r"^/.*")]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
CpuList: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$")]
NodeList: TypeAlias = Annotated[str, StringConstraints(pattern=r"^(all|\d+(-\d+)?(,\d+(-\d+)?)*)$")]
Channels: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\d{1,2}(,\d{1,2})?$")]
OneLine: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$")]
SysctlName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+([./][A-Za-z0-9_:-]+)+$")]
Oid: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\.?\d+(\.\d+)+$")]
NetworkAddress: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^-\s/@][^\s/@]*$")]
HttpUrl: TypeAlias = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]

_SENTENCES = {
    PathName: "letters, digits, '.', '_', '+' and '-', as it names a directory",
    Name: "letters, digits, '.', '_' and '-', as it names a file",
    Word: "one word",
    RemotePath: "an absolute path on the host, or one that starts with ~",
    AbsolutePath: "an absolute path on the host",
    Sha256: "64 hexadecimal digits in lower case",
    Commit: "a commit of 40 hexadecimal digits in lower case",
    CpuList: "a Linux CPU list such as 0-3,8",
    NodeList: "a Linux list of NUMA nodes such as 0-1, or all",
    Channels: "one channel number such as 1, or two such as 1,3",
    OneLine: "one line of text",
    SysctlName: "the name of a sysctl such as vm.swappiness",
    Oid: "an OID in numbers such as 1.3.6.1.4.1.318.1.1.26.4.3.1.5.1",
    NetworkAddress: "a host name or address",
    HttpUrl: "an address that starts with https:// or http://",
}
PATTERN_SENTENCES: Mapping[str, str] = {get_args(alias)[1].pattern: text for alias, text in _SENTENCES.items()}
