"""Lint of user.conf: one sentence per mistake, at its line."""

from __future__ import annotations

import random

import pytest

from mlperf_ops.catalogue import load_catalogue
from mlperf_ops.userconf import ConfRequest, make_user_conf
from mlperf_ops.userconf_file import read_user_conf
from mlperf_ops.userconf_lint import lint_user_conf

ROUNDS = load_catalogue().rounds


def lint(text: str, division: str = "closed", round_: str = "v6.1", **more: str) -> list[tuple[int, str, str]]:
    found = lint_user_conf(text, ROUNDS[round_], division, **more)  # type: ignore[arg-type]  # a test's word
    return [(one.line, one.rule, one.message) for one in found]


def only(text: str, division: str = "closed", **more: str) -> tuple[int, str, str]:
    (found,) = lint(text, division, **more)
    return found


def hint(text: str, division: str = "closed", round_: str = "v6.1") -> str:
    (found,) = lint_user_conf(text, ROUNDS[round_], division)  # type: ignore[arg-type]  # a test's word
    return found.hint


def test_a_good_file_has_no_findings() -> None:
    assert lint("# one\n\nresnet50.Offline.target_qps = 100\n*.SingleStream.target_latency = 1.5\n#\n#word\n") == []


@pytest.mark.parametrize(
    ("line", "rule", "says", "hint_"),
    [
        ("resnet50.Offline.target_qps=3", "syntax", "needs spaces around the =", "resnet50.Offline.target_qps = 3"),
        ("resnet50.Offline.target_qps =", "syntax", "there is no value", "give it a value"),
        ("resnet50.Offline.target_qps 3", "syntax", "drops the whole file", "write it as: key = value"),
        ("#words behind the mark", "syntax", "drops the whole file", "put a space behind the #"),
        ("resnet50.Offline.target_qps = 3 # fast", "syntax", "a comment behind a value", "a line of its own"),
        ("resnet50.Offline.target_qps = many", "syntax", "found 'many'", ""),
        ("resnet50.Offline.target_qps = 3 4", "syntax", "takes the last, 4", "keep one"),
        ("target_qps = 3", "syntax", "expected <model>.<Scenario>.<key>", "*.*.target_qps"),
        ("resnet50.Offline.target_qsp = 3", "unknown-key", "knows no key 'target_qsp'", "'target_qps'"),
        ("resnet50.offline.target_qps = 3", "unknown-scenario", "no scenario 'offline'", "'Offline'"),
        (
            "llama2-70b.Interactive.target_qps = 3",
            "unknown-scenario",
            "a Server run under another model name",
            "llama2-70b-interactive.Server.target_qps",
        ),
        ("resnet.Offline.target_qps = 3", "unknown-model", "runs resnet as 'resnet50'", "resnet50.Offline.target_qps"),
        ("resnet51.Offline.target_qps = 3", "unknown-model", "no model 'resnet51'", "'resnet50'"),
        ("llama3.1-8b.Server.target_qps = 3", "unknown-model", "as 'llama3_1-8b'", "llama3_1-8b.Server.target_qps"),
        ("resnet50.Offline.qsl_rng_seed = 3", "ignored-key", "compiled in", ""),
        ("resnet50.Offline.accuracy_log_sampling_target = 3", "audit-key", "belongs to audit.config", ""),
        ("resnet50.Offline.target_latency = 3", "ignored-key", "no effect in scenario Offline", ""),
        ("resnet50.Server.target_latency = 3", "forbidden-key", "not allowed for Server in the closed division", ""),
        ("resnet50.*.target_latency = 3", "forbidden-key", "not allowed for Server in the closed division", ""),
        ("resnet50.SingleStream.target_latency_percentile = 90", "forbidden-key", "the percentile", ""),
        ("resnet50.Offline.performance_issue_same_index = 3", "ignored-key", "without performance_issue_same = 1", ""),
        ("resnet50.Offline.target_duration = 3", "ignored-key", "LoadGen 6.0.17 does not read 'target_duration'", ""),
        ("resnet50.Server.max_query_count = 1e5", "value", "expected a whole number, found 1e5; LoadGen reads 1", ""),
        ("resnet50.Server.max_query_count = 0270336", "value", "without a leading 0", ""),
        ("resnet50.Offline.target_qps = 0", "value", "expected a number above 0", ""),
        ("resnet50.Offline.target_qps = -5", "value", "above 0, found -5; LoadGen reads it as a speed below 0", ""),
        ("resnet50.Offline.target_qps = 1e999", "value", "a finite number above 0, found 1e999; LoadGen reads it", ""),
        ("resnet50.Server.target_qps = -inf", "value", "found -inf; LoadGen reads it as infinite", ""),
        ("resnet50.Offline.target_qps = NaN(x)", "value", "found NaN(x); LoadGen reads it as no number at all", ""),
        ("resnet50.Offline.target_qps = 1e30", "value", "below 18446744073709551616, found 1e30", ""),
        ("resnet50.Offline.target_qps = 1e19", "limit", "would issue 6.6e+21 samples, more than LoadGen can count", ""),
        ("resnet50.SingleStream.target_latency = 0x1p9999", "value", "LoadGen reads it as infinite", ""),
        ("resnet50.*.min_query_count = -5", "value", "0 or more, found -5; LoadGen reads a very large one, 1844", ""),
        ("resnet50.Server.min_duration = 1e999", "value", "a whole number, found 1e999; LoadGen reads 1", ""),
        ("resnet50.Server.min_duration = nan", "value", "a whole number, found nan; LoadGen reads 0", ""),
        ("resnet50.Server.min_duration = 9300000000000", "value", "up to 9223372036854, found 9300000000000;", ""),
        (
            f"resnet50.MultiStream.min_query_count = {'9' * 5000}",
            "value",
            "expected a whole number up to 18446744073709551615, found 999",
            "",
        ),
        ("resnet50.Server.max_async_queries = 4294967301", "value", "LoadGen keeps 32 bits of it", ""),
        ("resnet50.Offline.print_timestamps = nan", "value", "expected 0 or 1, found nan; LoadGen reads 0", ""),
        ("resnet50.Offline.print_timestamps = 2", "value", "expected 0 or 1", ""),
        ("resnet50.SingleStream.min_duration = 599999", "limit", "wants 600 s", ""),
        ("resnet50.SingleStream.max_duration = 60000", "limit", "before the 600 s", ""),
        ("resnet50.SingleStream.performance_sample_count_override = 1023", "limit", "wants 1024 or more", ""),
        ("resnet50.SingleStream.accuracy_sample_count_override = 500", "limit", "wants exactly 50000", ""),
        ("resnet50.MultiStream.max_query_count = 661", "limit", "before the 662 that it needs", ""),
        ("resnet50.Offline.min_query_count = 24575", "limit", "resnet wants 24576 or more", ""),
        ("rgat.Offline.sample_concatenate_permutation = 0", "limit", "every sample equally often", ""),
        ("*.*.min_duration = 1000", "limit", "min_duration is 1 s", ""),
    ],
)
def test_a_mistake_is_one_sentence_at_its_line(line: str, rule: str, says: str, hint_: str) -> None:
    text = f"# first\n{line}\n"
    number, found, message = only(text)
    assert (number, found) == (2, rule)
    assert says in message
    assert hint_ in hint(text)


