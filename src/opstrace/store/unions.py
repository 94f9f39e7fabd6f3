"""Series that are one under the tags of their host: what several of them say at one time, as one sample.

What was counted adds up, as it does where Datadog adds up series; of anything else the last one counts.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from opstrace.store.backend import Labels
from opstrace.store.sketch import added

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
    values: "NDArray[np.float64]", starts: "NDArray[np.int64]", series: "NDArray[np.int64]", labels: Sequence[Labels]
) -> "NDArray[np.float64]":
    """Return a value for each run of samples of one series and time; run i begins at `starts[i]`.

    `series[i]` says which of the labels it has.
    """
    found = values[_lasts(values, starts)]
    several = _several(values, starts)
    functions = {row: _function(labels[row]) for row in np.unique(series[several]).tolist()}
    for function in (np.add, np.minimum, np.maximum):
        rows = [row for row, one in functions.items() if one is function]
        if rows:
            runs = several[np.isin(series[several], rows)]
            found[runs] = function.reduceat(values, starts)[runs]
    return found


def histograms_of(histograms: "NDArray[np.object_]", starts: "NDArray[np.int64]") -> "NDArray[np.object_]":
    """Return a native histogram for each run, or None where the run has none."""
    lasts = _lasts(histograms, starts)
    found = histograms[lasts]
    for run in _several(histograms, starts).tolist():
        if there := [one for one in histograms[starts[run] : lasts[run] + 1] if one is not None]:
            found[run] = added(there)
    return found


def _function(labels: Labels) -> np.ufunc | None:
    """Return what makes one sample of several of a series; nothing where the last one counts."""
    kind = labels.get("type", "")
    if kind == "distribution":
        return _OF_DISTRIBUTIONS.get(labels["__name__"].rpartition("_")[2])
    return _OF_TYPES.get(kind)


def _lasts(samples: "NDArray[Any]", starts: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return where the last sample of each run is."""
    return np.append(starts[1:], len(samples))[: len(starts)] - 1


def _several(samples: "NDArray[Any]", starts: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return the runs of more than one sample."""
    return np.flatnonzero(_lasts(samples, starts) > starts)
