"""The native histograms of test scripts: literals to samples as a store hands them out, and how they compare."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opstrace.promql.native import combined, compact, was_reset
from opstrace.promql.testlanguage import HistogramLiteral, HistogramPoint, SeriesLine
from opstrace.store.backend import Labels
from opstrace.store.histogram import CUSTOM_BOUNDS, NativeHistogram, ResetHint

Sample = float | NativeHistogram


def histogram_of(literal: HistogramLiteral) -> NativeHistogram:
    """Return what a literal means."""
    return NativeHistogram(
        schema=literal.schema,
        count=literal.count,
        sum=literal.sum,
        zero_threshold=literal.z_bucket_w,
        zero_count=literal.z_bucket,
        positive=dict(enumerate(literal.buckets, literal.offset)),
        negative=dict(enumerate(literal.n_buckets, literal.n_offset)),
        custom_bounds=literal.custom_values,
        hint=ResetHint(literal.counter_reset_hint or "unknown"),
    )


def point_of(point: HistogramPoint) -> NativeHistogram:
    """Return what a point of a sequence means, adding step by step; raise IncompatibleSchemas where it cannot."""
    histogram = histogram_of(point.base)
    if point.delta is None:
        return histogram
    delta, sign = histogram_of(point.delta), math.copysign(1.0, point.times)
    for _ in range(abs(point.times)):
        histogram = combined(histogram, delta, sign).histogram
    return histogram


def with_hints(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Set the reset hints of a series as Prometheus's store hands them out.

    A gauge is a gauge. A counter's sample that follows another in its chunk is no reset; about the first of a chunk
    nothing is known, and a reset, a float or a gauge before it starts one (prometheus/prometheus:
    tsdb/chunkenc/float_histogram.go; issue 15346 there says why no reset comes out as one).
    """
    previous: NativeHistogram | None = None
    for sample in samples:
        if isinstance(sample, NativeHistogram):
            sample = replace(sample, hint=_hint(sample, previous))
            yield sample
            previous = sample
        else:
            yield sample
            previous = None


def _hint(current: NativeHistogram, previous: NativeHistogram | None) -> ResetHint:
    if current.hint is ResetHint.GAUGE:
        return current.hint
    if previous is None or previous.hint is ResetHint.GAUGE:
        return ResetHint.UNKNOWN
    fell = was_reset(replace(current, hint=ResetHint.UNKNOWN), previous)
    return ResetHint.UNKNOWN if fell else ResetHint.NOT_RESET


# ---------------------------------------------------------------------------------------------------------------
# Classic histograms as native ones with custom bounds


@dataclass(slots=True)
class _Classic:
    """One classic histogram at one time: cumulative counts by bound, and the totals."""

    buckets: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    sum: float = 0.0

    def add(self, suffix: str, bound: float, value: float) -> None:
        """Take in a sample of the series with this suffix."""
        if suffix == "_bucket":
            self.buckets[bound] = value
        elif suffix == "_count":
            self.count = value
        else:
            self.sum = value

    def native(self) -> NativeHistogram:
        """Return the same observations in custom buckets (prometheus/prometheus: util/convertnhcb/convertnhcb.go)."""
        cumulative = [self.buckets[bound] for bound in sorted(self.buckets)]
        count = self.count if self.count is not None else cumulative[-1] if cumulative else 0.0
        if math.inf not in self.buckets:
            cumulative.append(count)
        counts = (now - before for now, before in zip(cumulative, [0.0, *cumulative], strict=False))
        bounds = tuple(sorted(bound for bound in self.buckets if bound != math.inf))
        positive = {index: number for index, number in enumerate(counts) if number}
        return NativeHistogram(CUSTOM_BOUNDS, count, self.sum, positive=positive, custom_bounds=bounds)


def derived_from_classic(lines: Sequence[SeriesLine]) -> list[tuple[Labels, dict[int, NativeHistogram]]]:
    """Return the native histograms that classic ones amount to, by the index of their points."""
    found: dict[frozenset[tuple[str, str]], dict[int, _Classic]] = defaultdict(lambda: defaultdict(_Classic))
    for line in lines:
        for labels, suffix, bound in _base(line.labels):
            for index, point in enumerate(line.points):
                if isinstance(point, float):
                    found[frozenset(labels.items())][index].add(suffix, bound, point)
    return [(dict(key), {i: classic.native() for i, classic in sorted(at.items())}) for key, at in found.items()]


def _base(labels: Labels) -> Iterator[tuple[Labels, str, float]]:
    """Yield the labels, suffix and bound of the classic histogram a series is part of, if it is of one."""
    name = labels.get("__name__", "")
    for suffix in ("_bucket", "_count", "_sum"):
        bound = _bound(labels) if suffix == "_bucket" else 0.0
        if name.endswith(suffix) and not math.isnan(bound):
            rest = {key: value for key, value in labels.items() if key != "le"}
            yield rest | {"__name__": name.removesuffix(suffix)}, suffix, bound


def _bound(labels: Labels) -> float:
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return math.nan


# ---------------------------------------------------------------------------------------------------------------
# Comparing and showing


def same_but_rounding(
    expected: HistogramPoint, actual: NativeHistogram, equal: Callable[[float, float], bool]
) -> bool:
    """Tell whether a histogram is the one expected; its hint counts only where the script wrote one."""
    wanted, found = compact(point_of(expected)), compact(actual)
    return (
        (wanted.schema, wanted.zero_threshold) == (found.schema, found.zero_threshold)
        and wanted.custom_bounds == found.custom_bounds
        and all(map(equal, _totals(wanted), _totals(found)))
        and _same_buckets(wanted.positive, found.positive, equal)
        and _same_buckets(wanted.negative, found.negative, equal)
        and (expected.base.counter_reset_hint is None or wanted.hint is found.hint)
    )


def _totals(histogram: NativeHistogram) -> tuple[float, float, float]:
    return histogram.count, histogram.sum, histogram.zero_count


def _same_buckets(
    wanted: Mapping[int, float], found: Mapping[int, float], equal: Callable[[float, float], bool]
) -> bool:
    return wanted.keys() == found.keys() and all(equal(count, found[index]) for index, count in wanted.items())


def show_histogram(histogram: NativeHistogram) -> str:
    """Return a histogram much as a script writes it."""
    parts = [f"schema:{histogram.schema}", f"count:{histogram.count:g}", f"sum:{histogram.sum:g}"]
    if histogram.zero_count or histogram.zero_threshold:
        parts += [f"z_bucket:{histogram.zero_count:g}", f"z_bucket_w:{histogram.zero_threshold:g}"]
    for prefix, buckets in (("", histogram.positive), ("n_", histogram.negative)):
        if buckets:
            counts = " ".join(f"{buckets.get(index, 0):g}" for index in range(min(buckets), max(buckets) + 1))
            parts += [f"{prefix}offset:{min(buckets)}", f"{prefix}buckets:[{counts}]"]
    if histogram.custom_bounds:
        parts.append(f"custom_values:[{' '.join(f'{bound:g}' for bound in histogram.custom_bounds)}]")
    if histogram.hint is not ResetHint.UNKNOWN:
        parts.append(f"counter_reset_hint:{histogram.hint.value}")
    return "{{" + " ".join(parts) + "}}"
