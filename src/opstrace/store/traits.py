"""What holds of all samples of a block together: found out once, at first need, and remembered with the samples."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

# The one NaN that means "the series ended here" (prometheus/prometheus: model/value/value.go).
STALE_BITS = 0x7FF0000000000002
STALE = float(np.array(STALE_BITS, dtype=np.uint64).view(np.float64))


def stale(values: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    """Mark the stale markers; NaNs of other bits are values."""
    marked: NDArray[np.bool_] = values.view(np.uint64) == STALE_BITS
    return marked


def common_times(timestamps: "Ints", offsets: "Ints") -> "Ints | None":
    """Return the moments at which each series was sampled, if they are the same for all."""
    series, samples = len(offsets) - 1, int(offsets[1] - offsets[0]) if len(offsets) > 1 else 0
    if not samples or len(timestamps) != series * samples or (np.diff(offsets) != samples).any():
        return None
    rows = timestamps.reshape(series, samples)
    # Most that are not the same differ in their first samples.
    same = (rows[:, 0] == rows[0, 0]).all() and (rows == rows[0]).all()
    return rows[0] if same else None


def are_shared(times_ms: "Ints", values: "NDArray[np.float64]") -> bool:
    """Say whether times are those of one series, which all others share."""
    return len(times_ms) < len(values)


def each_time(times_ms: "Ints", values: "NDArray[np.float64]", series: int) -> "Ints":
    """Return the time of each sample, of times that may be shared."""
    return np.tile(times_ms, series) if are_shared(times_ms, values) else times_ms


class Traits:
    """What holds of ragged samples: those of series i are `offsets[i]:offsets[i + 1]`."""

    def __init__(self, offsets: "Ints", times_ms: "Ints", values: "NDArray[np.float64]") -> None:
        """Take the samples; `times_ms` are those of each sample, or of one series where all share them."""
        self._offsets = offsets
        self._times_ms = times_ms
        self._values = values

    @cached_property
    def together(self) -> "Ints | None":
        """The moments at which each series was sampled, if they are the same for all."""
        if are_shared(self._times_ms, self._values):
            return self._times_ms
        return common_times(self._times_ms, self._offsets)

    @cached_property
    def ended(self) -> bool:
        """Whether there are stale markers."""
        return bool(stale(self._values).any())

    @cached_property
    def rising(self) -> bool:
        """Whether it is known that no series has a value below the one before."""
        if self.together is None:
            return False
        rows = self._values.reshape(-1, len(self.together))
        return not (rows[:, 1:] < rows[:, :-1]).any()
