"""Schedules: nobody does two things at once, nothing has two holders, and no order is worse than the one given."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlperf_ops.schedule import Job, Schedule, best_order, critical_path, finish, simulate


def job(name: str, seconds: float, *holds: str) -> Job:
    """Make a job of the host that the name's first letter names."""
    return Job(name, name[0], seconds, holds)


def times(schedule: Schedule) -> dict[str, tuple[float, float]]:
    return {slot.job.key: (slot.start, slot.end) for slot in schedule}


def test_hosts_work_in_parallel_and_their_cells_in_turn() -> None:
    made = simulate([job("a1", 10), job("b1", 7), job("a2", 5)])
    assert times(made) == {"a1": (0, 10), "b1": (0, 7), "a2": (10, 15)}
    assert [slot.job.key for slot in critical_path(made)] == ["a1", "a2"]
    assert simulate([]) == ()
    assert (finish(()), critical_path(())) == (0.0, ())


def test_a_shared_thing_is_given_to_whoever_queued_first_and_the_path_crosses_hosts() -> None:
    made = simulate([job("a1", 10, "meter"), job("a2", 1), job("b1", 2), job("b2", 20, "meter"), job("c1", 30)])
    assert times(made)["b2"] == (10, 30)
    (waiting,) = [slot for slot in made if slot.waits_for]
    assert (waiting.job.key, waiting.ready, waiting.waits_for) == ("b2", 2, "meter")
    assert [slot.job.key for slot in critical_path(made)] == ["c1"]
    longer = simulate([job("a1", 10, "meter"), job("b2", 25, "meter"), job("b3", 1)])
    assert [slot.job.key for slot in critical_path(longer)] == ["a1", "b2", "b3"]


def test_a_job_of_unknown_duration_keeps_what_it_holds() -> None:
    made = times(simulate([job("a1", math.inf, "meter"), job("b1", 1), job("b2", 5, "meter"), job("b3", 1)]))
    assert made["b1"][1] == 1
    assert made["b2"][1] == made["b3"][1] == math.inf


def test_the_order_lets_hosts_do_other_cells_while_one_holds_the_meter() -> None:
    given_order = [job("a1", 10, "meter"), job("a2", 10), job("b1", 10, "meter"), job("b2", 10)]
    assert finish(simulate(given_order)) == 30
    assert finish(simulate(best_order(given_order))) == 20


def test_without_anybody_to_wait_for_the_order_stays() -> None:
    alone = [job("a1", 1, "meter"), job("b1", 9), job("a2", 5, "meter")]
    assert best_order(alone) == tuple(alone)


def test_an_unknown_duration_counts_as_the_longest_known_one() -> None:
    unknown = [job("a1", math.inf, "meter"), job("a2", 10), job("b1", 10, "meter"), job("b2", 10)]
    order = best_order(unknown)
    assert sorted(one.key for one in order) == ["a1", "a2", "b1", "b2"]
    assert next(one for one in order if one.key == "a1").seconds == math.inf
    known = [Job(one.key, one.host, min(one.seconds, 10), one.holds) for one in order]
    assert finish(simulate(known)) == 20


# --- for any campaign ------------------------------------------------------------------------------------------------

PARTS = st.tuples(
    st.sampled_from("abcd"), st.integers(0, 50), st.sampled_from([(), ("meter",), ("switch",), ("meter", "switch")])
)


def campaigns(most: int = 14) -> st.SearchStrategy[tuple[Job, ...]]:
    return st.lists(PARTS, max_size=most).map(
        lambda parts: tuple(job(f"{host}{at}", seconds, *holds) for at, (host, seconds, holds) in enumerate(parts))
    )


def overlaps(slots: Sequence[tuple[float, float]]) -> bool:
    ordered = sorted(slots)
    return any(first[1] > second[0] for first, second in itertools.pairwise(ordered))


def uses(schedule: Schedule) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for slot in schedule:
        for name in (f"host {slot.job.host}", *slot.job.holds):
            found.setdefault(name, []).append((slot.start, slot.end))
    return found


@settings(deadline=None)
@given(campaigns())
def test_never_two_cells_on_a_host_nor_two_holders_of_a_thing(jobs: tuple[Job, ...]) -> None:
    for order in (jobs, best_order(jobs)):
        made = simulate(order)
        assert sorted(slot.job.key for slot in made) == sorted(one.key for one in jobs)
        assert not any(overlaps(slots) for slots in uses(made).values())
        for slot in made:
            assert slot.end - slot.start == slot.job.seconds
            assert slot.start >= slot.ready >= 0
        for host in {one.host for one in jobs}:
            ran = [slot.job for slot in made if slot.job.host == host]
            assert ran == [one for one in order if one.host == host]


@settings(deadline=None)
@given(campaigns())
def test_no_order_is_worse_than_the_one_given_nor_better_than_can_be(jobs: tuple[Job, ...]) -> None:
    naive, best = finish(simulate(jobs)), finish(simulate(best_order(jobs)))
    busy = [sum(end - start for start, end in slots) for slots in uses(simulate(jobs)).values()]
    assert max(busy, default=0) <= best <= naive
    assert best_order(jobs) == best_order(jobs)


@settings(deadline=None)
@given(campaigns())
def test_the_critical_path_has_no_gap_and_ends_with_the_campaign(jobs: tuple[Job, ...]) -> None:
    made = simulate(jobs)
    path = critical_path(made)
    if not path:
        assert not jobs
        return
    assert path[0].start == 0
    assert path[-1].end == finish(made)
    for before, after in itertools.pairwise(path):
        assert before.end == after.start
        assert before.job.host == after.job.host or set(before.job.holds) & set(after.job.holds)


def every_order(jobs: Sequence[Job]) -> Iterator[tuple[Job, ...]]:
    hosts = sorted({one.host for one in jobs})
    own = [itertools.permutations([one for one in jobs if one.host == host]) for host in hosts]
    for orders in itertools.product(*own):
        yield tuple(one for order in orders for one in order)


def test_small_campaigns_end_about_as_early_as_any_order_could() -> None:
    """Against all orders: no campaign is a tenth later, and nine of ten are as early as possible."""
    numbers = random.Random(5)  # noqa: S311  # no secret
    ratios: list[float] = []
    for _ in range(50):
        held = [numbers.choice([(), (), ("meter",), ("switch",), ("meter", "switch")]) for _ in range(6)]
        jobs = [job(f"{'ab'[at % 2]}{at}", numbers.randint(1, 50), *holds) for at, holds in enumerate(held)]
        best = min(finish(simulate(order)) for order in every_order(jobs))
        ratios.append(finish(simulate(best_order(jobs))) / best)
    assert max(ratios) <= 1.1
    assert sum(1 for ratio in ratios if ratio > 1) <= len(ratios) / 10


@pytest.mark.parametrize("hosts", [3, 8])
def test_a_lab_with_one_meter_ends_when_its_busiest_part_does(hosts: int) -> None:
    """Two of six cells of each host need the meter: the others fill the waiting."""
    jobs = [
        Job(f"{host}/{turn}", str(host), 600.0 + 10 * turn, ("meter",) if turn in {1, 3} else ())
        for host in range(hosts)
        for turn in range(6)
    ]
    busiest = max(sum(one.seconds for one in jobs if one.host == "0"), sum(one.seconds for one in jobs if one.holds))
    assert finish(simulate(best_order(jobs))) <= busiest * 1.1
