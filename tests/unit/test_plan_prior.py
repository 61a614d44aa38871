"""Published durations: data of the catalogue, and what a plan makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_ops.catalogue import load_catalogue, read_catalogue
from mlperf_ops.catalogue.folders import BUILT_IN
from mlperf_ops.errors import ConfigError
from mlperf_ops.model import Mode, RunStyle, Scenario
from mlperf_ops.plan_prior import around, prior_seconds, repeat_share

CATALOGUE = load_catalogue()
FILE = "durations/published-v5.1.yaml"


def prior(
    official: str, scenario: Scenario, mode: Mode, style: RunStyle = "valid", catalogue: object = CATALOGUE
) -> tuple[float, float] | None:
    assert isinstance(catalogue, type(CATALOGUE))
    found = prior_seconds(catalogue, catalogue.round("v5.1"), official, scenario, mode, style)
    return None if found is None else (found.low, found.high)


def test_a_prior_reaches_from_the_shortest_to_the_90th_percentile_with_a_tenth_around_it() -> None:
    assert prior("retinanet", "Offline", "performance") == (540.9, 917.4)  # 601 and 834 s; the longest took 11,117 s
    assert prior("llama3.1-405b", "Interactive", "performance") == (1025.1, 8366.6)
    assert prior("stable-diffusion-xl", "SingleStream", "performance") == (669.6, 818.4)  # of one run


def test_a_log_that_ends_at_once_does_not_make_a_run_of_no_time() -> None:
    assert prior("retinanet", "Offline", "accuracy") == (0.0, 715.0)  # nine of ten logs say 0 s, the longest 650 s


def test_a_test_without_a_row_counts_as_a_performance_run_and_accuracy_as_none() -> None:
    performance = prior("llama2-70b-99", "Server", "performance")
    assert prior("llama2-70b-99", "Server", "TEST06") == performance is not None
    assert prior("resnet", "Offline", "TEST01") != prior("resnet", "Offline", "performance")
    assert prior("rgat", "Offline", "accuracy") is None


def test_style_test_takes_accuracy_runs_only_and_style_fast_a_fifth_at_least() -> None:
    assert prior("whisper", "Offline", "performance", "test") is None
    assert prior("whisper", "Offline", "accuracy", "test") == prior("whisper", "Offline", "accuracy")
    assert prior("whisper", "Offline", "performance", "fast") == (108.2, 1230.9)


def test_an_own_file_comes_before_the_built_in_one(tmp_path: Path) -> None:
    text = (BUILT_IN / FILE).read_text().replace("name: published-v5.1", "name: ours")
    old = "performance: [37, 601, 682, 1119, 1231]"
    assert old in text
    text = text.replace(old, "performance: [5, 100, 100, 100, 100]").replace("repeat_share: 0.1", "repeat_share: 0.05")
    path = tmp_path / "durations/ours.yaml"
    path.parent.mkdir()
    path.write_text(text)
    mine = read_catalogue((tmp_path,))
    assert prior("whisper", "Offline", "performance", catalogue=mine) == (90.0, 110.0)
    assert (repeat_share(mine), repeat_share(CATALOGUE), around(mine)) == (0.05, 0.1, (0.0, 30.0))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "[7, 617, 656, 689, 689]",
            "[7, 700, 656, 689, 689]",
            "resnet, Offline, performance: expected [runs, shortest",
        ),
        ("  resnet:", "  resnett:", "unknown benchmark of a round 'resnett'"),
        ("longest: 30", "longest: -1", "longest"),
        ("Offline:\n      performance: [7, 617", "Ofline:\n      performance: [7, 617", "Ofline"),
    ],
)
def test_a_slip_in_the_data_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = (BUILT_IN / FILE).read_text().replace("name: published-v5.1", "name: ours")
    assert old in text
    path = tmp_path / "durations/ours.yaml"
    path.parent.mkdir()
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_catalogue((tmp_path,))
    assert str(path) in caught.value.message
    assert sentence in str(caught.value)
