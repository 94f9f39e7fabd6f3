"""What `opstrace query` asks of a running instance, and how it shows the answer: a table, or a line a series."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from opstrace import client, token_files
from opstrace.errors import InstanceError
from opstrace.instance import Instance

CHART_WIDTH: Final = 60
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_PREFIX: Final = "/prometheus/api/v1"

Row = list[str]


def tenant_of(instance: Instance, named: str | None) -> str:
    """Return the tenant to ask for: the one named, or the config's first; raise InstanceError for one that is not."""
    tenant = named or instance.config.first_tenant
    instance.check_tenant(tenant)
    return tenant


def ask(instance: Instance, tenant: str, endpoint: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the whole document that answers a query; raise InstanceError with the reason of a refusal."""
    key = token_files.key_of(instance, tenant)
    if key is None:
        raise InstanceError(
            f"the token of tenant {tenant} {token_files.lack_of(instance, tenant)}; make a new one by "
            f"`opstrace keys rotate {instance.name} {tenant}`, or ask over HTTP with your own"
        )
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-www-form-urlencoded"}
    document: dict[str, Any]
    _, document = client.answer_of(instance, tenant, "POST", f"{_PREFIX}/{endpoint}", headers, urlencode(parameters))
    if document.get("status") != "success":
        raise InstanceError(f"{document.get('errorType', 'error')}: {document.get('error', 'no reason given')}")
    return document


def step_of(range_ms: int, step_ms: int | None) -> int:
    """Return the step to ask with: the one given, or one that fills a chart, whole seconds."""
    return step_ms or max(math.ceil(range_ms / CHART_WIDTH / 1000) * 1000, 1000)


@dataclass(frozen=True, slots=True)
class Steps:
    """The moments that are asked for, in milliseconds: the first and the last, and what is between two."""

    start_ms: int
    end_ms: int
    step_ms: int

    @classmethod
    def until(cls, now_ms: int, range_ms: int, step_ms: int | None) -> "Steps":
        """Return those of a range until now: whole steps, counted back from the end, so that the last is now."""
        step_ms = step_of(range_ms, step_ms)
        return cls(now_ms - range_ms // step_ms * step_ms, now_ms, step_ms)

    @classmethod
    def of(cls, result: Sequence[Mapping[str, Any]]) -> "Steps":
        """Return such as the samples of a range selector have."""
        times = [
            sorted(float(at) for at, _ in [*one.get("values", ()), *one.get("histograms", ())]) for one in result
        ]
        longest = max(times, key=len, default=[0.0])
        between_s = (longest[-1] - longest[0]) / max(len(longest) - 1, 1)
        start_s, end_s = min(map(min, times), default=0.0), max(map(max, times), default=0.0)
        return cls(round(start_s * 1000), round(end_s * 1000), max(round(between_s * 1000), 1))

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a query."""
        times_ms = {"start": self.start_ms, "end": self.end_ms, "step": self.step_ms}
        return {name: f"{time_ms / 1000:.3f}" for name, time_ms in times_ms.items()}

    def columns(self, width: int) -> int:
        """Return how many columns a line of them has: one each, if there are no more than its width."""
        return min((self.end_ms - self.start_ms) // self.step_ms + 1, width)

    def column(self, at_s: float, columns: int) -> int:
        """Return the column of a moment."""
        share = (at_s * 1000 - self.start_ms) / max(self.end_ms - self.start_ms, 1)
        # Half a step on, where each has its own: a moment in seconds lies a little to one side of itself.
        return min(max(int(share * (columns - 1) + 0.5), 0), columns - 1)


def table(data: Mapping[str, Any], limit: int, steps: Steps | None = None) -> list[Row]:
    """Return a result as the rows of a table, head first; the rest beyond `limit` series is counted in a last row.

    `steps` are those that were asked for, if some were.
    """
    kind, result = data["resultType"], data["result"]
    if kind in ("scalar", "string"):
        return [["VALUE"], [str(result[1])]]
    head = ["SERIES", "VALUE"]
    if kind == "matrix":
        head, steps = ["SERIES", "MIN", "MAX", "LAST", "OVER TIME"], steps or Steps.of(result)
    rows = [_of_matrix(one, steps) if steps else _of_vector(one) for one in result[:limit]]
    left = len(result) - len(rows)
    more = [[f"… {left} more; --limit shows them", *[""] * (len(head) - 1)]] if left else []
    return [head, *rows, *more]


def series_name(labels: Mapping[str, str]) -> str:
    """Return a label set as PromQL writes it."""
    pairs = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(labels.items())
                      if name != "__name__")  # fmt: skip
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs or "__name__" not in labels else "")


def _of_vector(series: Mapping[str, Any]) -> Row:
    if "histogram" in series:
        histogram = series["histogram"][1]
        return [series_name(series["metric"]), f"count {histogram['count']}, sum {histogram['sum']}"]
    return [series_name(series["metric"]), short(float(series["value"][1]))]


def _of_matrix(series: Mapping[str, Any], steps: Steps) -> Row:
    name, floats, histograms = series_name(series["metric"]), series.get("values", []), series.get("histograms", [])
    # Of a histogram the number of what it counts is shown.
    what = "count " if histograms and not floats else ""
    samples = [(float(at), float(value)) for at, value in floats]
    samples += [(float(at), float(one["count"])) for at, one in histograms]
    samples.sort()
    known = [value for _, value in samples if not math.isnan(value)]
    if not known:
        return [name, "-", "-", short(samples[-1][1]) if samples else "-", ""]
    numbers = [what + short(number) for number in (min(known), max(known), samples[-1][1])]
    return [name, *numbers, line(samples, steps)]


def line(samples: Sequence[tuple[float, float]], steps: Steps, width: int = CHART_WIDTH) -> str:
    """Return samples as a line of bars from the lowest to the highest, a gap where there is none.

    All lines of the same steps have the same columns.
    """
    columns = steps.columns(width)
    cells: list[list[float]] = [[] for _ in range(columns)]
    for at_s, value in samples:
        if math.isfinite(value):
            cells[steps.column(at_s, columns)].append(value)
    return "".join(_bars([_mean(cell) if cell else math.nan for cell in cells]))


def _mean(cell: Sequence[float]) -> float:
    """Return the mean of finite numbers; of equal ones that number, whose last bit would make the line jump."""
    # Divided first, and halved: the sum of large ones would be infinite.
    mean = 2 * math.fsum(value / len(cell) / 2 for value in cell)
    return min(max(mean, min(cell)), max(cell))


def _bars(means: Sequence[float]) -> Iterator[str]:
    known = [mean / 2 for mean in means if not math.isnan(mean)]  # halves: their differences are finite
    low, high = min(known, default=0.0), max(known, default=0.0)
    for mean in means:
        if math.isnan(mean):
            yield " "
        else:
            share = (mean / 2 - low) / (high - low) if high > low else 0.0
            yield _LEVELS[round(share * (len(_LEVELS) - 1))]


def short(number: float) -> str:
    """Return a number for a reader: six digits; one that is not finite as PromQL writes it."""
    if math.isnan(number):
        return "NaN"
    return f"{number:.6g}" if math.isfinite(number) else f"{number:+}".title()
