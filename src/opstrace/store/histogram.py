"""A native histogram as a sample: what is stored, without any arithmetic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

# The schema of histograms with bounds of their own (prometheus/prometheus: model/histogram/generic.go).
CUSTOM_BOUNDS = -53


class ResetHint(Enum):
    """What is known of a counter reset between the sample before and this one."""

    UNKNOWN = "unknown"
    RESET = "reset"
    NOT_RESET = "not_reset"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """Observations in buckets, by index; a bucket that is not there is empty.

    Bucket `i` of the positive side of an exponential schema is (2**((i-1) * 2**-schema), 2**(i * 2**-schema)]; the
    negative side mirrors it. A bucket of the custom schema ends at `custom_bounds[i]`, the last one at infinity.
    Never change a mapping in place.
    """

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: Mapping[int, float] = field(default_factory=dict)
    negative: Mapping[int, float] = field(default_factory=dict)
    custom_bounds: tuple[float, ...] = ()
    hint: ResetHint = ResetHint.UNKNOWN

    @property
    def size(self) -> int:
        """How many buckets are there."""
        return len(self.positive) + len(self.negative)
