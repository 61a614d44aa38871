"""user.conf of every class of benchmark, in the rounds and run styles; one line per fact of LoadGen's own file."""

from __future__ import annotations

from typing import Any

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.userconf import ConfRequest, UserConf, make_user_conf

ROUNDS = load_catalogue().rounds
MS = 1_000_000


def conf(round_: str, official: str, scenario: str, style: str = "valid", **more: object) -> UserConf:
    fields: dict[str, Any] = {"mode": "performance", "division": "closed", **more}
    return make_user_conf(
        ConfRequest(official=official, scenario=scenario, run_style=style, **fields),  # type: ignore[arg-type]
        ROUNDS[round_],
    )


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize(
    ("official", "scenario", "more", "text"),
    [
        # an image benchmark, whose counts and bounds LoadGen knows
        ("resnet", "Offline", {"measured": 100}, "resnet50.Offline.target_qps = 101.0\n"),
        (
            "resnet",
            "SingleStream",
            {"measured": 10},
            "resnet50.SingleStream.target_latency = 4.0\nresnet50.SingleStream.max_duration = 660000\n",
        ),
        # language, under one name for both targets
        ("bert-99", "Offline", {"measured": 100}, "bert.Offline.target_qps = 101.0\n"),
        ("bert-99.9", "Offline", {"measured": 100}, "bert.Offline.target_qps = 101.0\n"),
        # equal issue: no max_duration, and the latency is lowered less
        ("3d-unet-99.9", "SingleStream", {"measured": 1000}, "3d-unet.SingleStream.target_latency = 900.0\n"),
        # token latencies: the bounds are LoadGen's own and not repeated
        ("llama3.1-8b", "Server", {"given": {"target_qps": 3}}, "llama3_1-8b.Server.target_qps = 3\n"),
        (
            "llama3.1-8b",
            "Interactive",
            {"given": {"target_qps": 3}},
            "llama3_1-8b-interactive.Server.target_qps = 3\n",
        ),
        (
            "llama3.1-8b-edge",
            "SingleStream",
            {"measured": 100},
            "llama3_1-8b-edge.SingleStream.target_latency = 90.0\n",
        ),
        ("whisper", "Offline", {"measured": 5}, "whisper.Offline.target_qps = 5.05\n"),
        ("rgat", "Offline", {"measured": 1000}, "rgat.Offline.target_qps = 1010.0\n"),
        (
            "stable-diffusion-xl",
            "SingleStream",
            {"measured": 2000},
            (
                "stable-diffusion-xl.SingleStream.target_latency = 800.0\n"
                "stable-diffusion-xl.SingleStream.max_duration = 660000\n"
            ),
        ),
    ],
)
def test_benchmarks_of_every_round_get_the_same_lines(
    round_: str, official: str, scenario: str, more: dict[str, Any], text: str
) -> None:
    made = conf(round_, official, scenario, **more)
    assert made.text == text
    assert made.expect["effective_qsl_rng_seed"] == ROUNDS[round_].seeds.qsl_rng_seed


@pytest.mark.parametrize(
    ("round_", "official", "scenario", "ttft_ms", "tpot_ms"),
    [
        ("v5.1", "llama2-70b-99", "Server", 2000, 200),
        ("v5.1", "llama2-70b-99.9", "Interactive", 450, 40),
        ("v5.1", "llama3.1-405b", "Interactive", 4500, 80),
        ("v5.1", "mixtral-8x7b", "Server", 2000, 200),
        ("v5.1", "deepseek-r1", "Server", 2000, 80),
        ("v6.0", "deepseek-r1", "Interactive", 1500, 15),
        ("v6.0", "gpt-oss-120b", "Server", 3000, 80),
        ("v6.1", "gpt-oss-120b", "Interactive", 2000, 15),
        ("v6.1", "llama3.1-8b", "Server", 2000, 100),
        ("v6.1", "llama3.1-8b", "Interactive", 500, 30),
    ],
)
def test_the_log_has_to_show_the_token_latencies_that_loadgen_embeds(
    round_: str, official: str, scenario: str, ttft_ms: int, tpot_ms: int
) -> None:
    made = conf(round_, official, scenario, given={"target_qps": 2})
    assert made.scenario == "Server"
    assert made.text.count("\n") == 1
    assert made.expect["requested_use_token_latencies"] is True
    assert made.expect["requested_server_ttft_latency"] == ttft_ms * MS
    assert made.expect["requested_server_tpot_latency"] == tpot_ms * MS
    assert made.expect["requested_server_target_latency_ns"] == 0
    assert made.expect["effective_sample_concatenate_permutation"] is True
    offline = conf(round_, official, "Offline", given={"target_qps": 2}).expect
    assert offline["requested_use_token_latencies"] is True
    assert "requested_server_ttft_latency" not in offline


def test_a_vision_language_model_is_bounded_by_its_whole_latency() -> None:
    made = conf("v6.1", "qwen3-vl-235b-a22b", "Server", given={"target_qps": 2})
    assert made.expect["requested_server_target_latency_ns"] == 12_000 * MS
    assert "requested_use_token_latencies" not in made.expect


