"""The golden values are those of the MLCommons automation's user.conf generator."""

from __future__ import annotations

from typing import Any

import pytest

from mlperf_ops.catalogue import Round, load_catalogue
from mlperf_ops.errors import ConfigError
from mlperf_ops.userconf import ConfRequest, UserConf, make_user_conf
from mlperf_ops.userconf_keys import as_text

ROUND: Round = load_catalogue().round("v6.1")
CONF = "resnet50"


def conf(style: str, scenario: str, official: str = "resnet", round_: Round = ROUND, **more: object) -> UserConf:
    fields: dict[str, Any] = {"mode": "performance", "division": "open", **more}
    return make_user_conf(
        ConfRequest(official=official, scenario=scenario, run_style=style, **fields),  # type: ignore[arg-type]
        round_,
    )


def lines(made: UserConf) -> dict[str, str]:
    pairs = (line.split(" = ") for line in made.text.splitlines())
    prefix = f"{made.conf_model}.{made.scenario}."
    return {key.removeprefix(prefix): value for key, value in pairs}


def test_valid_offline_raises_a_measured_target_by_one_percent_and_writes_nothing_else() -> None:
    assert conf("valid", "Offline", measured=100).text == "resnet50.Offline.target_qps = 101.0\n"


def test_valid_single_stream_lowers_a_measured_latency_because_max_duration_ends_the_run() -> None:
    assert conf("valid", "SingleStream", measured=10).text == (
        "resnet50.SingleStream.target_latency = 4.0\nresnet50.SingleStream.max_duration = 660000\n"
    )


def test_valid_multi_stream_with_a_slow_given_latency_gets_no_max_duration() -> None:
    assert lines(conf("valid", "MultiStream", given={"target_latency_ms": 1000})) == {
        "target_latency": "1000",
        "min_query_count": "662",
    }


def test_valid_multi_stream_with_a_fast_given_latency_uses_it_as_it_is() -> None:
    assert lines(conf("valid", "MultiStream", given={"target_latency_ms": 40})) == {
        "target_latency": "40",
        "max_duration": "660000",
        "min_query_count": "662",
    }


def test_fast_server_ends_after_a_fifth_of_the_queries() -> None:
    made = lines(conf("fast", "Server", given={"target_qps": 200}))
    assert made["target_qps"] == "200"
    assert made["max_query_count"] == "26400"
    assert made["max_duration"] == "120000"


def test_a_compliance_run_asks_server_for_a_little_less() -> None:
    given = {"target_qps": 200}
    assert lines(conf("valid", "Server", given=given, compliance="TEST01")) == {"target_qps": "192.0"}
    assert lines(conf("valid", "Server", given=given, compliance="TEST04")) == {"target_qps": "194.0"}
    assert lines(conf("valid", "Offline", given=given, compliance="TEST01")) == {"target_qps": "200"}


def test_fast_offline_asks_for_a_fifth_and_a_stream_for_five_times_the_latency() -> None:
    assert lines(conf("fast", "Offline", given={"target_qps": 200}))["target_qps"] == "40.0"
    assert lines(conf("fast", "SingleStream", given={"target_latency": 2}))["target_latency"] == "10.0"
    assert lines(conf("fast", "MultiStream", measured=10))["target_latency"] == "20.0"


def test_style_test_is_ten_queries_without_a_minimum_duration() -> None:
    assert lines(conf("test", "SingleStream")) == {
        "target_latency": "1000",
        "max_query_count": "10",
        "min_query_count": "10",
        "min_duration": "0",
        "sample_concatenate_permutation": "0",
        "max_duration": "30000",
    }
    assert lines(conf("test", "Offline", given={"target_qps": 500})) == {
        "target_qps": "1",
        "max_query_count": "10",
        "min_query_count": "10",
        "min_duration": "0",
        "sample_concatenate_permutation": "0",
    }
    assert lines(conf("test", "MultiStream"))["target_latency"] == "0.5"
    assert lines(conf("test", "Server", given={"target_qps": 200.5}))["target_qps"] == "200.5"


