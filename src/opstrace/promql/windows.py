"""Which samples of a ragged block each step's window holds, as index arrays; made once, used by every rollup.

Windows are open to the left and closed to the right, `(start, end]`, as are lookbacks. Counting samples per step
and summing along the steps costs one pass over the samples; searching for each bound costs ten times as much. Series
that were sampled at the same moments, as all that come by DogStatsD are, have the same bounds: found once for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opstrace.promql.values import Bools, Floats, Grid, Ints
from opstrace.ragged import places
from opstrace.store.backend import Block
from opstrace.store.traits import Traits, common_times, stale

# Series are worked through in pieces of about this many cells or samples, which stay in the processor's cache.
_PIECE = 1 << 17


@dataclass(frozen=True, slots=True)
class Windows:
    """Some series' samples and, for series × steps, the half-open index range of the samples in each window.

    Where all were sampled at the same moments they are `aligned`: one set of timestamps and bounds holds for each.
    """

    timestamps: Ints  # ms, one a sample; aligned: of one series
    values: Floats  # one a sample; aligned: series × samples
    offsets: Ints  # series + 1
    first: Ints  # series × steps; aligned: steps
    last: Ints  # as first; one past the end
    starts: Ints  # ms, one a step
    ends: Ints  # ms, one a step
    start_times: Ints | None = None  # ms, one a sample: when its counting began; 0 where nobody said
    traits: Traits | None = None  # of all samples of the block, where they are known

    @property
    def aligned(self) -> bool:
        """Whether one set of bounds holds for all series."""
        return self.values.ndim > 1

    @property
    def spread(self) -> "Windows":
        """The same with bounds for each series."""
        if not self.aligned:
            return self
        begins = self.offsets[:-1, None]
        timestamps = np.broadcast_to(self.timestamps, self.values.shape).ravel()
        values, first, last = self.values.ravel(), self.first + begins, self.last + begins
        return Windows(timestamps, values, self.offsets, first, last, self.starts, self.ends)

    @property
    def shape(self) -> tuple[int, int]:
        """Series and steps."""
        return len(self.offsets) - 1, len(self.ends)

    @property
    def counts(self) -> Ints:
        """How many samples each window holds; as `first`."""
        return self.last - self.first

    @property
    def range_s(self) -> float:
        """The length of the windows in seconds."""
        return float(self.ends[0] - self.starts[0]) / 1000

    def at(self, index: Ints) -> Floats:
        """Return the samples' values at these places, series × steps; a place outside yields some sample."""
        if not self.values.size:
            return np.zeros(self.shape)
        found: Floats = np.take(self.values, index, axis=-1, mode="clip")
        return found

    def seconds_at(self, index: Ints) -> Floats:
        """Return the samples' timestamps in seconds at these places."""
        return self.moments_at(index) / 1000.0

    def moments_at(self, index: Ints) -> Ints:
        """Return the samples' timestamps at these places."""
        return _times_at(self.timestamps, index)

    def start_times_at(self, index: Ints) -> Ints:
        """Return when the counting of the samples at these places began; 0 where nobody said."""
        return _times_at(np.zeros(0, dtype=np.int64) if self.start_times is None else self.start_times, index)


def _times_at(times: Ints, index: Ints) -> Ints:
    found: Ints = np.take(times, index, mode="clip") if len(times) else np.zeros(index.shape, dtype=np.int64)
    return found


def never_ends(block: Block) -> bool:
    """Say whether it is known that a block has no stale markers."""
    return block.traits is not None and not block.traits.ended


def unended(block: Block) -> Block:
    """Return a block without its stale markers."""
    return block if never_ends(block) else without(block, stale(block.values))


def without(block: Block, unwanted: Bools) -> Block:
    """Return a block that lacks these samples; its series stay, even if empty."""
    if not unwanted.any():
        return block
    dropped = places(unwanted)
    kept = ~unwanted
    histograms = None if block.histograms is None else block.histograms[kept]
    start_times = None if block.start_times is None else block.start_times[kept]
    offsets = block.offsets - dropped[block.offsets]
    return Block(block.labels, offsets, block.timestamps[kept], block.values[kept], histograms, start_times)