def test_values_at_their_limits_are_good() -> None:
    assert lint("resnet50.SingleStream.min_duration = 600000\nresnet50.SingleStream.max_duration = 600000\n") == []
    assert (
        lint("resnet50.Offline.min_query_count = 24576\nresnet50.Offline.performance_sample_count_override = 1024\n")
        == []
    )
    assert lint("resnet50.Offline.accuracy_sample_count_override = 50000\n") == []


def test_enough_samples_in_time_make_up_for_a_small_count() -> None:
    text = "resnet50.Offline.min_query_count = 1\nresnet50.Offline.target_qps = {}\n"
    assert lint(text.format("37.3")) == []  # 1.1 x 600 s x 37.3 = 24618
    assert only(text.format("37.2"))[:2] == (1, "limit")
    assert lint(text.format("1"), "open") == []  # the open division is not compared


def test_a_value_that_loadgen_misreads_is_not_compared_with_limits_too() -> None:
    assert only("yolo.Offline.target_qps = inf\n", official="yolo-99", scenario="Offline")[1] == "value"
    assert only("resnet50.Server.min_duration = -1\n", official="resnet", scenario="Server")[1] == "value"
    # Server's bound is whole milliseconds, a stream's need not be; what the division forbids is not judged beside it.
    mixed = "resnet50.*.target_latency = 1.5\n"
    assert "a whole number for Server, found 1.5" in only(mixed, "open")[2]
    assert only(mixed)[1] == "forbidden-key"
    assert "above 0 and below 100" in only("resnet50.Server.target_latency_percentile = 100\n", "open")[2]


