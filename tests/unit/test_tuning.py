"""Which settings hold for a host and for a cell, and what a mistake in them is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue, read_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.plan_model import Plan
from mlperf_ops.tuning import BenchmarkTuning, Numactl, Tuning, for_scenario, resolve
from tests.support.earlier import plan

_BENCHMARK = "efficientnet-lite0"


def planned(benchmark_tuning: dict[str, Any] | None = None, **changes: Any) -> Plan:  # noqa: ANN401  # any JSON
    entry: dict[str, Any] = {"benchmark": _BENCHMARK, "scenarios": ["SingleStream", "Offline"]}
    if benchmark_tuning:
        entry["tuning"] = benchmark_tuning
    return plan(benchmarks=[entry], **changes)


def profiles(made: Plan) -> dict[str, Any]:
    found = {}
    for cell in made.cells:
        assert cell.request is not None
        found[cell.cell.key.removeprefix(f"a/{_BENCHMARK}/")] = cell.request["host_profile"]
    return found


def digests(made: Plan) -> dict[str, str | None]:
    return {cell.cell.key: cell.request_sha256 for cell in made.cells}


def test_without_a_profile_nothing_is_asked_and_no_request_changes() -> None:
    made = planned()
    assert made.hosts[0].tuning == {}
    assert set(map(str, profiles(made).values())) == {"{}"}
    assert digests(made) == digests(planned(tuning_profile="dummy"))


def test_settings_of_a_host_lie_over_its_profile_and_null_takes_one_back() -> None:
    made = planned(
        tuning_profile="generic-linux",
        tuning={"governor": "powersave", "drop_caches": None, "sysctls": {"vm.swappiness": 10, "vm.dirty_ratio": None}},
    )
    assert made.hosts[0].tuning == {
        "governor": "powersave",
        "nmi_watchdog": False,
        "numa_balancing": False,
        "sysctls": {"vm.swappiness": 10, "vm.zone_reclaim_mode": 1},
    }
    assert set(map(str, profiles(made).values())) == {str(made.hosts[0].tuning)}


def test_a_changed_setting_of_a_scenario_makes_exactly_its_cells_stale() -> None:
    before = planned(tuning={"governor": "performance"})
    after = planned({"turbo": True, "Offline": {"turbo": False}}, tuning={"governor": "performance"})
    offline = planned({"Offline": {"turbo": False}}, tuning={"governor": "performance"})
    assert after.hosts[0].tuning == before.hosts[0].tuning == {"governor": "performance"}
    assert profiles(after)["Offline/accuracy"] == {"governor": "performance", "turbo": False}
    assert profiles(after)["SingleStream/performance"] == {"governor": "performance", "turbo": True}
    changed = {key for key, digest in digests(offline).items() if digests(before)[key] != digest}
    assert changed == {f"a/{_BENCHMARK}/Offline/accuracy", f"a/{_BENCHMARK}/Offline/performance"}


def test_pinning_goes_before_the_command_and_is_no_state_of_the_host() -> None:
    made = planned({"taskset": "0-3"}, tuning={"numactl": {"cpunodebind": 0, "membind": "0"}})
    (request, *_) = [cell.request for cell in made.cells]
    assert request is not None
    words = ["numactl", "--cpunodebind=0", "--membind=0", "taskset", "-c", "0-3", "{python}"]
    assert list(request["argv"])[: len(words)] == words  # type: ignore[arg-type]  # JSON
    assert request["host_profile"] == {}
    assert request["confinement"] == {"cpus": ("0-3",), "cpu_nodes": "0", "memory_nodes": "0", "memory_max_mib": None}
    assert Numactl(interleave="all", localalloc=False).words() == ["numactl", "--interleave=all"]
    assert Numactl(preferred=0).words() == ["numactl", "--preferred=0"]


def test_without_pinning_a_request_is_what_it_was_before_there_were_units() -> None:
    (request, *_) = [cell.request for cell in planned().cells]
    assert request is not None
    assert "confinement" not in request
    (limited, *_) = [cell.request for cell in planned(tuning={"memory_max_mib": 2048}).cells]
    assert limited is not None
    assert limited["confinement"]["memory_max_mib"] == 2048  # type: ignore[index,call-overload]  # JSON
    assert limited["argv"] == request["argv"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"tuning": {"governer": "performance"}},
            "mlperf_tuning: unknown key 'governer'; expected one of cstate_max_latency_us, .*did you mean 'governor'",
        ),
        (
            {"tuning": {"thp_enabled": "allways"}},
            "mlperf_tuning.thp_enabled: unknown value 'allways'; expected one of always, .*did you mean 'always'",
        ),
        ({"tuning": {"irq_cpus": "0..3"}}, "mlperf_tuning.irq_cpus: expected a Linux CPU list such as 0-3,8"),
        ({"tuning": {"hugepages": [{"size_kb": 2048}]}}, r"hugepages\[0\]: unknown key 'size_kb'.*'size_kib'"),
        ({"tuning": {"sysctls": {"vm.drop_caches": 3}}}, "vm.drop_caches is an act, not a state; use drop_caches"),
        ({"tuning": {"sysctls": {"../etc/x": 3}}}, "expected the name of a sysctl such as vm.swappiness"),
        (
            {"tuning": {"min_frequency_khz": 3, "max_frequency_khz": 2}},
            "mlperf_tuning: min_frequency_khz 3 is above max_frequency_khz 2",
        ),
        (
            {"tuning": {"numactl": {"membind": "0", "interleave": "all"}}},
            "mlperf_tuning.numactl: expected one memory policy, found membind and interleave",
        ),
        (
            {"tuning_profile": "epic-performance"},
            "mlperf_tuning_profile: unknown platform 'epic-performance'.*did you mean 'epyc-performance'",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_key_and_nearest_name(variables: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        planned(**variables)
    assert "\n" not in str(caught.value)


def test_a_mistake_inside_a_scenario_is_found_there() -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\[0\].tuning.Offline: unknown key 'turbbo'.*'turbo'"):
        planned({"Offline": {"turbbo": True}})
    with pytest.raises(ConfigError, match=r"benchmarks\[0\].tuning: unknown key 'Ofline'.*'Offline'"):
        planned({"Ofline": {"turbo": True}})


def test_layers_that_contradict_each_other_are_refused_with_the_place() -> None:
    with pytest.raises(ConfigError, match=r"tuning: together with the profile, min_frequency_khz 3000000 is above"):
        planned({"max_frequency_khz": 1000000}, tuning={"min_frequency_khz": 3000000})


def test_every_profile_can_be_resolved_and_says_why() -> None:
    catalogue = load_catalogue()
    names = {"dummy", "generic-linux", "epyc-performance", "xeon-performance", "rpi4", "jetson"}
    assert set(catalogue.platforms) >= names
    for name, platform in catalogue.platforms.items():
        resolved = resolve(platform.tuning, where=name)
        assert bool(resolved.profile) == (name != "dummy")
        assert set(resolved.profile) <= set(Tuning.model_fields)


def test_a_profile_with_a_mistyped_setting_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "platforms"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "---\nschema: 1\nname: mine\nsettings:\n  turbbo: {value: true, why: Because., source: me}\n"
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml:5: settings: unknown key 'turbbo'.*'turbo'"):
        read_catalogue((tmp_path,))


def test_scenario_layers_come_after_those_of_the_benchmark() -> None:
    tuning = BenchmarkTuning(swap=False, Offline=Tuning(swap=None))
    assert resolve(*for_scenario(tuning, "Server"), where="").profile == {"swap": False}
    assert resolve(*for_scenario(tuning, "Offline"), where="").profile == {}
