"""The LoadGen of each round: its compiled-in seeds, and what it makes of every user.conf that we write for the round.

The wheel of the newest round is installed with the test tools. Others take part when MLPERF_LOADGEN_PYTHONS names an
interpreter for them, such as "v5.1=/opt/v5.1/bin/python:v6.0=/opt/v6.0/bin/python", made by
`pip install --require-hashes -r mlperf_ops/catalogue/locks/harness-v5.1.txt`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mlperf_ops.catalogue import Round, load_catalogue
from mlperf_ops.loadgen_log import read_detail
from mlperf_ops.loadgen_settings import TEST_MODES
from mlperf_ops.model import Mode, RunStyle
from mlperf_ops.userconf import ConfRequest, UserConf, make_user_conf
from tests.support.loadgen_cases import SAMPLES, Case, log_settings

pytestmark = pytest.mark.integration

ROUNDS = load_catalogue().rounds
NAMED = dict(one.split("=", 1) for one in os.environ.get("MLPERF_LOADGEN_PYTHONS", "").split(os.pathsep) if one)


def interpreter(round_: Round) -> str:
    """Return a Python that has the round's wheel, or skip."""
    python = NAMED.get(round_.name, sys.executable)
    show = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    done = subprocess.run(
        [python, "-c", show, round_.loadgen.package], capture_output=True, text=True, check=False, timeout=60
    )
    if done.stdout.strip() != round_.loadgen.version:
        pytest.skip(f"{python} has no {round_.loadgen.package} {round_.loadgen.version} (MLPERF_LOADGEN_PYTHONS)")
    return python


def cases(round_: Round) -> Iterator[tuple[str, Mode, UserConf]]:
    """Yield every model of the round in every scenario of its suites, run style and mode."""
    for model, rules in round_.models.items():
        for scenario in dict.fromkeys(name for suite in rules.suites.values() for name in suite.all):
            if scenario == "Interactive" and round_.no_interactive(model) is not None:
                continue
            for style in get_args(RunStyle):
                for mode in get_args(Mode):
                    request = ConfRequest(
                        model, scenario, mode, "open", style, measured=321.0, total_sample_count=SAMPLES
                    )
                    yield f"{model}-{scenario}-{style}-{mode}", mode, make_user_conf(request, round_)


@pytest.mark.parametrize("name", ROUNDS)
def test_the_rounds_loadgen_logs_its_seeds_and_every_setting_that_is_expected(name: str, tmp_path: Path) -> None:
    round_ = ROUNDS[name]
    python = interpreter(round_)
    made = list(cases(round_))
    asked = []
    for label, mode, conf in made:
        (tmp_path / label).mkdir()
        (tmp_path / label / "user.conf").write_text(conf.text)
        asked.append(Case(tmp_path / label, conf.conf_model, conf.scenario, TEST_MODES[mode]))
    log_settings(asked, python)
    wrong: dict[str, object] = {}
    for label, _, conf in made:
        log = read_detail(tmp_path / label / "mlperf_log_detail.txt").values
        version = str(log["loadgen_version"])
        assert version == f"{round_.loadgen.version} @ {round_.loadgen.commit[: len(version.split(' @ ')[1])]}"
        differing = {key: (value, log.get(key)) for key, value in conf.expect.items() if log.get(key) != value}
        if differing:
            wrong[label] = differing
    assert wrong == {}
    assert len(made) > 200
