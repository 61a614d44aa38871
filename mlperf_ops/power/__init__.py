"""Power measurement: which analyzer measures which SUT, and what its director runs (docs/how-to/power.md)."""
