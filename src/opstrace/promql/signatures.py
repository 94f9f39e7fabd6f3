"""Every function of the language and what it takes: the parser's half of the catalogue.

The other half, what each computes, is in `functions` and `rollup`; a test holds the two equal, and both equal to
docs/promql.md. Experimental functions of Prometheus are always on.
"""

from dataclasses import dataclass

from opstrace.promql.tree import Type


@dataclass(frozen=True, slots=True)
class Signature:
    """Argument types; the last `optional` may be left out, or the last repeat: without end, or `most` arguments."""

    args: tuple[Type, ...]
    returns: Type = Type.VECTOR
    optional: int = 0
    repeats: bool = False
    most: int = 0


_S, _V, _M, _T = Type.SCALAR, Type.VECTOR, Type.MATRIX, Type.STRING

_VECTOR = Signature((_V,))
_MATRIX = Signature((_M,))
_DATE = Signature((_V,), optional=1)
_MOMENT = Signature((), returns=_S)

_ONE_VECTOR = (
    "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor histogram_avg histogram_count"
    " histogram_stddev histogram_stdvar histogram_sum ln log10 log2 rad sgn sin sinh sort sort_desc sqrt tan tanh"
    " start_timestamp timestamp"
)
_ONE_MATRIX = (
    "absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta increase irate"
    " last_over_time mad_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time"
    " stdvar_over_time sum_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time"
    " ts_of_min_over_time"
)
DATES = ("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year")

SIGNATURES: dict[str, Signature] = {
    **dict.fromkeys(_ONE_VECTOR.split(), _VECTOR),
    **dict.fromkeys(_ONE_MATRIX.split(), _MATRIX),
    **dict.fromkeys(DATES, _DATE),
    **dict.fromkeys(("time", "pi", "start", "end", "step", "range"), _MOMENT),
    "clamp": Signature((_V, _S, _S)),
    "clamp_max": Signature((_V, _S)),
    "clamp_min": Signature((_V, _S)),
    "double_exponential_smoothing": Signature((_M, _S, _S)),
    "histogram_fraction": Signature((_S, _S, _V)),
    "histogram_quantile": Signature((_S, _V)),
    "histogram_quantiles": Signature((_V, _T, _S, _S), optional=1, repeats=True, most=12),
    "info": Signature((_V, _V), optional=1),
    "integral": Signature((_M, _S), optional=1),
    "label_join": Signature((_V, _T, _T, _T), optional=1, repeats=True),
    "label_replace": Signature((_V, _T, _T, _T, _T)),
    "max_of": Signature((_S, _S), returns=_S),
    "min_of": Signature((_S, _S), returns=_S),
    "predict_linear": Signature((_M, _S)),
    "quantile_over_time": Signature((_S, _M)),
    "round": Signature((_V, _S), optional=1),
    "scalar": Signature((_V,), returns=_S),
    "sort_by_label": Signature((_V, _T), optional=1, repeats=True),
    "sort_by_label_desc": Signature((_V, _T), optional=1, repeats=True),
    "vector": Signature((_S,)),
}

# Aggregations and the type of their parameter.
AGGREGATIONS: dict[str, Type | None] = {
    **dict.fromkeys(("avg", "count", "group", "max", "min", "stddev", "stdvar", "sum")),
    **dict.fromkeys(("bottomk", "limit_ratio", "limitk", "quantile", "topk"), _S),
    "count_values": _T,
}

# Which functions know how to use a range selector's modifier.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "anchored": ("changes", "delta", "increase", "rate", "resets"),
    "smoothed": ("delta", "increase", "rate"),
}
