"""The web UI in Debian's chromium on loopback: how soon it shows something, how much it loads, how fluid it is."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.products import OPSTRACE
from bench.report import Better, Row
from browser.browser import Visitor, chromium, visiting
from end_to_end.instance import Instance, running

VISITS = 5
SERIES = 100
POINTS = 5000  # of each series, and steps of the query
STEP_S = 10
SERIES_A_BODY = 10
MOVES = 60

# Frames while the mouse moves over the chart: the longest time between two of them, in ms.
_WATCH_FRAMES = """() => {
    window.frames_ms = [];
    let last = performance.now();
    const seen = now => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(seen); };
    requestAnimationFrame(seen);
}"""


def pages(directory: Path) -> list[Row]:
    """Return the rows of the first page and of a large chart."""
    with running(directory, "uibench", {"tenants": ["default"]}) as instance, _visitor(instance) as visitor:
        paint_ms, javascript_bytes = _first_page(visitor)
        end_s = _filled(instance)
        drawn_ms, frame_ms = _large_chart(visitor, end_s)
    return [
        Row("UI: first contentful paint", "ms", Better.LOWER, {OPSTRACE: paint_ms}, target=1000.0),
        Row("UI: JavaScript of the first page, gzip", "kB", Better.LOWER, {OPSTRACE: javascript_bytes / 1000}, 400.0),
        Row(f"UI: {SERIES} series × {POINTS} points drawn", "ms", Better.LOWER, {OPSTRACE: drawn_ms}),
        Row("UI: the same, longest frame of hovering", "ms", Better.LOWER, {OPSTRACE: frame_ms}),
    ]


@contextmanager
def _visitor(instance: Instance) -> Iterator[Visitor]:
    with chromium() as browser, visiting(browser, instance) as visitor:
        visitor.log_in()
        yield visitor


def _first_page(visitor: Visitor) -> tuple[float, float]:
    """Return the median time to the first paint of something, and the bytes of scripts, with nothing cached."""
    paints_ms, sizes = [], []
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    for _ in range(VISITS):
        visitor.open("/ui/start")
        visitor.page.get_by_test_id("checklist").wait_for()
        visitor.page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        paints_ms.append(visitor.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        sizes.append(
            visitor.page.evaluate(
                "performance.getEntriesByType('resource').filter(one => one.name.endsWith('.js'))"
                ".reduce((sum, one) => sum + one.encodedBodySize, 0)"
            )
        )
    return median(paints_ms), median(sizes)


def _filled(instance: Instance) -> int:
    """Send the series of the large chart; return the time of their last point."""
    end_s = int(time.time()) // STEP_S * STEP_S
    moments_s = range(end_s - (POINTS - 1) * STEP_S, end_s + 1, STEP_S)
    key = {"DD-API-KEY": instance.key()}
    for first in range(0, SERIES, SERIES_A_BODY):
        sent = [
            {
                "metric": "bench.wide",
                "type": "gauge",
                "host": f"host-{number}",
                "points": [[at_s, number + at_s % 97 / 97] for at_s in moments_s],
            }
            for number in range(first, first + SERIES_A_BODY)
        ]
        assert instance.send("POST", "/api/v1/series", json.dumps({"series": sent}).encode(), key).status == 202
    return end_s


def _large_chart(visitor: Visitor, end_s: int) -> tuple[float, float]:
    """Return the time from opening the page to its chart, and the longest frame while the mouse moves over it."""
    page = visitor.page
    start_s = end_s - (POINTS - 1) * STEP_S
    opened = time.monotonic()
    visitor.open(f"/ui/explore?q=bench_wide&from={start_s}000&to={end_s}000&step={STEP_S}s")
    page.get_by_test_id("series-count").wait_for()
    page.locator(".chart canvas").wait_for()
    drawn_ms = (time.monotonic() - opened) * 1000
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.evaluate(_WATCH_FRAMES)
    for move in range(MOVES):
        page.mouse.move(box["x"] + box["width"] * move / MOVES, box["y"] + box["height"] * (move % 10) / 10)
    return drawn_ms, float(page.evaluate("Math.max(...window.frames_ms.slice(1))"))
