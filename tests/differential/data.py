"""Random series as remote write carries them: gaps, ends, resets, NaN, samples that come late or twice."""

from collections.abc import Iterator
from random import Random
from typing import Any

from end_to_end.remote_write import Document

SPAN_S, SCRAPE_S = 2400, 15
MARKER = 12345.678  # stands for the end of a series until it is on the wire
JOBS, INSTANCES = ("api", "db", "web"), ("a:1", "b:1", "c:1", "d:1")
BOUNDS = ("0.1", "0.5", "1", "5", "+Inf")

Sample = dict[str, Any]


class Dataset:
    """The series of one seed, from `start_ms` on; `bodies` says what is sent in which order."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self._random = Random(seed)
        self._start_ms = start_ms
        self.series = [{"labels": labels, "samples": samples} for labels, samples in self._series()]

    def bodies(self) -> Iterator[Document]:
        """Yield what comes in time, what comes late, and some of it again."""
        late: list[Document] = []
        in_time: list[Document] = []
        for series in self.series:
            held = {n for n in range(1, len(series["samples"]) - 1) if self._random.random() < 0.03}
            in_time.append({**series, "samples": [s for n, s in enumerate(series["samples"]) if n not in held]})
            late.append({**series, "samples": [series["samples"][n] for n in sorted(held)]})
        yield {"timeseries": in_time}
        yield {"timeseries": [series for series in late if series["samples"]]}
        yield {"timeseries": [{**series, "samples": series["samples"][-2:]} for series in in_time[::3]]}

    def _series(self) -> Iterator[tuple[dict[str, str], list[Sample]]]:
        for job in JOBS:
            for instance in INSTANCES:
                labels = {"job": job, "instance": instance}
                yield {"__name__": "c", **labels}, self._with_holes(self._counter())
                yield {"__name__": "g", **labels}, self._with_holes(self._gauge())
                yield {"__name__": "n", **labels, "zone": job[0]}, self._with_holes(self._with_nan(self._gauge()))
            yield {"__name__": "of_job", "job": job, "team": f"team-{job}"}, self._samples([1.0] * self._count())
            for bound, counts in zip(BOUNDS, self._buckets(), strict=True):
                yield {"__name__": "h_bucket", "job": job, "le": bound}, self._samples(counts)

    def _count(self) -> int:
        return SPAN_S // SCRAPE_S

    def _samples(self, values: list[float]) -> list[Sample]:
        """Give values their times; none is a whole second, and so none lies on a window's edge."""
        phase = self._random.randrange(1, SCRAPE_S * 1000 - 1)
        phase += phase % 1000 == 0
        return [
            {"timestamp": self._start_ms + n * SCRAPE_S * 1000 + phase, "value": value}
            for n, value in enumerate(values)
        ]

    def _counter(self) -> list[float]:
        """Grow by whole numbers from far above zero, and fall once, perhaps, not near it."""
        value, values = 1_000_000.0, []
        reset = self._random.choice((None, self._random.randrange(self._count())))
        for n in range(self._count()):
            value = 100_000.0 if n == reset else value + self._random.choice((0, 1, 7, 100))
            values.append(value)
        return values

    def _gauge(self) -> list[float]:
        return [round(self._random.gauss(0, 50), 3) for _ in range(self._count())]

    def _with_nan(self, values: list[float]) -> list[float]:
        return [float("nan") if self._random.random() < 0.1 else value for value in values]

    def _buckets(self) -> list[list[float]]:
        """Return cumulative counts that never fall, neither in time nor from bound to bound."""
        rises = [[self._random.choice((0, 0, 1, 5)) for _ in range(self._count())] for _ in BOUNDS]
        totals = [[1000.0 * (n + 1)] for n in range(len(BOUNDS))]
        for at in range(1, self._count()):
            risen = 0
            for bound, total in enumerate(totals):
                risen += rises[bound][at]
                total.append(total[-1] + risen)
        return totals

    def _with_holes(self, values: list[float]) -> list[Sample]:
        """Let some samples out, and end the series now and then, sometimes for good."""
        samples, gone = [], 0
        for sample in self._samples(values):
            chance = self._random.random()
            if gone:
                gone -= 1
            elif chance < 0.01:
                gone = self._random.choice((3, 12, 30))
                samples.append({**sample, "value": MARKER})
            elif chance < 0.02:
                gone = self._random.choice((1, 5, 25))
            else:
                samples.append(sample)
        return [{**s, "value": "NaN"} if s["value"] != s["value"] else s for s in samples]
