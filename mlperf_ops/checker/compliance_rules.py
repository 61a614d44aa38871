"""The rules of the compliance tests; `compliance` and `compliance_runs` apply them."""

from __future__ import annotations

from mlperf_ops.checker.rules import Rule

CHECK = "submission_checker: checks/compliance_check.py"
_TESTS = "mlcommons/inference: compliance/TESTxx"
_RUN = "Run the compliance cell again; its audit.config has to lie in the working directory of the run."

MISSING = Rule(
    "missing-compliance",
    "official",
    "compliance test is missing",
    "Closed and network results come with the compliance tests that the round lists for the benchmark, each with the "
    "files that its verification script leaves.",
    "Run the compliance tests and put their folders into the result's folder.",
    CHECK,
)
FAILED = Rule(
    "compliance-failed",
    "official",
    "compliance test did not pass",
    "The official checker reads the verdict of a compliance test from the text that its verification script wrote, "
    "line by line and letter by letter.",
    "Read the verification text for the reason, mend it and make the compliance run again.",
    CHECK,
    own="Read the verification text for the reason, mend it and run the compliance cell again.",
)
PERFORMANCE = Rule(
    "compliance-performance",
    "official",
    "compliance test was not as fast as it has to be",
    "The official checker reads from verify_performance.txt whether the test ran at the speed of the performance run. "
    "Runs of seconds differ by more than it allows.",
    "Make the performance run and its compliance runs under the same conditions, one after the other, at full length.",
    CHECK,
    own="Run the performance cell and its compliance tests under the same conditions, one after the other, at full "
    "length.",
)
ACCURACY = Rule(
    "compliance-accuracy",
    "official",
    "accuracy in performance mode differs",
    "Where the answers of TEST01 are not the same bit by bit, the accuracy of the sampled answers must be that of the "
    "same samples in the accuracy run.",
    "Score both sets of samples again with the benchmark's accuracy script; when they still differ, the performance "
    "run does other work than the accuracy run.",
    CHECK,
)
EVIDENCE = Rule(
    "compliance-evidence",
    "rules",
    "log does not show the test's settings",
    "A compliance run reads audit.config, and LoadGen logs what it sets. A log without these settings is of an "
    "ordinary run, whatever the verification text says; no official checker looks.",
    "Make the compliance run again with the test's audit.config in its working directory.",
    f"{_TESTS}/audit.config",
    own=_RUN,
)
COPY = Rule(
    "compliance-copy",
    "rules",
    "compliance log is of another run",
    "The log of a compliance test is that of the performance run, or of another test: then the test was never made. "
    "The official checkers accept it.",
    "Put in the log of the compliance run; where there was none, make it with the test's audit.config.",
    "observed: a TEST04 folder with the performance run's log passes",
    own=_RUN,
)
SPEED = Rule(
    "compliance-speed",
    "rules",
    "speed differs too much from the performance run",
    "A compliance run must be as fast as the performance run (TEST01), or not faster (TEST04), or what was measured "
    "is not what ran. The official checkers read the verdict from a text; here it is computed from the two logs.",
    "Make the performance run and its compliance runs under the same conditions, one after the other.",
    f"{_TESTS}/verify_performance.py",
    own="Run the performance cell and its compliance tests under the same conditions, one after the other.",
)
TEXT = Rule(
    "compliance-text",
    "rules",
    "verification text contradicts its verdict or the logs",
    "The figures of a verification text must be those of the logs beside it, and lead to the verdict that it states.",
    "Run the verification script again on the logs that are submitted.",
    f"{_TESTS}/run_verification.py",
)
NOT_NEEDED = Rule(
    "compliance-not-needed",
    "advice",
    "compliance test that the benchmark does not have",
    "The round does not list the test for the benchmark; nobody reads it.",
    "Remove the folder, or check that the benchmark is the right one.",
    CHECK,
)
RULES = (MISSING, FAILED, PERFORMANCE, ACCURACY, EVIDENCE, COPY, SPEED, TEXT, NOT_NEEDED)
