"""One example of each rule: where it is found and what the finding says. Ids are those of the rules."""

from __future__ import annotations

from types import MappingProxyType

_LOG = "performance/run_1/mlperf_log_detail.txt"
_ACCURACY = "accuracy/mlperf_log_detail.txt"
_SYSTEM = "systems/node1.json"

EXAMPLES: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "no-results": (".", "the tree holds no result"),
        "unknown-division": ("opened", "'opened' is no division; did you mean 'open'?"),
        "missing-results-folder": ("open/Lab", "the submitter has no folder results/"),
        "missing-src": ("open/Lab/src", "the submitter has no folder src/"),
        "missing-calibration": ("documentation/calibration.md", "there is no calibration document"),
        "missing-file": ("accuracy/accuracy.txt", "accuracy.txt is missing"),
        "empty-file": ("README.md", "README.md is empty"),
        "stray-file": ("performance/run_1/console.log", "console.log does not belong into run_1/"),
        "unknown-folder": ("TEST99", "a result has no folder TEST99/; did you mean 'TEST09'?"),
        "old-layout": ("closed/Lab/measurements", "measurements/ is of an earlier layout"),
        "system-without-results": (
            "systems/node2.json",
            "there are no results of system 'node2'; did you mean 'node1'?",
        ),
        "symlink": ("src/data", "the symbolic link to /data cannot be submitted: it is absolute"),
        "hidden-name": ("src/.bashrc", "the name '.bashrc' starts with a dot"),
        "space-in-name": ("src/my code.py", "the name 'my code.py' has a space"),
        "name-encoding": ("results/caf\\xe9", "the name 'caf\\udce9' is not UTF-8"),
        "pycache": ("src/__pycache__", "compiled Python files are no part of a submission"),
        "empty-folder": ("src/models", "the folder is empty"),
        "unreadable": ("src/pipe", "cannot be read: it is no regular file"),
        "file-size": ("src/model.onnx", "model.onnx has 97.4 MiB; at most 50 MiB are allowed"),
        "accuracy-log-size": (
            "accuracy/mlperf_log_accuracy.json",
            "the accuracy log has 4400066 bytes; at most 10240 are allowed",
        ),
        "unknown-benchmark": ("results/node1/resnut", "'resnut' is no benchmark of v6.1; did you mean 'resnet'?"),
        "benchmark-not-official": (
            "results/node1/my-resnet50",
            "'my-resnet50' is no official name; the official checker takes it for resnet",
        ),
        "model-mapping-unreadable": ("model_mapping.json", "model_mapping.json cannot be read: it is not JSON"),
        "model-mapping": (
            "model_mapping.json",
            "'efficientnet-lite0' is not mapped; the official checker guesses resnet",
        ),
        "unknown-scenario": ("results/node1/resnet/Offlin", "'Offlin' is no scenario; did you mean 'Offline'?"),
        "scenario-spelling": (
            "results/node1/resnet/offline",
            "the folder is called 'offline'; MLPerf spells it Offline",
        ),
        "benchmark-not-in-category": ("results/node1/resnet", "resnet is not a benchmark of datacenter systems"),
        "missing-scenario": ("results/node1/resnet", "resnet lacks the scenario MultiStream"),
        "scenario-not-allowed": ("results/node1/resnet/Server", "resnet has no scenario Server on edge systems"),
        "duplicate-benchmark": (
            "results/node1/resnet50/Offline",
            "'resnet50' and 'resnet' are both resnet, and both have Offline",
        ),
        "private-id": ("results/node1/privateid.json", "the private id of 'node1' is missing"),
        "system-description-missing": (
            _SYSTEM,
            "system 'node1' has results and no description; is it 'node01.json'?",
        ),
        "system-description-unreadable": (_SYSTEM, "the description cannot be read: it is not JSON"),
        "system-field-missing": (_SYSTEM, "field cooling is missing"),
        "system-field-empty": (_SYSTEM, "field accelerators_per_node needs a value and is 0"),
        "system-field-type": (_SYSTEM, "number_of_nodes is 'one'; expected a whole number"),
        "system-field-value": (_SYSTEM, "system_type is 'Edge'; expected datacenter or edge"),
        "system-network": (_SYSTEM, "is_network is False; expected a text"),
        "placeholder": (_SYSTEM, "cooling is the placeholder 'TBD'"),
        "unknown-value": (_SYSTEM, "the value is unknown of cooling"),
        "not-applicable-value": (_SYSTEM, "cooling is 'N/A', and every system has one"),
        "system-field-style": (_SYSTEM, "host_memory_capacity has no space before its unit; write '512 GB'"),
        "system-field-spelling": ("systems/node2.json", "cooling is 'Air' here and 'air' in systems/node1.json"),
        "measurements-unreadable": ("measurements.json", "measurements.json cannot be read: it is not JSON"),
        "measurements-field-missing": ("measurements.json", "field retraining is missing"),
        "measurements-field-empty": ("measurements.json", "field retraining needs a value and is False"),
        "simulated": ("measurements.json", "measurements.json says that it is simulated"),
        "log-unreadable": (_LOG, "the log cannot be read: mlperf_log_detail.txt:21: not a LoadGen message: 'Killed'"),
        "log-incomplete": (_LOG, "the log does not reach the end of the test"),
        "log-mode": (_ACCURACY, "the run's mode is PerformanceOnly; expected AccuracyOnly"),
        "log-scenario": (_LOG, "the folder is Server, the run was SingleStream"),
        "seeds": (_LOG, "seeds that are not of round v6.1: qsl_rng_seed"),
        "performance-sample-count": (_LOG, "the run cycled through 200 samples; at least 1024 are required"),
        "min-queries": (_LOG, "the Offline query has 660 samples; at least 24576 are required"),
        "equal-issue": (_LOG, "LoadGen did not issue every sample equally often"),
        "min-duration": (_LOG, "the run asked for 60 s; at least 600 s are required"),
        "early-stopping": (
            _LOG,
            "LoadGen's early stopping did not get enough queries for a statement about the tail latency",
        ),
        "latency-limit": (_LOG, "effective_target_latency_ns is 20 ms; at most 15 ms are allowed"),
        "token-latency": (
            _LOG,
            "result_first_token_99.00_percentile_latency_ns is 512 ms; it must be below 500 ms",
        ),
        "loadgen-validity": (_LOG, "LoadGen says that the result is INVALID: min duration not satisfied"),
        "latency-constraint": (_LOG, "too many queries took longer than the target latency"),
        "loadgen-errors": (_LOG, "LoadGen logged an error: error_runtime: Multiple conf files are used"),
        "result-value": (_LOG, "the result is 0 (result_samples_per_second); it must be above 0"),
        "network-sut-name": (_LOG, "the SUT's name 'PySUT' does not contain 'Network SUT'"),
        "dataset-size": (_ACCURACY, "the accuracy run covers 500 of 50000 samples"),
        "accuracy-target": ("accuracy/accuracy.txt", "acc is 75.6; expected at least 75.6954"),
        "accuracy-metric-missing": ("accuracy/accuracy.txt", "accuracy.txt does not state the metric acc"),
        "accuracy-hash": ("accuracy/accuracy.txt", "accuracy.txt has no line hash=<sha256>"),
        "accuracy-hash-mismatch": (
            "accuracy/accuracy.txt",
            "hash=cb64aaeae4c9… is not the sha256 of mlperf_log_accuracy.json",
        ),
        "accuracy-artifacts": ("accuracy/images", "the folder images/ lacks 0.png, 1.png"),
        "text-encoding": ("accuracy/accuracy.txt", "the file cannot be read as text: byte 0xe9 at 41 is no UTF-8"),
        "missing-compliance": ("TEST04", "compliance test TEST04 is missing"),
        "compliance-failed": (
            "TEST08/verify_accuracy.txt",
            "TEST08 did not pass: verify_accuracy.txt has no line 'TEST PASS'",
        ),
        "compliance-performance": (
            "TEST01/verify_performance.txt",
            "TEST01 did not pass: verify_performance.txt has no line 'TEST PASS'",
        ),
        "compliance-accuracy": (
            "TEST01/accuracy/compliance_accuracy.txt",
            "TEST01: acc is 75.1, and 76.2 of the same samples in the accuracy run",
        ),
        "compliance-evidence": (
            f"TEST04/{_LOG}",
            "the log of TEST04 does not show the test's settings: effective_performance_issue_same is false",
        ),
        "compliance-copy": (f"TEST04/{_LOG}", "the log of TEST04 is that of the performance run"),
        "compliance-speed": (
            f"TEST01/{_LOG}",
            "TEST01 measured 4.92858 per second, the performance run 7.82647 (result_completed_samples_per_sec)",
        ),
        "compliance-text": (
            "TEST01/verify_accuracy.txt",
            "TEST01 is said to have passed with num_perf_log_data_mismatch = 3",
        ),
        "compliance-not-needed": ("TEST06", "resnet has no TEST06 in v6.1"),
        "summary-mismatch": (
            "performance/run_1/mlperf_log_summary.txt",
            "the summary says Samples per second: 26.23, the detail log 28.4612",
        ),
        "shared-log": (_LOG, f"this is the log of closed/Lab/results/node2/resnet/Offline/{_LOG}"),
        "leftover-audit-config": (
            _LOG,
            "the run had the settings of a compliance test: effective_accuracy_log_sampling_target = 4096",
        ),
        "loadgen-version": (_ACCURACY, "this run was made with LoadGen 5.1.0, the performance run with 6.0.17"),
        "user-conf-mismatch": ("user.conf", "target_qps is 920 here and 1000 in the log"),
        "power-session": ("performance/power/server.json", "power/server.json lacks ptd_config"),
        "power-sources": (
            "performance/power/client.json",
            "the software that measured is not the accepted one: lib/server.py",
        ),
        "power-meter": ("performance/power/server.json", "PTDaemon has version 1.9.2, accepted is 1.11.1"),
        "power-identity": ("performance/power/server.json", "client and server do not name the same session"),
        "power-clock": (
            "performance/power/server.json",
            "the clocks of client and server are 1204 ms apart in testing",
        ),
        "power-level": ("performance/run_1/spl.txt", "the run drew 91 W, ranging 100 W: the ranges were set for more"),
        "power-messages": (
            "performance/power/server.json",
            "client and server recorded different numbers of messages",
        ),
        "power-digests": (
            "performance/run_1/spl.txt",
            "run_1/spl.txt was changed after the measurement, or is of another one",
        ),
        "power-meter-errors": (
            "performance/power/ptd_logs.txt",
            "the meter reported 74 errors outside of ranging, such as: Current exceeds peak value",
        ),
        "power-debug": ("performance/power/server.json", "the server ran in debug mode"),
        "power-uncertainty": (
            "performance/power/ptd_logs.txt",
            "543 of 600 readings of the run are less certain than 1 %",
        ),
        "power-readings": ("performance/run_1/spl.txt", "no reading above 0 W during the run"),
        "power-duration": ("performance/ranging/mlperf_log_detail.txt", "power was measured for 60 s only"),
        "nameplate-power": ("systems/node1_power.yaml", "the nameplate does not give the design power: it is empty"),
        "endpoints-unreadable": (
            "performance/result_summary.json",
            "result_summary.json cannot be read: JSONDecodeError",
        ),
        "endpoints-benchmark": (
            "results/node1/rgat/Offline",
            "rgat may not be handed in as a result of MLPerf Endpoints",
        ),
        "endpoints-score": ("accuracy/accuracy_results.json", "accuracy_results.json states no score"),
        "endpoints-audit": ("audit/audit_output_caching_test.json", "the audit output_caching_test did not pass"),
        "endpoints-not-judged": (
            "accuracy/accuracy_results.json",
            "the accuracy is not compared with the round's target: the files state 83.4; the round wants …",
        ),
        "secret": ("src/setup.sh", "line 7 holds a Hugging Face token (hf_a…)"),
        "private-detail": ("results/node1/resnet/Offline/README.md", "home folder /home/jane and in 3 more files"),
        "check-failed": (
            "results/node1/resnet/Offline",
            "check performance.performance failed: KeyError: 'effective_scenario'",
        ),
    }
)
