"""A store as obvious as can be: a dict of label sets to samples. The judge of every cleverer one."""

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from opstrace.promql import regex
from opstrace.store.backend import EXACTLY, Block, Labels, Manner, Matcher, MatchOp, MetricMetadata, Statistics
from opstrace.store.budget import Budget
from opstrace.store.histogram import NativeHistogram

Key = tuple[tuple[str, str], ...]
Sample = float | NativeHistogram


@dataclass
class MemoryStore:
    """A Backend whose tenants are dicts of dicts: series → timestamp → float or histogram."""

    tenants: dict[str, dict[Key, dict[int, Sample]]] = field(default_factory=dict)

    def querier(self, tenant: str, budget: Budget) -> "MemoryQuerier":
        return MemoryQuerier(self.tenants.setdefault(tenant, {}), budget)

    def appender(self, tenant: str) -> "MemoryAppender":
        return MemoryAppender(self.tenants.setdefault(tenant, {}))


@dataclass
class MemoryAppender:
    data: dict[Key, dict[int, Sample]]

    def append(self, block: Block) -> None:
        for row, labels in enumerate(block.labels):
            key = tuple(sorted((name, value) for name, value in labels.items() if value))
            samples = self.data.setdefault(key, {})
            for index in range(int(block.offsets[row]), int(block.offsets[row + 1])):
                histogram = None if block.histograms is None else block.histograms[index]
                samples[int(block.timestamps[index])] = float(block.values[index]) if histogram is None else histogram


@dataclass
class MemoryQuerier:
    data: dict[Key, dict[int, Sample]]
    budget: Budget

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, manner: Manner = EXACTLY) -> Block:
        labels: list[Labels] = []
        offsets, timestamps, found = [0], [], []
        for number, (key, samples) in enumerate(sorted(self.data.items())):
            inside: list[int] = []
            for moment in samples:
                if start_ms <= moment <= end_ms:
                    insort(inside, moment)
            if not inside or not all(matches(matcher, dict(key)) for matcher in matchers):
                continue
            if number * manner.portion.of // len(self.data) == manner.portion.number:
                labels.append(dict(key))
                timestamps += inside
                found += [samples[moment] for moment in inside]
                offsets.append(len(timestamps))
        self.budget.spend(len(found))
        values = [math.nan if isinstance(sample, NativeHistogram) else sample for sample in found]
        histograms = np.full(len(found), None, dtype=object)
        for index, sample in enumerate(found):
            histograms[index] = sample if isinstance(sample, NativeHistogram) else None
        return Block(
            labels,
            np.array(offsets),
            np.array(timestamps, dtype=np.int64),
            np.array(values, dtype=np.float64),
            histograms if any(histogram is not None for histogram in histograms) else None,
        )

    def series(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[Labels]:
        found = {
            tuple(sorted(labels.items())): labels
            for selector in (selectors or [[]])
            for labels in self.select(selector, start_ms, end_ms).labels
        }
        return list(found.values())

    def label_names(self, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int) -> list[str]:
        return sorted({name for labels in self.series(selectors, start_ms, end_ms) for name in labels})

    def label_values(
        self, name: str, selectors: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[str]:
        return sorted({labels[name] for labels in self.series(selectors, start_ms, end_ms) if name in labels})

    def metadata(self, metric: str | None = None) -> list[MetricMetadata]:
        return []

    def statistics(self, at_ms: int, limit: int) -> Statistics:
        raise NotImplementedError("no query asks for it")


def matches(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name, "")
    match matcher.op:
        case MatchOp.EQUAL:
            return value == matcher.value
        case MatchOp.NOT_EQUAL:
            return value != matcher.value
        case MatchOp.REGEX:
            return regex.matches(matcher.value, value)
        case MatchOp.NOT_REGEX:
            return not regex.matches(matcher.value, value)
