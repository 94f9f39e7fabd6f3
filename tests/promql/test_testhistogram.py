import pytest

from opstrace.promql.testhistogram import derived_from_classic, point_of, show_histogram, with_hints
from opstrace.promql.testlanguage import HistogramPoint, Load, parse_script
from opstrace.store.histogram import CUSTOM_BOUNDS, NativeHistogram, ResetHint


def points(text: str) -> list[float | NativeHistogram]:
    (load,) = parse_script(f"load 1m\n  m {text}")
    assert isinstance(load, Load), load
    return [
        point_of(one) if isinstance(one, HistogramPoint) else one for one in load.series[0].points if one is not None
    ]


def test_buckets_have_the_index_their_offset_says() -> None:
    (histogram,) = points(
        "{{schema:1 count:9 sum:2 z_bucket:1 z_bucket_w:0.5 offset:-1 buckets:[1 0 2] n_offset:3 n_buckets:[5]}}"
    )
    assert histogram == NativeHistogram(1, 9, 2, 0.5, 1, {-1: 1, 0: 0, 1: 2}, {3: 5})


def test_custom_bounds() -> None:
    (histogram,) = points("{{schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1] counter_reset_hint:gauge}}")
    assert histogram == NativeHistogram(
        CUSTOM_BOUNDS, 3, positive={0: 1, 1: 1, 2: 1}, custom_bounds=(1, 2), hint=ResetHint.GAUGE
    )


@pytest.mark.parametrize(("sign", "counts"), [("+", [5, 7, 9]), ("-", [5, 3, 1])])
def test_sequences_add_up(sign: str, counts: list[float]) -> None:
    found = points(f"{{{{count:5 buckets:[5]}}}}{sign}{{{{count:2 buckets:[2]}}}}x2")
    assert [one.count for one in found] == counts
    assert [one.positive for one in found] == [{0: count} for count in counts]


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("{{count:1}}x2", "unknown not_reset not_reset"),
        ("{{count:2}} {{count:1}} {{count:1}}", "unknown unknown not_reset"),
        ("{{count:1}} 5 {{count:1}}", "unknown unknown"),
        ("{{count:1 counter_reset_hint:gauge}}x1 {{count:1}}", "gauge gauge unknown"),
        ("{{count:1 counter_reset_hint:not_reset}}", "unknown"),
    ],
)
def test_hints_are_those_a_store_knows(text: str, hints: str) -> None:
    found = [one.hint.value for one in with_hints(points(text)) if isinstance(one, NativeHistogram)]
    assert found == hints.split()


CLASSIC = """load_with_nhcb 1m
  b_bucket{a="1", le="2"}    3 _
  b_bucket{a="1", le="0.5"}  1 5
  b_bucket{a="1", le="+Inf"} 7 8
  b_bucket{a="1", le="oops"} 9 9
  b_sum{a="1"}               4.5 _
  c_bucket{le="1"}           1
  c_count                    4
  d_count                    2
  other{le="1"}              1
"""


def test_classic_histograms_become_native_ones() -> None:
    (load,) = parse_script(CLASSIC)
    assert isinstance(load, Load)
    derived = {tuple(sorted(labels.items())): at for labels, at in derived_from_classic(load.series)}
    assert derived == {
        (("__name__", "b"), ("a", "1")): {
            0: NativeHistogram(CUSTOM_BOUNDS, 7, 4.5, positive={0: 1, 1: 2, 2: 4}, custom_bounds=(0.5, 2)),
            1: NativeHistogram(CUSTOM_BOUNDS, 8, 0, positive={0: 5, 1: 3}, custom_bounds=(0.5,)),
        },
        (("__name__", "c"),): {
            0: NativeHistogram(CUSTOM_BOUNDS, 4, positive={0: 1, 1: 3}, custom_bounds=(1,)),
        },
        (("__name__", "d"),): {0: NativeHistogram(CUSTOM_BOUNDS, 2, positive={0: 2})},
    }


def test_histograms_are_shown_as_scripts_write_them() -> None:
    text = (
        "{{schema:1 count:9 sum:2 z_bucket:1 z_bucket_w:0.5 offset:-1 buckets:[1 0 2] n_offset:3 n_buckets:[5]"
        " counter_reset_hint:gauge}}"
    )
    assert show_histogram(points(text)[0]) == text
    text = "{{schema:-53 count:1 sum:0 offset:0 buckets:[1] custom_values:[1 2]}}"
    assert show_histogram(points(text)[0]) == text
