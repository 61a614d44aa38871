"""`python -m mlperf_ops` is `mlperf-ops`."""

from __future__ import annotations

from mlperf_ops.cli import main

if __name__ == "__main__":
    main()
