"""One simulated cpufreq policy: governor, limits and energy preference of one CPU.

Semantics: drivers/cpufreq/{cpufreq,freq_table,intel_pstate,amd-pstate}.c of Linux 6.12.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from tests.lab.hardware.layouts import Frequencies
from tests.lab.hardware.values import clamp, error, invalid, kstrtoul, match_string, sscanf_unsigned, sscanf_word

_GOVERNOR_LENGTH = 15
_EPP_LENGTH = 20
_EPP_HIGHEST = 255
_EPP_PERFORMANCE = 0


@dataclass(slots=True)
class Policy:
    """One policy; frequencies in kHz.

    Attributes:
        data: the driver's row.
        cpu: the CPU that it belongs to.
        boost: whether frequencies above nominal are allowed, where that is a limit of the policy. What was asked for
            stays: with boost on again the old maximum is back.
        limit: a further upper end that the driver computes (intel_pstate's max_perf_pct), for the current frequency.
    """

    data: Frequencies
    cpu: int
    boost: bool = True
    limit: int | None = None
    governor: str = field(init=False)
    wanted_min: int = field(init=False)
    wanted_max: int = field(init=False)
    _speed: int = field(init=False)
    _epp: int = field(init=False)
    _epp_before: int = field(init=False)

    def __post_init__(self) -> None:
        """The state after boot."""
        self.governor = self.data.governor
        self.wanted_min = self._speed = self.data.lowest
        self.wanted_max = self.data.boosted
        self._epp = self._epp_before = self.data.epp.get(self.data.epp_default, _EPP_PERFORMANCE)

    @property
    def highest(self) -> int:
        """cpuinfo_max_freq."""
        return self.data.boosted if self.boost else self.data.nominal

    def limits(self) -> tuple[int, int]:
        """Scaling_min_freq and scaling_max_freq: what was asked for, brought into what is possible.

        The requests stay as they were written; a minimum above the maximum gives way to it until the maximum is raised.
        With a table, the maximum is the next frequency at or below, the minimum the next at or above.
        """
        top = clamp(self.wanted_max, self.data.lowest, self.highest)
        low = min(clamp(self.wanted_min, self.data.lowest, self.highest), top)
        if not self.data.table:
            return low, top
        below = [step for step in self.data.table if step <= top]
        above = [step for step in self.data.table if step >= low]
        top = max(below, default=min(self.data.table))
        return min(min(above, default=top), top), top

    def current(self) -> int:
        """Scaling_cur_freq: what the governor asks for on an idle machine."""
        low, top = self.limits()
        if self.limit is not None:
            top = max(low, min(top, self.limit))
        if self.governor == "userspace":
            return clamp(self._speed, low, top)
        return top if self.governor == "performance" else low

    def set_governor(self, text: str) -> None:
        """Scaling_governor; upper and lower case are the same, as in the kernel."""
        word = sscanf_word(text, _GOVERNOR_LENGTH).lower()
        if word not in self.data.governors:
            raise invalid()
        if word == "performance" and self.governor != word:
            self._epp_before, self._epp = self._epp, _EPP_PERFORMANCE
        elif word != "performance" and self.governor == "performance" and self.data.epp_returns:
            self._epp = self._epp_before
        if word == "userspace" and self.governor != word:
            self._speed = self.current()
        self.governor = word

    def set_min(self, text: str) -> None:
        """Scaling_min_freq."""
        self.wanted_min = kstrtoul(text)

    def set_max(self, text: str) -> None:
        """Scaling_max_freq."""
        self.wanted_max = kstrtoul(text)

    def speed(self) -> str:
        """Scaling_setspeed."""
        return str(self._speed) if self.governor == "userspace" else "<unsupported>"

    def set_speed(self, text: str) -> None:
        """Scaling_setspeed: only under the governor userspace."""
        if self.governor != "userspace":
            raise invalid()
        low, top = self.limits()
        wanted = clamp(sscanf_unsigned(text), low, top)
        # CPUFREQ_RELATION_LE: the next frequency of the table at or above
        self._speed = min((step for step in self.data.table if step >= wanted), default=wanted)

    def epp(self) -> str:
        """Energy_performance_preference."""
        names = {value: name for name, value in self.data.epp.items()}
        return names.get(self._epp, str(self._epp))

    def set_epp(self, text: str) -> None:
        """Energy_performance_preference: EBUSY for anything but performance while the governor is performance."""
        word = sscanf_word(text, _EPP_LENGTH)
        if word == "default":
            value = self.data.epp[self.data.epp_default]
        elif self.data.epp_raw and word.isdecimal():
            value = int(word)
            if value > _EPP_HIGHEST:
                raise invalid()
        else:
            value = self.data.epp[match_string(self.data.epp, word)]
        if value != _EPP_PERFORMANCE and self.governor == "performance":
            raise error(errno.EBUSY)
        self._epp = value
