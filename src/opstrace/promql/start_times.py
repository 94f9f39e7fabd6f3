"""What start timestamps tell of counters: when the counting began, so that a reset shows where no value fell.

A start of 0 is none. The rules are those of Prometheus's feature `use-start-timestamps` (prometheus/prometheus:
promql/functions.go, and its script start_timestamps.test). Times are milliseconds.
"""

from opstrace.promql.values import Bools, Ints


def reset_before(times: Ints, start_times: Ints) -> Bools:
    """Say for each sample but the first whether it began to count anew since the one before.

    It did if its start lies after that sample. If its start is that sample's own time, it did if that sample has an
    earlier start of its own: then these are deltas. Without one, the start was unknown and stays so: no reset.
    """
    before, began, began_before = times[:-1], start_times[1:], start_times[:-1]
    anew = (began > before) & (began < times[1:])
    differences = (began == before) & (began_before != 0) & (began_before < before)
    reset: Bools = (began != 0) & (anew | differences)
    return reset


def overlaps(times: Ints, start_times: Ints) -> Bools:
    """Say for each sample but the first whether it claims another beginning that lies before the sample before it."""
    began = start_times[1:]
    told: Bools = (began != 0) & (began < times[:-1]) & (began != start_times[:-1])
    return told


def begins_within(first_times: Ints, first_start_times: Ints, window_starts: Ints) -> Bools:
    """Say of windows, by their first samples, whether the counting began inside: then it grew from 0 there."""
    told: Bools = (first_start_times != 0) & (first_start_times > window_starts) & (first_start_times < first_times)
    return told
