"""How the kernel reads what is written to sysfs and /proc/sys: its parsers, with its errors.

The names are those of the kernel's own functions (lib/kstrtox.c, lib/vsprintf.c, lib/cmdline.c), so that a knob can be
compared with its driver line by line.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable

_UNSIGNED_BITS = 64
_ULONG_MAX = 2**_UNSIGNED_BITS - 1
_YES = ("y", "Y", "t", "T", "1")
_NO = ("n", "N", "f", "F", "0")


def error(code: int) -> OSError:
    """The error with its usual text."""
    return OSError(code, os.strerror(code))


def invalid() -> OSError:
    """EINVAL, the answer to most of what a knob does not know."""
    return error(errno.EINVAL)


def kstrtoul(text: str, base: int = 0) -> int:
    """A whole unsigned number, with at most one newline behind it.

    Raises:
        OSError: EINVAL for anything else, ERANGE beyond 64 bits.
    """
    number = text.removesuffix("\n").removeprefix("+")
    if base == 0:
        if re.fullmatch(r"0[xX][0-9a-fA-F]+", number):
            return _in_range(int(number, 16))
        base = 8 if re.fullmatch(r"0[0-7]+", number) else 10
    if not re.fullmatch(r"[0-9]+", number) or (base == 8 and max(number) >= "8"):
        raise invalid()
    return _in_range(int(number, base))


def _in_range(number: int) -> int:
    if number > _ULONG_MAX:
        raise error(errno.ERANGE)
    return number


def sscanf_unsigned(text: str) -> int:
    """``sscanf("%u")``: the number at the start; what follows it is not looked at.

    Raises:
        OSError: EINVAL when there is none.
    """
    found = re.match(r"\s*([0-9]+)", text)
    if found is None:
        raise invalid()
    return int(found[1]) % 2**32


def sscanf_word(text: str, longest: int) -> str:
    """``sscanf("%<longest>s")``: the first word, cut to ``longest`` characters.

    Raises:
        OSError: EINVAL when there is none.
    """
    words = text.split()
    if not words:
        raise invalid()
    return words[0][:longest]


def kstrtobool(text: str) -> bool:
    """1, y, t, on or 0, n, f, off; only the first letters count, as in the kernel.

    Raises:
        OSError: EINVAL for anything else.
    """
    if text[:1] in _YES:
        return True
    if text[:1] in _NO:
        return False
    if text[:2].lower() == "on":
        return True
    if text[:2].lower() == "of":
        return False
    raise invalid()


def match_string(names: Iterable[str], text: str) -> str:
    """The name itself, by ``sysfs_streq``: one newline at the end is ignored.

    Raises:
        OSError: EINVAL when it is none of them.
    """
    word = text.removesuffix("\n")
    if word not in names:
        raise invalid()
    return word


def clamp(number: int, lowest: int, highest: int) -> int:
    """The number, or the nearer end of the range."""
    return max(lowest, min(number, highest))


def cpu_list(cpus: Iterable[int]) -> str:
    """Sorted CPUs as the kernel prints them: ``0-3,8``."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def cpu_mask(cpus: Iterable[int], count: int) -> str:
    """CPUs as the hexadecimal mask of ``count`` CPUs, in groups of 32 bits."""
    mask = sum(1 << cpu for cpu in cpus)
    width = (count + 3) // 4
    groups, rest = [], f"{mask:0{width}x}"
    while rest:
        groups.append(rest[-8:])
        rest = rest[:-8]
    return ",".join(reversed(groups))
