"""Paths of a submission, from the round's own templates."""

from __future__ import annotations

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import SubmissionError
from mlperf_ops.layout import SubmissionLayout


def v61(submitter: str = "Acme", division: str = "open") -> SubmissionLayout:
    return SubmissionLayout.of(load_catalogue().round("v6.1"), division, submitter)  # type: ignore[arg-type]  # a test's word


def test_a_result_of_v61_has_everything_below_its_scenario_folder() -> None:
    paths = v61().result("node1", "resnet50", "Offline")
    scenario = "open/Acme/results/node1/resnet50/Offline"
    assert str(paths.scenario) == scenario
    assert str(paths.performance) == f"{scenario}/performance/run_1"
    assert str(paths.accuracy) == f"{scenario}/accuracy"
    assert str(paths.accuracy_log) == f"{scenario}/accuracy/mlperf_log_accuracy.json"
    assert str(paths.accuracy_text) == f"{scenario}/accuracy/accuracy.txt"
    assert str(paths.measurements) == f"{scenario}/measurements.json"


def test_what_a_submitter_has_once_lies_beside_the_results() -> None:
    layout = v61(division="closed")
    assert str(layout.system("node1")) == "closed/Acme/systems/node1.json"
    assert str(layout.source_readme("resnet50")) == "closed/Acme/src/resnet50/README.md"
    assert str(layout.calibration()) == "closed/Acme/documentation/calibration.md"
    assert str(v61().model_mapping()) == "open/Acme/model_mapping.json"


@pytest.mark.parametrize("name", ["", "two words", "../up", ".hidden", "a/b", "-dash", "new\nline"])
def test_a_name_that_would_break_the_tree_is_refused_wherever_it_comes_from(name: str) -> None:
    with pytest.raises(SubmissionError, match="cannot be a directory name"):
        v61(submitter=name)
    for arguments in ((name, "resnet50", "Offline"), ("node1", name, "Offline"), ("node1", "resnet50", name)):
        with pytest.raises(SubmissionError, match="cannot be a directory name"):
            v61().result(*arguments)


def test_names_of_published_systems_and_benchmarks_are_accepted() -> None:
    paths = v61("U-Florida").result("XE9680_H100-SXM-80GBx8_TRT.v2+x", "llama3.1-8b", "Interactive")
    assert paths.scenario.name == "Interactive"
