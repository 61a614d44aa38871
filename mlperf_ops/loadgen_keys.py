"""The keys that LoadGen 6 reads from a configuration file, seeds and audit keys apart."""

from __future__ import annotations

# What a performance run without token latencies may set.
PERFORMANCE_KEYS = frozenset(
    {
        "coalesce_queries",
        "max_async_queries",
        "max_duration",
        "max_query_count",
        "min_duration",
        "min_query_count",
        "performance_issue_same",
        "performance_issue_same_index",
        "performance_issue_unique",
        "print_timestamps",
        "sample_concatenate_permutation",
        "samples_per_query",
        "target_latency",
        "target_latency_percentile",
        "target_qps",
    }
)
CONF_KEYS = PERFORMANCE_KEYS | {
    "accuracy_sample_count_override",
    "infer_token_latencies",
    "performance_sample_count_override",
    "target_duration",
    "token_latency_scaling_factor",
    "tpot_latency",
    "ttft_latency",
    "use_token_latencies",
}
# What an audit.config sets beside the above: the mode, and which answers a performance run logs.
AUDIT_KEYS = frozenset({"mode", "accuracy_log_rng_seed", "accuracy_log_sampling_target"})
