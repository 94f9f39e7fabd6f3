"""Lists of different lengths that lie one behind the other in one array, and are known by their lengths."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Ints: TypeAlias = NDArray[np.int64]


def places(lengths: "ArrayLike") -> "Ints":
    """Return where each of N lists begins, and where the last one ends: N + 1 places."""
    return np.append(0, np.cumsum(lengths, dtype=np.int64))


def run_bounds(*keys: "NDArray[Any]") -> "Ints":
    """Return where each of N runs of elements begins whose keys are the same, and where the last one ends: N + 1."""
    size = len(keys[0])
    begins = np.ones(size, dtype=bool)
    if size:
        begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.append(np.flatnonzero(begins), size)


def owners(lengths: "Ints") -> "Ints":
    """Return, for each element, the index of the list it is in."""
    return np.repeat(np.arange(len(lengths)), lengths)


def runs(starts: "Ints", lengths: "Ints") -> "Ints":
    """Return the indexes of all elements of lists that begin anywhere, one list after the other."""
    before = np.cumsum(lengths) - lengths
    shifts: Ints = np.repeat(starts - before, lengths)
    return shifts + np.arange(len(shifts))