def test_style_test_with_many_queries_stays_a_matter_of_seconds() -> None:
    server = lines(conf("test", "Server", query_count=700))
    assert server["target_qps"] == "17"  # 41 s, where 1 query per second would take 700 s
    assert server["max_query_count"] == server["min_query_count"] == "700"
    assert lines(conf("test", "MultiStream", query_count=700))["max_duration"] == "210000"  # 300 ms a query, as for 100


def test_nothing_known_asks_for_one_per_second_or_half_a_millisecond_and_says_so() -> None:
    offline, stream = conf("valid", "Offline"), conf("valid", "SingleStream")
    assert lines(offline) == {"target_qps": "1"}
    assert lines(stream) == {"target_latency": "0.5", "max_duration": "660000"}
    assert lines(conf("valid", "Server")) == {"target_qps": "1"}
    assert offline.known_per_second is None
    assert conf("valid", "SingleStream", measured=4).known_per_second == 250
    assert "`mlperf-ops targets -i INVENTORY --write`" in offline.notes[0]
    assert conf("test", "Server").notes == ()


def test_equal_issue_benchmarks_get_no_max_duration_and_other_first_guesses() -> None:
    known = lines(conf("valid", "SingleStream", "3d-unet-99", measured=1000))
    assert known == {"target_latency": "900.0"}
    assert lines(conf("valid", "SingleStream", "3d-unet-99"))["target_latency"] == "400"
    assert lines(conf("valid", "SingleStream", "llama3.1-8b-edge"))["target_latency"] == "100"
    assert lines(conf("test", "Offline", "3d-unet-99"))["target_qps"] == "0.01"


def test_a_slow_measured_stream_gets_no_max_duration_either() -> None:
    assert lines(conf("valid", "SingleStream", measured=7000)) == {"target_latency": "6300.0"}


def test_an_own_minimum_duration_replaces_max_duration_in_style_valid() -> None:
    assert lines(conf("valid", "SingleStream", measured=10, min_duration_ms=990000)) == {
        "target_latency": "9.0",
        "min_duration": "990000",
    }
    assert lines(conf("valid", "Offline", measured=100, min_duration_ms=5000))["min_duration"] == "5000"


def test_accuracy_and_performance_share_one_user_conf() -> None:
    for scenario in ("SingleStream", "MultiStream", "Server", "Offline"):
        accuracy = conf("test", scenario, mode="accuracy")
        performance = conf("test", scenario)
        assert accuracy.text == performance.text
        assert {key for key, value in accuracy.expect.items() if performance.expect.get(key) != value} == {
            "effective_test_mode"
        }


def test_the_users_other_keys_come_last_and_win() -> None:
    made = conf("test", "Server", given={"min_query_count": 64, "max_query_count": 64, "target_latency_ms": 100})
    assert lines(made)["min_query_count"] == "64"
    assert made.text.endswith("resnet50.Server.target_latency = 100\n")


@pytest.mark.parametrize(
    ("scenario", "key", "value"),
    [
        ("Server", "target_latency_ms", 100),
        ("Server", "target_latency_percentile", 90.0),
        ("SingleStream", "target_latency_percentile", 90.0),
        ("MultiStream", "samples_per_query", 4),
        ("Offline", "use_token_latencies", True),
        ("Server", "ttft_latency_ms", 100),
    ],
)
def test_a_key_of_the_open_division_is_refused_in_closed_by_name(scenario: str, key: str, value: object) -> None:
    conf("valid", scenario, given={key: value}, division="open")
    with pytest.raises(ConfigError) as caught:
        conf("valid", scenario, given={key: value}, division="closed", where="lab.yml:7: mlperf_targets.resnet50")
    assert caught.value.message.startswith("lab.yml:7: mlperf_targets.resnet50: ")
    assert f"'{key.removesuffix('_ms')}'" in caught.value.message
    assert "closed division" in caught.value.message