@pytest.mark.parametrize("value", ["12.0", "0x10", "1e0", "0000", "+7", "9007199254740993", "18446744073709551615"])
def test_a_count_that_loadgen_reads_as_it_is_written_is_good(value: str) -> None:
    same = "resnet50.*.performance_issue_same = 1\n"
    assert lint(f"{same}resnet50.Server.performance_issue_same_index = {value}\n") == []


def test_a_benchmark_that_loadgen_does_not_configure_needs_lines_of_its_own() -> None:
    text = "yolo.Offline.target_qps = 1\n"
    assert (
        only(text, official="yolo-99", scenario="Offline")[2]
        == "Offline issues 660 samples; yolo-99 wants 1525 or more"
    )
    assert lint(text + "yolo.Offline.min_query_count = 1525\n", official="yolo-99", scenario="Offline") == []
    (missing,) = lint("", official="yolo-99", scenario="Offline")
    assert missing[:2] == (0, "limit")


def test_the_open_division_may_set_the_bounds_of_the_round_within_its_limits() -> None:
    assert lint("resnet50.Server.target_latency = 15\n", "open") == []
    assert (
        only("resnet50.Server.target_latency = 16\n", "open")[2]
        == "target_latency is 16 ms; resnet allows 15 ms in Server"
    )
    assert lint("llama2-70b.Server.ttft_latency = 2000\n", "open") == []
    assert "allows 2000 ms in Server" in only("llama2-70b.Server.ttft_latency = 2001\n", "open")[2]
    assert "allows 40 ms in Interactive" in only("llama2-70b-interactive.Server.tpot_latency = 41\n", "open")[2]
    assert "whose token latencies are not measured" in only("resnet50.Server.ttft_latency = 5\n", "open")[2]
    assert lint("resnet50.Server.ttft_latency = 5\nresnet50.*.use_token_latencies = 1\n", "open") == []
    assert "has to measure token latencies" in only("llama2-70b.Offline.use_token_latencies = 0\n", "open")[2]


def test_a_line_that_another_beats_is_named_with_the_reason() -> None:
    same = "resnet50.Offline.target_qps = 1\nresnet50.Offline.target_qps = 2\n"
    assert only(same) == (1, "overridden", "this line never applies: line 2 beats it")
    assert hint(same) == "of two equal keys the last counts"
    full = "*.Offline.target_qps = 1\nresnet50.Offline.target_qps = 2\n"
    assert lint(full) == []  # the wildcard is for the others
    assert only(full, official="resnet")[:2] == (1, "overridden")
    surprising = "resnet50.*.max_duration = 700000\n*.Server.max_duration = 800000\n"
    assert only(surprising) == (1, "overridden", "this line does not apply to Server: line 2 beats it there")
    assert "write model and scenario in full" in hint(surprising)


def test_a_line_for_all_models_is_judged_by_the_one_that_is_asked_about() -> None:
    text = "*.*.performance_sample_count_override = 5000\n"
    assert lint(text) == []  # enough for some
    assert lint(text, official="resnet") == []
    assert only(text, official="bert-99")[1] == "limit"
    assert only("*.*.performance_sample_count_override = 42\n")[1] == "limit"  # enough for none


