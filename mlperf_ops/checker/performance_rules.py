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
    f"{_RERUN}; the raw log tells whether it was damaged when it was written or copied.",
    "submission_checker: parsers/loadgen_parser.py",
)
LOG_INCOMPLETE = Rule(
    "log-incomplete",
    "rules",
    "detail log stops before the end",
    "A run that was cut off has no result, even where enough of its log is there for the official checker.",
    f"{_RERUN} and let it finish.",
    "LoadGen: messages at the end of a test",
)
LOG_MODE = Rule(
    "log-mode",
    "rules",
    "run of the other mode",
    "The log of an accuracy run in the place of a performance run, or the reverse, proves nothing; no official checker "
    "looks.",
    "Aggregate again from the raw results; do not copy logs by hand.",
    "inference_rules: performance and accuracy modes",
)
LOG_SCENARIO = Rule(
    "log-scenario",
    "official",
    "run of another scenario",
    "Only some results may be inferred from a run of another scenario, and only on edge systems.",
    f"{_RERUN} in the folder's scenario.",
    _CHECK,
)
SEEDS = Rule(
    "seeds",
    "official",
    "seeds of another round",
    "The seeds change every round and are compiled into LoadGen, whose version number does not follow the rounds.",
    f"{_RERUN} with the LoadGen wheel that the round pins.",
    _CHECK,
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
    f"{_RERUN} with style valid, and with a target_qps near the real throughput.",
    _CHECK,
)
EQUAL_ISSUE = Rule(
    "equal-issue",
    "rules",
    "samples not issued equally often",
    "Where samples differ much in cost, each must be issued equally often; the official check of it is dead.",
    f"{_RERUN} with the round's configuration (sample_concatenate_permutation = 1).",
    "LoadGen's mlperf.conf of the round",
)
MIN_DURATION = Rule(
    "min-duration",
    "official",
    "run is too short",
    "A short run does not reach thermal and power equilibrium, so that its number says little about real use.",
    f"{_RERUN} with style valid (`make run STYLE=valid`).",
    _CHECK,
)
EARLY_STOPPING = Rule(
    "early-stopping",
    "official",
    "early stopping not met",
    "LoadGen needs a minimum of queries to state a tail latency with confidence.",
    f"{_RERUN} with more queries (style valid), or with a lower target_qps when queries are too slow.",
    _CHECK,
)
LATENCY_LIMIT = Rule(
    "latency-limit",
    "official",
    "latency above the benchmark's limit",
    "The benchmark's latency limit is part of its definition; a looser one makes another benchmark of it.",
    f"{_RERUN} with the round's limit, and with a lower target_qps when it is not met.",
    _CHECK,
)
TOKEN_LATENCY = Rule(
    "token-latency",
    "official",
    "first-token or per-token latency",
    "Language models are held to the latency of the first and of every further token. The official checker holds "
    "Interactive results to the looser limits of Server.",
    f"{_RERUN} with a lower target_qps.",
    _CHECK,
)
VALIDITY = Rule(
    "loadgen-validity",
    "rules",
    "LoadGen does not call the run valid",
    "LoadGen itself says whether a run met its own conditions; the modular official checker does not look at it.",
    f"{_RERUN} with style valid; the message says which condition was not met.",
    "inference_rules: the run must be VALID",
)
CONSTRAINTS = Rule(
    "latency-constraint",
    "rules",
    "target latency not met",
    "The system did not keep up with the query rate: more queries than allowed took longer than the target latency.",
    f"{_RERUN} with a lower target_qps.",
    "LoadGen: result_perf_constraints_met",
)
LOADGEN_ERRORS = Rule(
    "loadgen-errors",
    "rules",
    "errors in the log",
    "LoadGen logs an error where the run cannot be trusted. The modular official checker rejects errors of accuracy "
    "logs and ignores those of performance logs.",
    f"{_RERUN} after removing what the message names.",
    "submission_checker: loadgen_errors_check",
)
RESULT_VALUE = Rule(
    "result-value",
    "official",
    "no result above zero",
    "The log does not give the number that would be published.",
    _RERUN + "; console.log of the attempt tells why there is no number.",
    _CHECK,
)
SUT_NAME = Rule(
    "network-sut-name",
    "official",
    "SUT name does not say network",
    "In the network division the SUT's name must tell that the queries crossed a network.",
    f"{_RERUN} with an implementation for the network division.",
    _CHECK,
)
RULES = (
    *(LOG_UNREADABLE, LOG_INCOMPLETE, LOG_MODE, LOG_SCENARIO, SEEDS, PERFORMANCE_SAMPLES, MIN_QUERIES, EQUAL_ISSUE),
    *(MIN_DURATION, EARLY_STOPPING, LATENCY_LIMIT, TOKEN_LATENCY, VALIDITY, CONSTRAINTS, LOADGEN_ERRORS, RESULT_VALUE),
    *(SUT_NAME,),
)
