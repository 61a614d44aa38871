"""The rules of the performance run; `performance` applies them."""

from __future__ import annotations

from mlperf_ops.checker.rules import Rule

_CHECK = "submission_checker: checks/performance_check.py"
_RERUN = "Run the cell again"

LOG_UNREADABLE = Rule(
    "log-unreadable",
    "official",
    "detail log is damaged",
    "The official checker ends with a traceback at a damaged log and checks nothing after it.",
    "Copy the log of the run again; where it is damaged there as well, measure again.",
    "submission_checker: parsers/loadgen_parser.py",
    own=f"{_RERUN}; the raw log tells whether it was damaged when it was written or copied.",
)
LOG_INCOMPLETE = Rule(
    "log-incomplete",
    "rules",
    "detail log stops before the end",
    "A run that was cut off has no result, even where enough of its log is there for the official checker.",
    "Measure again and let the run finish.",
    "LoadGen: messages at the end of a test",
    own=f"{_RERUN} and let it finish.",
)
LOG_MODE = Rule(
    "log-mode",
    "rules",
    "run of the other mode",
    "The log of an accuracy run in the place of a performance run, or the reverse, proves nothing; no official checker "
    "looks.",
    "Put the log of the right run into this place.",
    "inference_rules: performance and accuracy modes",
    own="Aggregate again from the raw results; do not copy logs by hand.",
)
LOG_SCENARIO = Rule(
    "log-scenario",
    "official",
    "run of another scenario",
    "Only some results may be inferred from a run of another scenario, and only on edge systems.",
    "Measure in the folder's scenario, or move the run to the folder of its own.",
    _CHECK,
    own=f"{_RERUN} in the folder's scenario.",
)
SEEDS = Rule(
    "seeds",
    "official",
    "seeds of another round",
    "The seeds change every round and are compiled into LoadGen, whose version number does not follow the rounds.",
    "Measure with the round's LoadGen; results of another round are checked by the rules of that round.",
    _CHECK,
    own=f"{_RERUN} with the LoadGen wheel that the round pins.",
)
PERFORMANCE_SAMPLES = Rule(
    "performance-sample-count",
    "official",
    "too few samples in the performance set",
    "A small set fits into caches and looks faster than it is.",
    "Do not override performance_sample_count; use the round's configuration of the benchmark.",
    _CHECK,
)
MIN_QUERIES = Rule(
    "min-queries",
    "official",
    "too few queries or samples",
    "A short query list gives no stable throughput. The official checker compares Offline samples in the closed "
    "division only.",
    "Measure with the round's minimum of queries, and with a target_qps near the real throughput.",
    _CHECK,
    own=f"{_RERUN} with style valid, and with a target_qps near the real throughput.",
)
EQUAL_ISSUE = Rule(
    "equal-issue",
    "rules",
    "samples not issued equally often",
    "Where samples differ much in cost, each must be issued equally often; the official check of it is dead.",
    "Measure with the round's configuration (sample_concatenate_permutation = 1).",
    "LoadGen's mlperf.conf of the round",
    own=f"{_RERUN} with the round's configuration (sample_concatenate_permutation = 1).",
)
MIN_DURATION = Rule(
    "min-duration",
    "official",
    "run is too short",
    "A short run does not reach thermal and power equilibrium, so that its number says little about real use.",
    "Measure again for as long as the round demands, without a shorter min_duration in user.conf.",
    _CHECK,
    own=f"{_RERUN} with style valid (`make run STYLE=valid`).",
)
EARLY_STOPPING = Rule(
    "early-stopping",
    "official",
    "early stopping not met",
    "LoadGen needs a minimum of queries to state a tail latency with confidence.",
    "Measure with more queries, or with a lower target_qps when queries are too slow.",
    _CHECK,
    own=f"{_RERUN} with more queries (style valid), or with a lower target_qps when queries are too slow.",
)
LATENCY_LIMIT = Rule(
    "latency-limit",
    "official",
    "latency above the benchmark's limit",
    "The benchmark's latency limit is part of its definition; a looser one makes another benchmark of it.",
    "Measure with the round's limit, and with a lower target_qps when it is not met.",
    _CHECK,
    own=f"{_RERUN} with the round's limit, and with a lower target_qps when it is not met.",
)
TOKEN_LATENCY = Rule(
    "token-latency",
    "official",
    "first-token or per-token latency",
    "Language models are held to the latency of the first and of every further token. The official checker holds "
    "Interactive results to the looser limits of Server.",
    "Measure with a lower target_qps.",
    _CHECK,
    own=f"{_RERUN} with a lower target_qps.",
)
VALIDITY = Rule(
    "loadgen-validity",
    "rules",
    "LoadGen does not call the run valid",
    "LoadGen itself says whether a run met its own conditions; the modular official checker does not look at it.",
    "Measure again; mlperf_log_summary.txt says which condition was not met.",
    "inference_rules: the run must be VALID",
    own=f"{_RERUN} with style valid; the message says which condition was not met.",
)
CONSTRAINTS = Rule(
    "latency-constraint",
    "rules",
    "target latency not met",
    "The system did not keep up with the query rate: more queries than allowed took longer than the target latency.",
    "Measure with a lower target_qps.",
    "LoadGen: result_perf_constraints_met",
    own=f"{_RERUN} with a lower target_qps.",
)
LOADGEN_ERRORS = Rule(
    "loadgen-errors",
    "rules",
    "errors in the log",
    "LoadGen logs an error where the run cannot be trusted. The modular official checker rejects errors of accuracy "
    "logs and ignores those of performance logs.",
    "Remove what the message names, and measure again.",
    "submission_checker: loadgen_errors_check",
    own=f"{_RERUN} after removing what the message names.",
)
RESULT_VALUE = Rule(
    "result-value",
    "official",
    "no result above zero",
    "The log does not give the number that would be published.",
    "Look in the log for the reason, and measure again.",
    _CHECK,
    own=_RERUN + "; console.log of the attempt tells why there is no number.",
)
SUT_NAME = Rule(
    "network-sut-name",
    "official",
    "SUT name does not say network",
    "In the network division the SUT's name must tell that the queries crossed a network.",
    "Measure with a SUT whose name says Network, as LoadGen's network division asks.",
    _CHECK,
    own=f"{_RERUN} with an implementation for the network division.",
)
RULES = (
    *(LOG_UNREADABLE, LOG_INCOMPLETE, LOG_MODE, LOG_SCENARIO, SEEDS, PERFORMANCE_SAMPLES, MIN_QUERIES, EQUAL_ISSUE),
    *(MIN_DURATION, EARLY_STOPPING, LATENCY_LIMIT, TOKEN_LATENCY, VALIDITY, CONSTRAINTS, LOADGEN_ERRORS, RESULT_VALUE),
    *(SUT_NAME,),
)