def test_lines_for_other_benchmarks_and_scenarios_are_left_alone() -> None:
    text = "bert.Offline.min_query_count = 1\nresnet50.Server.target_latency = 3\nresnet50.Offline.target_qps = 5\n"
    assert lint(text, official="resnet", scenario="Offline") == []
    assert [line for line, *_ in lint(text)] == [1, 2]


def test_a_file_of_which_no_line_applies_is_not_called_fine() -> None:
    text = "bert.Offline.target_qps = 4\nresnet50.Server.target_qps = 3\n"
    assert lint(text) == []
    assert only(text, official="resnet", scenario="Offline") == (
        0,
        "nothing-applies",
        "no line applies to resnet in Offline: the file is for bert.Offline, resnet50.Server",
    )
    assert "of whisper" not in only(text, official="whisper")[2]
    for empty in ("", "# only words\n"):
        assert only(empty) == (0, "nothing-applies", "the file sets nothing: LoadGen runs with its own settings")
    assert only("*.Server.target_qps = 3\n", official="resnet", scenario="Offline")[1] == "nothing-applies"


def test_a_scenario_that_the_benchmark_lacks_in_the_round_is_named_with_those_that_it_has() -> None:
    text = "whisper.Server.target_qps = 4\n"
    assert only(text) == (
        1,
        "unknown-scenario",
        "round v6.1 has no Server scenario of whisper in the closed division; it has Offline",
    )
    assert lint(text, "open") == []  # which may choose freely


def test_a_name_of_ones_own_is_possible_in_the_open_division_only() -> None:
    text = "mobilenet.Offline.target_qps = 5\n"
    assert "never applies" in only(text)[2]
    assert "applies only if the SUT gives LoadGen this name" in only(text, "open")[2]


def test_each_round_has_its_own_models_keys_and_limits() -> None:
    assert lint("retinanet.Offline.target_qps = 5\n", round_="v5.1") == []
    assert only("retinanet.Offline.target_qps = 5\n")[1] == "unknown-model"
    assert (
        "LoadGen 5.1.2 does not read" in only("resnet50.Offline.accuracy_sample_count_override = 5\n", round_="v5.1")[2]
    )
    assert lint("e2e-rag-db.Offline.min_duration = 0\ne2e-rag-db.Offline.min_query_count = 2515\n") == []


@pytest.mark.parametrize("round_", ROUNDS)
def test_what_we_write_for_a_submission_has_no_findings(round_: str) -> None:
    for official, rules in ROUNDS[round_].models.items():
        for scenario in dict.fromkeys(name for suite in rules.suites.values() for name in suite.all):
            if scenario == "Interactive" and ROUNDS[round_].no_interactive(official) is not None:
                continue
            request = ConfRequest(official, scenario, "performance", "closed", "valid", measured=50.0)
            text = make_user_conf(request, ROUNDS[round_]).text
            # dlrm-v3: the file sets no bound, and LoadGen's own is in the round
            assert lint(text, round_=round_, official=official, scenario=scenario) == [], (official, scenario)


WORDS = ["resnet50", "*", "Offline", "Server", ".", "target_qps", "min_duration", "=", " = ", " ", "\n", "#", "1", "-3"]
ODD = [
    "07",
    "1e9",
    "inf",
    "1e999",
    "-0x.8p-9999",
    "9" * 40,
    "0x1F",
    "\u00b2",
    "\x1c",
    "\x85",
    "nan",
    "_",
    "resnet50.Offline.target_qps = ",
]


def test_no_text_is_too_odd() -> None:
    chance = random.Random(0)  # noqa: S311  # the same texts every time
    for _ in range(2000):
        words = [*WORDS, *ODD, chr(chance.randrange(0x2100))]
        text = "".join(chance.choice(words) for _ in range(chance.randrange(14)))
        found, findings = read_user_conf(text)
        assert min([1, *(one.line for one in found), *(one.line for one in findings)]) == 1
        for one in lint_user_conf(text, ROUNDS["v6.1"], "open", official="resnet", scenario="Offline"):
            assert one.message