@pytest.mark.parametrize(
    ("round_", "official", "sentence"),
    [
        (
            "v6.1",
            "qwen3-vl-235b-a22b",
            (
                "LoadGen 6.0.17 has no configuration for qwen3-vl-235b-a22b in the scenario Interactive; such results "
                "come from MLPerf Endpoints"
            ),
        ),
        (
            "v5.1",
            "deepseek-r1",
            "round v5.1 knows no Interactive scenario for deepseek-r1; it has SingleStream, Server, Offline",
        ),
        (
            "v6.1",
            "resnet",
            "round v6.1 knows no Interactive scenario for resnet; it has SingleStream, MultiStream, Server, Offline",
        ),
    ],
)
def test_an_interactive_run_that_loadgen_cannot_do_is_refused(round_: str, official: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        conf(round_, official, "Interactive")
    assert caught.value.message == sentence


def test_what_loadgen_s_own_file_lacks_is_written() -> None:
    yolo = "yolo.Offline.target_qps = 1\nyolo.Offline.min_query_count = 1525\n"
    assert conf("v6.0", "yolo-95", "Offline", given={"target_qps": 1}).text == yolo
    qna = conf("v6.1", "e2e-rag-qna", "Offline", given={"target_qps": 1}).text
    assert "e2e-rag-qna.Offline.performance_sample_count_override = 824\n" in qna
    agent = conf("v6.1", "qwen3.6-27b", "SingleStream", measured=1000).text
    assert "qwen3.6-27b.SingleStream.performance_sample_count_override = 995\n" in agent
    recommender = conf("v6.1", "dlrm-v3", "Server", given={"target_qps": 1}).text
    assert recommender == ("dlrm-v3.Server.target_qps = 1\ndlrm-v3.Server.performance_sample_count_override = 349823\n")


def test_a_percentile_of_99_9_gets_no_max_duration() -> None:
    made = conf("v6.0", "pointpainting", "SingleStream", measured=10)
    assert made.text == "pointpainting.SingleStream.target_latency = 9.0\n"


def test_accuracy_runs_of_a_benchmark_with_two_data_sets_cover_the_other() -> None:
    made = conf("v6.1", "gpt-oss-120b", "Offline", mode="accuracy", total_sample_count=6396)
    assert made.expect["effective_accuracy_sample_count"] == 4395
    assert made.expect["requested_accuracy_sample_count_override"] == 4395


def test_loadgen_of_v5_1_neither_reads_nor_logs_the_size_of_an_accuracy_run() -> None:
    made = conf("v5.1", "resnet", "Offline", total_sample_count=50000)
    assert not [key for key in made.expect if "accuracy_sample_count" in key]
    with pytest.raises(ConfigError, match=r"unknown user\.conf key 'accuracy_sample_count_override'"):
        conf("v5.1", "resnet", "Offline", given={"accuracy_sample_count_override": 5})


@pytest.mark.parametrize(
    ("official", "target_qps"),
    [
        ("llama2-70b-99", "0.01"),
        ("llama2-70b-99.9", "0.01"),
        ("3d-unet-99", "0.01"),
        ("stable-diffusion-xl", "0.05"),
        ("bert-99", "1"),
    ],
)
def test_style_test_asks_slow_benchmarks_for_less(official: str, target_qps: str) -> None:
    assert conf("v5.1", official, "Offline", "test").text.startswith(
        f"{conf('v5.1', official, 'Offline').conf_model}.Offline.target_qps = {target_qps}\n"
    )


def test_style_fast_caps_server_and_issues_samples_as_they_come() -> None:
    assert conf("v6.1", "llama3.1-8b", "Interactive", "fast", given={"target_qps": 10}).text == (
        "llama3_1-8b-interactive.Server.target_qps = 10\n"
        "llama3_1-8b-interactive.Server.max_query_count = 1320\n"
        "llama3_1-8b-interactive.Server.max_duration = 120000\n"
        "llama3_1-8b-interactive.Server.sample_concatenate_permutation = 0\n"
    )


@pytest.mark.parametrize(
    ("scenario", "lines"),
    [
        (
            "Offline",
            {"target_qps": "101.0", "min_duration": "300000", "max_query_count": "30300", "min_query_count": "0"},
        ),
        ("SingleStream", {"target_latency": "40.0", "max_duration": "300000", "min_duration": "300000"}),
        (
            "MultiStream",
            {"target_latency": "40.0", "max_duration": "300000", "min_query_count": "662", "min_duration": "300000"},
        ),
        ("Server", {"target_qps": "101.0", "min_duration": "300000"}),
    ],
)
def test_a_ranging_run_is_short(scenario: str, lines: dict[str, str]) -> None:
    made = conf("v6.1", "resnet", scenario, measured=100, ranging=True)
    assert made.text == "".join(f"resnet50.{scenario}.{key} = {value}\n" for key, value in lines.items())
