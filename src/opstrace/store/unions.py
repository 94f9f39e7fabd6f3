"""Series that are one under the tags of their host: what several of them say at one time, as one sample.

What was counted adds up, as it does where Datadog adds up series; of anything else the last one counts.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from opstrace.store.backend import Labels
from opstrace.store.sketch import added, reduced

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OF_TYPES: Final[Mapping[str, np.ufunc]] = {"count": np.add, "rate": np.add}
# Of the numbers beside a distribution. A mean cannot be had of means alone.
_OF_DISTRIBUTIONS: Final[Mapping[str, np.ufunc]] = {
    "count": np.add,
    "sum": np.add,
    "min": np.minimum,
    "max": np.maximum,
}


def values_of(
    values: "NDArray[np.float64]", offsets: "NDArray[np.int64]", series: "NDArray[np.int64]", labels: Sequence[Labels]
) -> "NDArray[np.float64]":
    """Return a value for each run `offsets[i]:offsets[i + 1]` of samples of one series and time.

    `series[i]` says which of the labels it has.
    """
    found = values[offsets[1:] - 1]
    several = _several(offsets)
    functions = {row: _function(labels[row]) for row in np.unique(series[several]).tolist()}
    for function in (np.add, np.minimum, np.maximum):
        rows = [row for row, one in functions.items() if one is function]
        if rows:
            runs = several[np.isin(series[several], rows)]
            found[runs] = reduced(function, values, offsets[:-1])[runs]
    return found


def histograms_of(histograms: "NDArray[np.object_]", offsets: "NDArray[np.int64]") -> "NDArray[np.object_]":
    """Return a native histogram for each run, or None where the run has none."""
    found = histograms[offsets[1:] - 1]
    for run in _several(offsets).tolist():
        if there := [one for one in histograms[offsets[run] : offsets[run + 1]] if one is not None]:
            found[run] = added(there)
    return found


def _several(offsets: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return the runs of more than one sample."""
    return np.flatnonzero(np.diff(offsets) > 1)


def _function(labels: Labels) -> np.ufunc | None:
    """Return what makes one sample of several of a series; nothing where the last one counts."""
    kind = labels.get("type", "")
    if kind == "distribution":
        return _OF_DISTRIBUTIONS.get(labels["__name__"].rpartition("_")[2])
    return _OF_TYPES.get(kind)