def upto(timestamps: Ints, offsets: Ints, grid: Grid) -> Ints:
    """Return for series × steps the index one past the last sample at or before each moment of the grid."""
    series, slots = len(offsets) - 1, grid.steps + 1
    rows = np.repeat(np.arange(series, dtype=np.int64) * slots, np.diff(offsets))
    rows += _slot(timestamps, grid)
    counts = np.bincount(rows, minlength=series * slots).reshape(series, slots)
    ends: Ints = np.cumsum(counts[:, :-1], axis=1)
    ends += offsets[:-1, None]
    return ends


def _slot(timestamps: Ints, grid: Grid) -> Ints:
    """Return for each sample the first step that sees it; the number of steps when none does."""
    step = grid.step_ms
    if not step:
        return np.searchsorted(grid.times, timestamps, side="left").astype(np.int64)
    slots: Ints = (timestamps - (grid.times[0] - step + 1)) // step
    return np.clip(slots, 0, grid.steps, out=slots)


def pieces(block: Block, steps: int) -> Iterator[tuple[int, int]]:
    """Return ranges of series that hold about a piece of cells or samples each; what is less than two is one."""
    load = np.maximum(np.diff(block.offsets), max(steps, 1)).cumsum()
    if not len(load):
        return
    count = max(int(load[-1]) // _PIECE, 1)
    ends = np.searchsorted(load, load[-1] * np.arange(1, count + 1) // count) + 1
    yield from pairwise([0, *np.unique(ends).tolist()])


def window_bounds(timestamps: Ints, offsets: Ints, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return first and one-past-last sample of the window (start, end] of each step, for series × steps."""
    grid = Grid(ends)
    step, width = grid.step_ms, int(ends[0] - starts[0])
    if step and width % step == 0 and width // step <= 4 * len(ends):
        # Starts and ends lie on one grid: count once, look twice.
        shift = width // step
        both = upto(timestamps, offsets, Grid(np.arange(int(starts[0]), int(ends[-1]) + 1, step, dtype=np.int64)))
        return both[:, : len(ends)], both[:, shift:]
    return upto(timestamps, offsets, Grid(starts)), upto(timestamps, offsets, grid)


def together(block: Block, start: int, end: int) -> Ints | None:
    """Return the moments at which the series `start` to `end` were sampled, if they are the same for all."""
    if block.traits is not None and block.traits.together is not None:
        return block.traits.together
    begin, stop = int(block.offsets[start]), int(block.offsets[end])
    return common_times(block.timestamps[begin:stop], block.offsets[start : end + 1] - begin)


def windows(block: Block, start: int, end: int, starts: Ints, ends: Ints) -> Windows:
    """Return the windows of the series `start` to `end` of a block."""
    return Cut(block, starts, ends).windows(start, end)


class Cut:
    """A block, cut into the windows of steps; the bounds that all series share are looked for once."""

    def __init__(self, block: Block, starts: Ints, ends: Ints) -> None:
        self._block = block
        self._starts, self._ends = starts, ends
        self._shared: tuple[Ints, Ints, Ints] | None = None

    def windows(self, start: int, end: int) -> Windows:
        """Return the windows of the series `start` to `end`."""
        block, starts, ends = self._block, self._starts, self._ends
        begin, stop = int(block.offsets[start]), int(block.offsets[end])
        offsets = block.offsets[start : end + 1] - begin
        values = block.values[begin:stop]
        if block.start_times is None and (shared := self.shared(start, end)) is not None:
            common, first, last = shared
            rows = values.reshape(end - start, -1)
            return Windows(common, rows, offsets, first, last, starts, ends, traits=block.traits)
        timestamps = block.timestamps[begin:stop]
        first, last = window_bounds(timestamps, offsets, starts, ends)
        start_times = None if block.start_times is None else block.start_times[begin:stop]
        return Windows(timestamps, values, offsets, first, last, starts, ends, start_times)

    def shared(self, start: int, end: int) -> tuple[Ints, Ints, Ints] | None:
        """Return the moments of the series `start` to `end`, and each step's bounds, if they are the same for all."""
        if (common := together(self._block, start, end)) is None:
            return None
        if self._shared is None or self._shared[0] is not common:
            first, last = window_bounds(common, np.array([0, len(common)]), self._starts, self._ends)
            self._shared = common, first[0], last[0]
        return self._shared

    def in_pieces(self) -> Iterator[tuple[slice, Windows]]:
        """Yield the windows of some series at a time, and which series."""
        for start, end in pieces(self._block, len(self._ends)):
            yield slice(start, end), self.windows(start, end)