@pytest.mark.parametrize("key", ["qsl_rng_seed", "accuracy_log_probability", "accuracy_log_sampling_target", "mode"])
def test_keys_that_are_not_the_users_are_refused_in_every_division(key: str) -> None:
    for division in ("open", "closed"):
        with pytest.raises(ConfigError, match=key):
            conf("valid", "Offline", given={key: 1}, division=division)


def test_a_mistyped_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown user.conf key 'target_qsp'; did you mean 'target_qps'\?"):
        conf("valid", "Offline", given={"target_qsp": 1})


@pytest.mark.parametrize(
    ("scenario", "key", "value", "expected"),
    [
        ("Offline", "target_qps", 0, "a number above 0"),
        ("Offline", "target_qps", "many", "a number above 0"),
        ("Offline", "target_qps", True, "a number above 0"),
        ("Offline", "min_query_count", 1.5, "a whole number"),
        ("Offline", "min_duration_ms", -1, "a whole number"),
        ("Server", "target_latency_ms", 15.5, "a whole number"),  # LoadGen would cut it to 15
        ("Server", "coalesce_queries", 2, "true or false"),
        ("Offline", "target_qps", "1e999", "a number above 0"),
        ("Offline", "target_qps", float("nan"), "a number above 0"),
        ("Offline", "target_qps", 1e30, "below 18446744073709551616"),
        ("Offline", "min_query_count", 10**400, "a whole number up to 18446744073709551615"),
        ("Server", "max_async_queries", 1 << 31, "a whole number up to 2147483647"),
        ("Server", "min_duration_ms", 9223372036855, "a whole number up to 9223372036854"),
    ],
)
def test_a_value_that_loadgen_would_misread_is_refused(scenario: str, key: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        conf("valid", scenario, given={key: value})


def test_numbers_that_came_as_text_from_the_command_line_are_numbers() -> None:
    assert lines(conf("valid", "Server", given={"target_qps": "12.5", "coalesce_queries": "true"})) == {
        "target_qps": "12.5",
        "coalesce_queries": "1",
    }


def test_one_key_under_two_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        conf("valid", "SingleStream", given={"target_latency": 1, "target_latency_ms": 1})


def test_interactive_is_a_server_run_under_its_own_name() -> None:
    made = conf("valid", "Interactive", "llama2-70b-99.9", given={"target_qps": 2})
    assert made.text == "llama2-70b-interactive.Server.target_qps = 2\n"
    assert made.expect["requested_server_ttft_latency"] == 450_000_000
    with pytest.raises(ConfigError, match="no Interactive scenario for resnet"):
        conf("valid", "Interactive")


def test_a_model_that_the_embedded_file_does_not_know_brings_all_its_rules() -> None:
    made = conf("valid", "Offline", "e2e-rag-qna", given={"target_qps": 3})
    assert made.conf_model == "e2e-rag-qna"
    assert lines(made) == {"target_qps": "3", "performance_sample_count_override": "824", "min_query_count": "824"}
    assert made.expect["effective_performance_sample_count"] == 824


def test_a_model_that_the_embedded_file_knows_in_part_brings_the_rest() -> None:
    made = conf("valid", "Offline", "yolo-99", given={"target_qps": 1})
    assert lines(made) == {"target_qps": "1", "min_query_count": "1525"}


def test_a_valid_offline_run_is_sized_for_660_seconds_and_never_below_the_rules() -> None:
    assert conf("valid", "Offline", measured=100).expect["effective_samples_per_query"] == 66660
    assert conf("valid", "Offline", measured=10).expect["effective_samples_per_query"] == 24576


def test_a_product_shows_no_binary_noise() -> None:
    assert as_text(123.4 * 1.01) == "124.634"
    assert as_text(1e-7) == "0.0000001"
    assert lines(conf("valid", "Offline", measured=1234567.8))["target_qps"] == "1246913.48"
