"""Power measurement of a round: the software, the meters and the bounds, as data."""

from __future__ import annotations

from pydantic import Field

from mlperf_ops.catalogue.base import CatalogueModel, Count, Name, Positive


class PowerRules(CatalogueModel):
    """What the power measurement of a result is compared with."""

    source: str = Field(description="Where the values were read.")
    ptd_versions: tuple[str, ...]
    meters: dict[str, int] = Field(description="Meter -> PTDaemon's number for it.")
    software: Name = Field(description="Component of the measuring software, whose server starts PTDaemon.")
    other_meters: dict[str, int] = Field(
        description="Meters that the software's server knows and the checker does not accept -> PTDaemon's number."
    )
    channel_counts: dict[int, Count] = Field(
        description="How many channel numbers the server demands for a meter's number; for others none or one."
    )
    direct_current: tuple[int, ...] = Field(description="Numbers of the meters that measure direct current, with -D.")
    two_channel_meter: Count = Field(description="Number of the meter whose command names two channels.")
    sources: tuple[dict[str, str], ...] = Field(
        description="Accepted sets of the measuring software's files: name -> sha1."
    )
    ranging_errors: tuple[str, ...] = Field(description="How errors of the meter start that ranging may have.")
    testing_errors: tuple[str, ...] = Field(description="Errors of the meter that may occur at any time.")
    uncertainty_limit_percent: Positive
    shorter_testing_percent: Positive = Field(description="Testing may be so much shorter than ranging.")
    # Beyond the official checker.
    uncertain_share_percent: Positive = Field(description="Share of uncertain readings that rejects the run.")
    longest_gap_seconds: Positive = Field(description="Between two readings, one a second.")
    least_readings_share: Positive = Field(description="Readings in the run, as a part of its seconds.")
    least_ranging_seconds: Positive
    least_ranging_share: Positive = Field(description="Ranging, as a part of what is due, below which it is rejected.")
    least_testing_seconds: Positive
