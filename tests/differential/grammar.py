"""Random PromQL that Prometheus 2.42 understands and that means the same in Prometheus 3.

What changed in between is left out, each for its reason:

- Windows and lookback are open to the left since 3.0. No sample and no subquery's step lies on an edge here.
- `rate`, `increase` and `delta` limit the extrapolation towards zero after the one towards the window's edge since
  2.52, before it until then: counters here are never near zero.
- Names go when the result is handed out (promql-delayed-name-removal): nothing groups, matches or replaces by
  `__name__`.
- Deviations and averages with infinities are NaN since 3.0: there are no infinities.
- `holt_winters` was renamed; `mad_over_time`, `limitk`, `limit_ratio`, `sort_by_label`, `info`, `ts_of_…`,
  `first_over_time` and durations with arithmetic came later.
- Native histograms were an experiment, whose `rate` and JSON changed; Prometheus's own scripts judge ours.
- `atan2` between vectors takes the name away since 2.43; here its operands have none.
- `stddev` and `stdvar` of NaN alone are NaN since 3.0, and parts of the date of NaN are: no NaN reaches them.
- `predict_linear` of a range that is pinned with `@` has a value at each step since 2.43.
- Comparisons here are with numbers that no value is near to, `%` is of samples, and no quantile lies between two
  buckets: the last digit of a sum may differ.
"""

from random import Random

RANGE_FUNCTIONS = (
    *("rate", "increase", "irate", "delta", "idelta", "changes", "resets", "deriv", "avg_over_time", "sum_over_time"),
    *("min_over_time", "max_over_time", "count_over_time", "last_over_time", "present_over_time"),
    *("stddev_over_time", "stdvar_over_time", "absent_over_time"),
)
FUNCTIONS = (
    *("abs", "ceil", "floor", "sgn", "exp", "sqrt", "ln", "log2", "log10", "deg", "rad", "atan", "sinh", "timestamp"),
    *("sort", "absent"),
)
DATES = ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group")
LABELS = ("job", "instance", "zone")
WINDOWS = ("40s", "1m", "95s", "5m", "11m")
MODIFIERS = ("", "", "", "", " offset 37s", " offset -1m", " @ end()", " @ start()")


class Grammar:
    """Writes queries; the same seed writes the same one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._write = (self._selector, self._range, self._function, self._aggregation, self._binary, self._other)

    def query(self) -> str:
        """Return an expression whose value is a vector."""
        return self._vector(3)

    def _vector(self, depth: int) -> str:
        if depth == 0:
            return self._selector(depth)
        return self._random.choice(self._write)(depth)

    def _one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _selector(self, _depth: int) -> str:
        return self._series() + self._one(*MODIFIERS)

    def _series(self, *names: str) -> str:
        matchers = self._one(
            "", "", '{job="api"}', '{instance=~"[ab].*"}', '{job!="db"}', '{zone=""}', '{job!~"w.*|x"}'
        )
        return self._one(*(names or ("c", "g", "n"))) + matchers

    def _range(self, depth: int) -> str:
        function, modifier = self._one(*RANGE_FUNCTIONS), self._one(*MODIFIERS)
        counters = function in ("rate", "increase", "irate", "resets")
        window = self._one(*WINDOWS)
        argument = f"{self._series(*(('c',) if counters else ()))}[{window}]{modifier}"
        if depth > 1 and self._random.random() < 0.2:
            argument = f"({self._vector(depth - 2)})[{self._one('3m', '7m')}:{self._one('20s', '1m')}]{modifier}"
        return self._one(
            f"{function}({argument})",
            f"{function}({argument})",
            f"quantile_over_time({self._one('0', '0.3', '0.9', '1')}, {argument})",
            f"predict_linear({self._series('c', 'g')}[{window}] offset 37s, {self._one('60', '-30')})",
        )

    def _function(self, depth: int) -> str:
        argument = self._vector(depth - 1)
        return self._one(
            f"{self._one(*FUNCTIONS)}({argument})",
            f"{self._one(*FUNCTIONS)}({argument})",
            f"clamp({argument}, -20.5, 40.5)",
            f"clamp_max({argument}, 7.25)",
            f"round({argument}, 0.5)",
            f'label_replace({argument}, "zone", "$1-x", "instance", "(.):.*")',
            f'label_join({argument}, "instance", "/", "job", "zone")',
            f"-({argument})",
        )

    def _aggregation(self, depth: int) -> str:
        labels = ", ".join(self._random.sample(LABELS, self._random.randrange(1, 3)))
        grouping = self._one("", f" by ({labels}) ", f" without ({labels}) ")
        argument = self._vector(depth - 1)
        return self._one(
            f"{self._one(*AGGREGATIONS)}{grouping}({argument})",
            f"{self._one(*AGGREGATIONS)}{grouping}({argument})",
            f"{self._one('stddev', 'stdvar')}{grouping}({self._series('c', 'g')})",
            f"quantile{grouping}({self._one('0.1', '0.5', '0.99')}, {argument})",
            f"{self._one('topk', 'bottomk')}{grouping}({self._one('1', '3')}, {self._series('g')})",
            f'count_values{grouping}("value", round({self._series("g")}, 40))',
        )

    def _binary(self, depth: int) -> str:
        left, right = self._vector(depth - 1), self._vector(depth - 1)
        arithmetic = self._one("+", "-", "*", "/", "^")
        compared = self._one(">", "<", ">=", "!=", "> bool", "<= bool")
        matching = self._one("", " on (job, instance) ", " ignoring (zone) ", " on (instance) ")
        return self._one(
            f"({left}) {arithmetic}{matching} ({right})",
            f"({left}) {self._one('and', 'or', 'unless')}{matching} ({right})",
            f"({left}) {arithmetic} {self._one('2', '-0.5')}",
            f"sum by (job) ({left}) atan2 {self._one('2', '-0.5')}",
            f"({self._series('c', 'g')}) % {self._one('7', '-0.5')}",
            f"({self._series('g', 'n')}) {compared} {self._one('10.0005', '-3.0005')}",
            f"({self._series('g', 'c')}) {arithmetic} on (job) group_left (team) of_job",
            f"({left}) {arithmetic} on (job) group_left () (sum by (job) ({right}))",
        )

    def _other(self, depth: int) -> str:
        return self._one(
            f"histogram_quantile({self._one('0.13', '0.57', '0.93')}, rate(h_bucket[{self._one(*WINDOWS)}]))",
            f"histogram_quantile(0.91, sum by (le) (rate(h_bucket[{self._one(*WINDOWS)}])))",
            f"vector(scalar({self._vector(depth - 1)}))",
            "vector(time())",
            f"{self._one(*DATES)}()",
            f"max_over_time(({self._series('g')})[5m:{self._one('20s', '1m')}])",
        )
