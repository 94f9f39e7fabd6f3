"""The web UI as a person sees it, in a real browser against a real server."""

import csv
import io
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.browser import WAIT_MS, Visitor, axe, visiting
from browser.traffic import HOSTS, POSTS_PER_S, Traffic, post, series
from end_to_end.instance import Instance
from end_to_end.remote_write import HEADERS_V1, snappy, write_request

WALKTHROUGH = "app_requests"  # the query of the README
MOST_JAVASCRIPT_BYTES = 400_000
INTERACTION_MS = 300  # the editor takes no completion that has only just appeared

expect.set_options(timeout=WAIT_MS)


def query_of(page: Page, number: int = 1) -> str:
    return page.get_by_label(f"Query {number}", exact=True).inner_text().strip()


def explored(visitor: Visitor, query: str, rest: str = "") -> None:
    visitor.open(f"/ui/explore?q={quote(query)}{rest}")
    visitor.page.get_by_test_id("series-count").wait_for()


def test_a_wrong_key_is_told_and_the_right_one_opens(stranger: Visitor) -> None:
    page = stranger.page
    stranger.open("/ui/explore?q=up")
    page.get_by_label("API key of a tenant").fill("0" * 32)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not one of this server's")
    page.get_by_label("API key of a tenant").fill(stranger.instance.key("quiet"))
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("tenant")).to_have_text("quiet")
    assert query_of(page) == "up"  # the address that was asked for, after the login
    cookies = stranger.context.cookies()
    assert [(cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) for cookie in cookies] == [
        (True, True, "Strict")
    ]
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("API key of a tenant").wait_for()
    page.reload()
    page.get_by_label("API key of a tenant").wait_for()


def asks_for_a_key(page: Page) -> None:
    page.get_by_label("API key of a tenant").wait_for()
    expect(page.get_by_test_id("tenant")).to_have_count(0)


def another(visitor: Visitor, path: str) -> Page:
    """Open one more page of the same browser."""
    page = visitor.context.new_page()
    page.goto(visitor.origin + path)
    page.get_by_test_id("tenant").wait_for()
    return page


def test_logging_out_shows_in_every_page(stranger: Visitor) -> None:
    """In whichever of them it is done, and whether or not the key was typed there."""
    stranger.log_in("quiet")
    stranger.page.reload()
    stranger.page.get_by_role("button", name="Log out").click()
    asks_for_a_key(stranger.page)
    stranger.log_in("quiet")
    second = another(stranger, "/ui/metrics")
    second.get_by_role("button", name="Log out").click()
    asks_for_a_key(second)
    asks_for_a_key(stranger.page)


def test_a_page_never_shows_one_tenants_data_under_the_name_of_another(stranger: Visitor) -> None:
    stranger.log_in("quiet")
    explored(stranger, "vector(1)")
    second = another(stranger, "/ui/metrics")
    second.get_by_role("button", name="Log out").click()
    second.get_by_label("API key of a tenant").fill(stranger.instance.key("system"))
    second.get_by_role("button", name="Log in").click()
    for page in (second, stranger.page):
        expect(page.get_by_test_id("tenant")).to_have_text("system")
    assert query_of(stranger.page) == "vector(1)"


SESSION = """([method, key]) => fetch("/ui/session", { method, headers: key ? { "dd-api-key": key } : {} })"""


def test_a_session_that_became_another_is_noticed(stranger: Visitor) -> None:
    """When a person comes back to the page, and at the first answer that is refused."""
    page, key = stranger.page, stranger.instance.key("system")
    stranger.log_in("quiet")
    explored(stranger, "vector(1)")
    page.evaluate(SESSION, ["POST", key])
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.get_by_test_id("tenant")).to_have_text("system")
    page.get_by_test_id("series-count").wait_for()
    page.evaluate(SESSION, ["DELETE", ""])
    page.get_by_label("Ask again").click()
    asks_for_a_key(page)


def test_a_logout_that_failed_is_told(stranger: Visitor) -> None:
    stranger.log_in("quiet")
    stranger.context.set_offline(True)
    stranger.page.get_by_role("button", name="Log out").click()
    expect(stranger.page.get_by_role("alert", name="You are still logged in")).to_be_visible()
    stranger.context.set_offline(False)
    stranger.page.get_by_role("button", name="Log out").click()
    asks_for_a_key(stranger.page)


def test_the_first_payload_appears_in_the_checklist(stranger: Visitor) -> None:
    """With nobody touching the page: it looks by itself."""
    stranger.log_in("quiet")
    checklist = stranger.page.get_by_test_id("checklist")
    first = checklist.locator("li", has_text="First payload")
    expect(first).to_have_attribute("data-done", "false")
    expect(checklist.locator("li").last).to_have_text(re.compile("Nothing refused"))
    assert post(stranger.instance, series(time.time()), "quiet") == 202
    assert post(stranger.instance, [{"metric": "", "points": [[time.time(), 1]]}], "quiet") == 202
    expect(first).to_have_attribute("data-done", "true")
    expect(checklist.locator("li", has_text="Hosts")).to_contain_text(", ".join(HOSTS))
    expect(checklist.locator("li", has_text="Metrics")).to_contain_text("app_requests")
    expect(checklist).to_contain_text("no_name")
    expect(checklist.locator("li").last).to_have_text(re.compile("Refused Some of what came"))


def test_the_operators_checklist_waits_for_no_agent(stranger: Visitor) -> None:
    """And counts metrics that none sent."""
    stranger.log_in("system")
    checklist = stranger.page.get_by_test_id("checklist")
    expect(checklist).to_contain_text("no Agent needs to send to it")
    expect(checklist.locator("li")).to_have_count(1)
    expect(checklist.locator("li")).to_have_text(re.compile(r"Metrics [1-9]\d*:"))


def test_settings_hold_the_key_only_when_that_is_asked_for(stranger: Visitor) -> None:
    page, key = stranger.page, stranger.instance.key()
    stranger.log_in()
    expect(page.locator("pre").first).to_contain_text("docker run")
    assert key not in page.content()
    page.get_by_label("Put my key into the texts below").check()
    expect(page.locator("pre").first).to_contain_text(key)
    page.get_by_role("tab", name="Kubernetes (Helm)").click()
    expect(page.locator("pre").first).to_contain_text(f'apiKey: "{key}"')


def test_explore_draws_the_walkthroughs_query_typed_by_keyboard(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/start")
    page.get_by_test_id("checklist").wait_for()
    page.keyboard.press("Alt+e")
    page.get_by_label("Query 1", exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("app_req")
    page.get_by_role("option", name=WALKTHROUGH).wait_for()  # completion, from the store
    page.wait_for_timeout(INTERACTION_MS)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("series-count")).to_contain_text(f"{len(HOSTS)} series")
    assert query_of(page) == WALKTHROUGH
    for host in HOSTS:
        expect(page.locator("table.legend")).to_contain_text(f'instance="{host}"')
    assert painted(page) > 50
    assert f"q={WALKTHROUGH}" in page.url


def test_enter_runs_unless_a_completion_is_chosen(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/explore")
    page.get_by_label("Query 1", exact=True).click()
    page.keyboard.type(WALKTHROUGH)
    page.get_by_role("option", name=WALKTHROUGH).wait_for()
    page.wait_for_timeout(INTERACTION_MS)
    page.keyboard.press("Enter")  # there is no more of it to be completed
    expect(page.get_by_test_id("series-count")).to_contain_text(f"{len(HOSTS)} series")
    expect(page.get_by_role("option")).to_have_count(0)
    page.get_by_label("Query 1", exact=True).fill("")
    page.keyboard.type(f"sum({WALKTHROUGH})")
    page.wait_for_timeout(INTERACTION_MS)
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("series-count")).to_contain_text("1 series")
    assert query_of(page) == f"sum({WALKTHROUGH})"
    page.keyboard.type(" b")
    page.get_by_role("option", name="by", exact=True).wait_for()
    page.wait_for_timeout(INTERACTION_MS)
    page.keyboard.press("Enter")
    assert query_of(page) == f"sum({WALKTHROUGH}) by"


def test_completions_do_not_cover_what_is_typed(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/explore")
    page.get_by_label("Query 1", exact=True).click()
    page.keyboard.type("app_")
    page.get_by_role("option", name=WALKTHROUGH).wait_for()
    line, popup = (page.locator(found).bounding_box() for found in (".cm-line", ".cm-tooltip-autocomplete"))
    assert line is not None
    assert popup is not None
    assert popup["y"] >= line["y"] + line["height"]


def test_an_added_query_is_typed_at_once(visitor: Visitor) -> None:
    page = visitor.page
    explored(visitor, WALKTHROUGH)
    page.get_by_role("button", name="Add a query").click()
    expect(page.get_by_label("Query 2", exact=True)).to_be_focused()
    page.keyboard.type("vector(1)")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("series-count")).to_contain_text(f"{len(HOSTS) + 1} series")
    assert query_of(page, 2) == "vector(1)"


def painted(page: Page) -> int:
    """Return how many points of the chart have the first line's colour (#3f8efc, near enough)."""
    count: int = page.locator(".chart canvas").first.evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (Math.abs(data[i] - 0x3f) < 40 && Math.abs(data[i + 1] - 0x8e) < 40
                    && data[i + 2] > 0xd0) count += 1;
            return count;
        }"""
    )
    return count


def test_a_deep_link_shows_the_same_to_somebody_else(visitor: Visitor, browser: Browser) -> None:
    page = visitor.page
    explored(visitor, "sum by (zone) (system_load_1)", "&style=stacked&from=now-15m&to=now&step=20s")
    expect(page.get_by_test_id("series-count")).to_contain_text("2 series, a value every 20s")
    page.locator(".legend-name").first.click()  # alone
    expect(page.locator("table.legend tr[data-hidden]")).to_have_count(1)
    with visiting(browser, visitor.instance) as other:
        other.log_in()
        other.page.goto(page.url)
        expect(other.page.get_by_test_id("series-count")).to_contain_text("2 series, a value every 20s")
        expect(other.page.locator("table.legend tr[data-hidden]")).to_have_count(1)
        expect(other.page.get_by_role("button", name="Range of time")).to_have_text("Last 15 minutes")
        assert other.page.locator("input[type=radio][value=stacked]").is_checked()


def test_dragging_zooms_and_going_back_undoes_it(visitor: Visitor) -> None:
    page = visitor.page
    explored(visitor, "system_load_1", "&from=now-30m")
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"from=\d{13}"))
    page.go_back()
    expect(page.get_by_role("button", name="Range of time")).to_have_text("Last 30 minutes")


def test_csv_has_what_the_chart_has(visitor: Visitor) -> None:
    explored(visitor, WALKTHROUGH, "&from=now-5m")
    with visitor.page.expect_download() as downloading:
        visitor.page.get_by_role("button", name="CSV").click()
    head, *rows = csv.reader(io.StringIO(Path(downloading.value.path()).read_text(encoding="utf-8")))
    assert head[0] == "time"
    assert {re.findall(r'instance="([^"]+)"', name)[0] for name in head[1:]} == set(HOSTS)
    assert any(float(row[1]) > 0 for row in rows if row[1])


def test_a_rate_that_is_one_already_is_told(visitor: Visitor) -> None:
    explored(visitor, "rate(system_net_bytes_rcvd[1m])")
    expect(visitor.page.get_by_text("Already per second")).to_contain_text("Leave it out")
    explored(visitor, "system_net_bytes_rcvd")
    expect(visitor.page.get_by_text("Already per second")).to_contain_text("no rate() needed")


MEBIBYTES = {"system.mem.total": 16384, "system.mem.usable": 4096}  # as an Agent sends them


def test_a_hosts_memory_is_in_bytes(stranger: Visitor) -> None:
    now_s = time.time()
    sent = [
        {
            "metric": metric,
            "host": "web-1",
            "type": "gauge",
            "points": [[now_s - ago_s, value] for ago_s in (60, 30, 0)],
        }
        for metric, value in MEBIBYTES.items()
    ]
    assert post(stranger.instance, sent, "quiet") == 202
    stranger.log_in("quiet")
    for path in ("/ui/dashboards/opstrace-host?var-instance=web-1", "/ui/hosts/web-1"):
        stranger.open(f"{path}{'&' if '?' in path else '?'}from=now-5m")
        memory = stranger.page.locator("[aria-label='Memory'][data-panel=timeseries]")
        expect(memory.get_by_role("row", name=re.compile("^in use"))).to_contain_text("12 GiB")
        expect(memory.get_by_role("row", name=re.compile("^total"))).to_contain_text("16 GiB")


def written(instance: Instance) -> None:
    """Send what only other senders than Agents do: native histograms, and names that are no identifiers."""
    now_ms = int(time.time() - 30) * 1000
    dotted = {"__name__": "http.requests", "my.label": "a"}
    histogram = {"count_int": 3, "sum": 4.5, "positive_spans": [{"offset": 0, "length": 1}], "positive_deltas": [3]}
    document = {
        "timeseries": [
            {"labels": dotted, "samples": [{"timestamp": now_ms, "value": 7}]},
            {"labels": {"__name__": "latency"}, "histograms": [{**histogram, "timestamp": now_ms}]},
        ]
    }
    headers = {**HEADERS_V1, "Authorization": f"Bearer {instance.key('quiet')}"}
    answer = instance.send("POST", "/prometheus/api/v1/write", snappy(write_request(document)), headers)
    assert answer.status == 204


def test_names_that_are_no_identifiers_are_quoted(stranger: Visitor) -> None:
    """In links, in completions, in the legend and in CSV."""
    page = stranger.page
    written(stranger.instance)
    stranger.log_in("quiet")
    stranger.open("/ui/metrics?metric=http.requests")
    page.locator("main").get_by_role("link", name="Explore", exact=True).click()
    expect(page.get_by_test_id("series-count")).to_contain_text("1 series")
    assert query_of(page) == '{"http.requests"}'
    expect(page.locator(".legend-name")).to_contain_text('{"http.requests", "my.label"="a"}')
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    head = next(csv.reader(io.StringIO(Path(downloading.value.path()).read_text(encoding="utf-8"))))
    assert head == ["time", '{"http.requests", "my.label"="a"}']
    stranger.open("/ui/explore")
    page.get_by_role("button", name="http.requests").click()  # begin with
    expect(page.get_by_test_id("series-count")).to_contain_text("1 series")
    stranger.open("/ui/explore")
    for typed in ("htt", '{"htt'):
        page.get_by_label("Query 1", exact=True).fill("")
        page.keyboard.type(typed)
        page.get_by_role("option", name="http.requests").wait_for()
        page.wait_for_timeout(INTERACTION_MS)
        page.keyboard.press("Enter")
        expect(page.get_by_label("Query 1", exact=True)).to_have_text('{"http.requests"}')


def test_histograms_are_told_and_are_values(stranger: Visitor) -> None:
    page = stranger.page
    written(stranger.instance)
    stranger.log_in("quiet")
    for tab in ("", "&tab=table"):
        stranger.open(f"/ui/explore?q=latency{tab}")
        expect(page.get_by_text("These are histograms; draw a number of them")).to_be_visible()
        expect(page.locator(".chart")).to_have_count(0)
    stranger.open("/ui/explore?q=latency&tab=instant")
    expect(page.get_by_role("row", name=re.compile("^latency"))).to_contain_text("count 3, sum 4.5")


def test_values_now_are_of_every_kind_of_answer(visitor: Visitor) -> None:
    page = visitor.page
    queries = ("system_load_1[30s]", '"hello"', "sum(system_load_1)", "sum(app_requests)")
    visitor.open(f"/ui/explore?tab=instant&{'&'.join(f'q={quote(query)}' for query in queries)}")
    table = page.get_by_role("table")
    for host in HOSTS:
        expect(table.get_by_role("row", name=re.compile(rf'instance="{host}"'))).to_be_visible()
    expect(table.get_by_role("row", name=re.compile('^"hello"')).get_by_role("cell").last).to_have_text("hello")
    for query in queries[2:]:
        expect(table.get_by_role("row", name=re.compile(f"^{re.escape(query)}"))).to_be_visible()


def test_a_query_that_errors_is_told_beside_one_that_does_not(visitor: Visitor) -> None:
    visitor.open(f"/ui/explore?q={quote('sum(')}&q={WALKTHROUGH}")
    expect(visitor.page.get_by_role("alert")).to_contain_text("sum(")
    expect(visitor.page.get_by_test_id("series-count")).to_contain_text("3 series")


def test_a_server_that_is_away_is_told_and_found_again(visitor: Visitor) -> None:
    page = visitor.page
    explored(visitor, WALKTHROUGH)
    visitor.context.set_offline(True)
    page.get_by_label("Ask again").click()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.get_by_label("Query 1", exact=True)).to_be_visible()
    visitor.context.set_offline(False)
    page.get_by_label("Ask again").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_catalogue_finds_and_explains(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/metrics")
    page.get_by_label("Search metrics").fill("app.req")
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^1 metric, 3 series"))
    page.get_by_role("button", name="app_requests").click()
    examples = page.get_by_role("cell", name=", ".join(HOSTS), exact=True)
    expect(examples).to_be_visible()
    page.get_by_role("cell", name="app.requests", exact=True).click()  # anywhere in the row
    expect(examples).to_have_count(0)
    page.get_by_role("cell", name="app.requests", exact=True).click()
    expect(examples).to_be_visible()
    page.get_by_role("link", name="Explore", exact=True).last.click()
    expect(page.get_by_test_id("series-count")).to_contain_text("3 series")


def told(instance: Instance) -> None:
    """Send what an Agent tells besides series: its host, a service check that fails, an event."""
    now_s = int(time.time())
    key = {"DD-API-KEY": instance.key(), "content-type": "application/json"}
    host = {
        "internalHostname": "web-1",
        "agentVersion": "7.71.2",
        "os": "linux",
        "meta": {"hostname": "web-1", "host_aliases": ["i-0abc"]},
        "host-tags": {"system": ["role:frontend"]},
    }
    check = {"check": "http.can_connect", "host_name": "web-1", "timestamp": now_s, "tags": ["url:example"]}
    runs = [{**check, "timestamp": now_s - 60, "status": 0}, {**check, "status": 2, "message": "timed out"}]
    event = {"title": "Deployed 4.2", "text": "by the pipeline", "host": "web-1", "tags": ["env:prod"]}
    for path, body in {"/intake": host, "/api/v1/check_run": runs, "/api/v1/events": event}.items():
        assert instance.send("POST", path, json.dumps(body).encode(), key).status == 202, path


def test_a_row_of_a_check_is_clicked_anywhere(visitor: Visitor) -> None:
    """But its link goes to the host, and to mark what it says opens nothing."""
    page = visitor.page
    told(visitor.instance)
    visitor.open("/ui/checks?status=critical")
    message = page.get_by_text("timed out")
    box = message.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert page.evaluate("getSelection().toString()") in "timed out"
    expect(page.get_by_role("dialog")).to_have_count(0)
    message.click()
    expect(page.get_by_role("dialog").get_by_role("row").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("row").get_by_role("link", name="web-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("web-1")
    expect(page.get_by_role("dialog")).to_have_count(0)


# What stands in more than one line of: heads, words of names, and the marker with the first word behind it.
BROKEN = """() => {
    const broken = nodes => {
        const range = document.createRange();
        range.setStartBefore(nodes.at(0));
        range.setEndAfter(nodes.at(-1));
        const boxes = [...range.getClientRects()];
        return boxes.some(box => box.top > boxes[0].bottom - 2);
    };
    const texts = node => node.nodeType === Node.TEXT_NODE ? [node] : [...node.childNodes].flatMap(texts);
    const found = name => [...document.querySelectorAll(`main ${name}`)].map(texts);
    const marked = found("td button").map(nodes => nodes.slice(0, 3));
    const words = [...found("td.mono"), ...found("td button")].flat().map(node => [node]);
    const whole = [...found("th"), ...marked, ...words].filter(nodes => nodes.length);
    return whole.filter(broken).map(nodes => nodes.map(node => node.data).join(""));
}"""


def test_names_break_between_words_and_heads_not_at_all(visitor: Visitor) -> None:
    visitor.open("/ui/metrics")
    visitor.page.get_by_role("button", name=WALKTHROUGH).wait_for()
    for width in (1280, 420):
        visitor.page.set_viewport_size({"width": width, "height": 860})
        assert visitor.page.evaluate(BROKEN) == []


def test_hosts_checks_and_events_are_listed(visitor: Visitor) -> None:
    page = visitor.page
    told(visitor.instance)
    visitor.open("/ui/hosts?search=role:frontend")
    expect(page.get_by_role("status")).to_have_text("1 host")
    page.get_by_role("link", name="web-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("web-1")
    for fact in ("7.71.2", "i-0abc", "role:frontend", "timed out"):
        expect(page.locator("main")).to_contain_text(fact)
    expect(page.get_by_label("CPU", exact=True).first).to_be_visible()
    expect(page.get_by_label("Disks", exact=True)).to_be_hidden()  # nobody sent one
    visitor.open("/ui/checks?status=critical")
    expect(page.get_by_role("status")).to_have_text("1 check")
    page.get_by_role("button", name="http.can_connect").click()
    expect(page.get_by_role("dialog").get_by_role("row")).to_have_count(2)
    visitor.open("/ui/events?query=pipeline")
    expect(page.get_by_role("article").first).to_contain_text("Deployed 4.2")
    page.get_by_label("Search events").fill("nothing of the kind")
    expect(page.get_by_text("No event in this time.")).to_be_visible()


def test_a_host_that_nobody_heard_of_is_told(visitor: Visitor) -> None:
    """Unlike one that only sends metrics."""
    visitor.open("/ui/hosts/nobody")
    expect(visitor.page.get_by_text("No host of this name was heard of.")).to_be_visible()
    visitor.open("/ui/hosts/web-2")
    expect(visitor.page.get_by_label("CPU", exact=True).first).to_be_visible()
    expect(visitor.page.get_by_text("No host of this name")).to_have_count(0)


def test_the_books_tell_what_was_refused_and_what_is_kept(stranger: Visitor) -> None:
    instance, page = stranger.instance, stranger.page
    key = {"DD-API-KEY": instance.key("quiet")}
    assert instance.send("POST", "/api/v1/series", b"nonsense", key).status == 400
    assert instance.send("POST", "/api/v9/unheard-of", b"payload", key).status == 202
    stranger.log_in("quiet")
    page.keyboard.press("Alt+l")
    expect(page.get_by_role("row", name=re.compile("unknown – payloads"))).to_contain_text("undecodable: 1")
    kept = page.get_by_role("row", name=re.compile("other 1"))
    expect(kept).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(kept).to_be_visible()  # nothing understands it yet


def test_the_operator_sees_every_tenant_and_nobody_else_does(stranger: Visitor, visitor: Visitor) -> None:
    visitor.open("/ui/tenants")
    expect(visitor.page.get_by_text("for whoever logs in with the key of tenant system")).to_be_visible()
    expect(visitor.page.get_by_role("link", name="Tenants")).to_have_count(0)
    stranger.log_in("system")
    page = stranger.page
    page.get_by_role("link", name="Tenants").click()
    for tenant in ("default", "quiet", "system"):
        expect(page.get_by_role("link", name=tenant, exact=True)).to_be_visible()
    stored = page.get_by_role("row", name=re.compile("^default")).get_by_role("cell").nth(2)
    expect(stored).not_to_have_text("0", timeout=40_000)  # the server looks at itself every 10 s
    expect(page.get_by_label("metric_retention_days")).to_have_attribute("placeholder", "30")


def test_dark_stays_dark(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/metrics")
    root = page.locator("html")
    expect(root).to_have_attribute("data-mantine-color-scheme", "light")
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("d")
    expect(root).to_have_attribute("data-mantine-color-scheme", "dark")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 80
    page.reload()
    expect(root).to_have_attribute("data-mantine-color-scheme", "dark")


def test_every_page_is_reached_by_keyboard(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/ui/start")
    page.get_by_role("heading", level=1).wait_for()
    for letter, name in {
        "m": "Metrics",
        "d": "Dashboards",
        "h": "Hosts",
        "c": "Service checks",
        "v": "Events",
        "e": "Explore",
        "s": "Point your Agents here",
    }.items():
        page.keyboard.press(f"Alt+{letter}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page).to_have_title(f"{'Get started' if letter == 's' else name} · opstrace")
    page.keyboard.press("Shift+?")
    expect(page.get_by_role("dialog")).to_contain_text("Dark or light")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize(
    ("path", "title"), [("hosts/web-1", "web-1"), ("dashboards/opstrace-hosts", "Hosts overview"), ("none", "")]
)
def test_the_browsers_tab_is_named_after_the_page(visitor: Visitor, path: str, title: str) -> None:
    visitor.open(f"/ui/{path}")
    expect(visitor.page).to_have_title(f"{title} · opstrace" if title else "opstrace")


def test_a_dashboard_is_uploaded_edited_starred_and_deleted(visitor: Visitor) -> None:
    page = visitor.page
    panels = [
        {
            "id": 1,
            "type": "stat",
            "title": "Load",
            "targets": [{"refId": "A", "expr": 'system_load_1{instance="$host"}'}],
        },
        {"id": 2, "type": "nodeGraph", "title": "Graph", "targets": []},
        {"id": 3, "type": "timeseries", "title": "Broken", "targets": [{"refId": "A", "expr": "sum("}]},
    ]
    variable = {"name": "host", "type": "query", "query": "label_values(system_load_1, instance)", "sort": 1}
    document = {"uid": "mine", "title": "Mine", "templating": {"list": [variable]}, "panels": panels}
    visitor.open("/ui/dashboards")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Upload Grafana's JSON").click()
    choosing.value.set_files(
        {"name": "a.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")
    expect(page.get_by_role("combobox", name="host")).to_have_value("web-1")
    expect(page.get_by_label("Load", exact=True).locator(".stat-value")).to_have_text(re.compile(r"^[123](\.\d+)?$"))
    expect(page.get_by_label("Graph", exact=True)).to_contain_text("panels of type nodeGraph")
    expect(page.get_by_label("Broken", exact=True).get_by_role("alert")).to_be_visible()
    page.get_by_label("Favourite").click()
    page.get_by_role("button", name="JSON").click()
    text = page.get_by_label("JSON", exact=True)
    text.fill('{"title": "Mine"}')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("`panels` must be a list")
    text.fill(json.dumps({**document, "title": "Changed"}))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Changed")
    visitor.open("/ui/dashboards")
    expect(page.get_by_role("row").first).to_contain_text("Changed")
    page.get_by_role("link", name="Changed").click()
    page.get_by_role("button", name="JSON").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboards")
    expect(page.get_by_role("link", name="Changed")).to_have_count(0)


def test_repeats_overrides_and_transformations(visitor: Visitor) -> None:
    """A panel stands once a host; fields look as overrides say; a table is what its transformations make."""
    page = visitor.page
    load = {"refId": "A", "expr": "system_load_1", "instant": True, "format": "table"}
    override = {
        "matcher": {"id": "byRegexp", "options": "/web-1/"},
        "properties": [{"id": "displayName", "value": "the first"}, {"id": "unit", "value": "suffix:runs"}],
    }
    panels = [
        {
            "id": 1,
            "type": "stat",
            "title": "Load of $host",
            "repeat": "host",
            "maxPerRow": 2,
            "gridPos": {"x": 0, "y": 0, "w": 12, "h": 5},
            "targets": [{"refId": "A", "expr": 'system_load_1{instance="$host"}', "legendFormat": "{{instance}}"}],
            "fieldConfig": {"defaults": {"decimals": 3}, "overrides": [override]},
        },
        {
            "id": 2,
            "type": "table",
            "title": "Sums",
            "gridPos": {"x": 0, "y": 5, "w": 24, "h": 8},
            "targets": [load],
            "transformations": [
                {
                    "id": "filterByValue",
                    "options": {"filters": [{"fieldName": "Value", "config": {"id": "isNotNull"}}]},
                },
                {"id": "organize", "options": {"renameByName": {"instance": "machine"}}},
                {"id": "filterFieldsByName", "options": {"include": {"names": ["machine", "Value"]}}},
                {"id": "sortBy", "options": {"sort": [{"field": "machine", "desc": True}]}},
                {"id": "limit", "options": {"limitField": 1}},
            ],
        },
    ]
    hosts = {"name": "host", "type": "query", "query": "label_values(system_load_1, instance)", "sort": 1}
    variable = {**hosts, "multi": True, "includeAll": True, "current": {"value": ["$__all"]}}
    document = {"uid": "repeats", "title": "Repeats", "templating": {"list": [variable]}, "panels": panels}
    visitor.open("/ui/dashboards")
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Upload Grafana's JSON").click()
    choosing.value.set_files(
        {"name": "a.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
    )
    shown = page.locator("[data-panel=stat]")
    expect(shown).to_have_count(len(HOSTS))
    for host in HOSTS:
        expect(page.get_by_label(f"Load of {host}", exact=True).locator(".stat-value")).to_have_text(
            re.compile(r"^\d\.\d{3}( runs)?$")
        )
    expect(page.get_by_label("Load of web-1", exact=True).locator(".stat-value")).to_have_text(re.compile("runs$"))
    first, third = (shown.nth(n).bounding_box() for n in (0, 2))
    assert first is not None
    assert third is not None
    assert first["x"] == third["x"]
    assert third["y"] > first["y"]
    table = page.get_by_label("Sums", exact=True).first.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table.get_by_role("row").nth(0)).to_have_text(re.compile("machine.*Value"))
    expect(table.get_by_role("row").nth(1)).to_contain_text(max(HOSTS))
    expect(page.get_by_role("note")).to_have_count(0)


def uploaded(visitor: Visitor, document: dict[str, object]) -> None:
    visitor.open("/ui/dashboards")
    visitor.page.locator("input[type=file]").set_input_files(
        {"name": "a.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
    )


def test_a_panel_holds_what_it_draws(visitor: Visitor) -> None:
    """Gauges stand side by side within it; a mapping colours; a table joins what two queries answer."""
    page = visitor.page
    load = {"refId": "A", "expr": "system_load_1", "legendFormat": "{{instance}}"}
    mapping = {"type": "range", "options": {"from": 0, "to": 9, "result": {"text": "fine", "color": "#123456"}}}
    hosts = [
        {"refId": ref, "expr": f"max by (instance) ({expr})"}
        for ref, expr in (("A", "up_none"), ("B", "system_load_1"))
    ]
    panels = [
        {"id": 1, "type": "gauge", "title": "Loads", "targets": [load]},
        {
            "id": 2,
            "type": "stat",
            "title": "States",
            "targets": [load],
            "fieldConfig": {"defaults": {"mappings": [mapping], "displayName": "host ${__field.labels.instance}"}},
        },
        {"id": 3, "type": "table", "title": "Both", "targets": hosts, "transformations": [{"id": "merge"}]},
    ]
    uploaded(visitor, {"uid": "holds", "title": "Holds", "refresh": "1m", "panels": panels})
    gauges = page.get_by_label("Loads", exact=True)
    expect(gauges.locator("svg")).to_have_count(len(HOSTS))
    outer = gauges.bounding_box()
    assert outer is not None
    for gauge in gauges.locator("svg").all():
        inner = gauge.bounding_box()
        assert inner is not None
        assert inner["y"] + inner["height"] <= outer["y"] + outer["height"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
    state = page.get_by_label("States", exact=True)
    expect(state.locator(".stat-value").first).to_have_text("fine")
    expect(state.locator(".stat-value").first).to_have_css("color", "rgb(18, 52, 86)")
    expect(state.locator(".stat-name")).to_have_text([f"host {host}" for host in HOSTS])
    table = page.get_by_label("Both", exact=True).first.get_by_role("table")
    expect(table.get_by_role("row").first).to_have_text(re.compile("instance.*Value #B"))
    expect(page.get_by_role("combobox", name="Refresh")).to_have_value("every minute")
    page.get_by_role("combobox", name="Refresh").click()
    page.get_by_role("option", name="Refresh: off").click()
    expect(page.get_by_role("combobox", name="Refresh")).to_have_value("Refresh: off")


def test_no_dashboard_takes_the_place_of_another_unasked(visitor: Visitor) -> None:
    page = visitor.page
    for address in ("dashboard", "dashboard-2"):
        uploaded(visitor, {"title": "温度", "panels": []})
        page.wait_for_url(f"**/dashboards/{address}")
    for address in ("dashboard-2-copy", "dashboard-2-copy-2"):
        visitor.open("/ui/dashboards/dashboard-2")
        page.get_by_role("button", name="JSON").click()
        page.get_by_role("button", name="Save as a copy").click()
        page.wait_for_url(f"**/dashboards/{address}")
    uploaded(visitor, {"uid": "dashboard-2", "title": "Other", "panels": []})
    page.get_by_role("button", name="Keep both").click()
    page.wait_for_url("**/dashboards/dashboard-2-2")
    uploaded(visitor, {"uid": "dashboard-2", "title": "Other", "panels": []})
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Other")
    page.wait_for_url("**/dashboards/dashboard-2")


def test_a_text_that_is_cleared_stays_so(visitor: Visitor) -> None:
    page = visitor.page
    variable = {"name": "words", "type": "textbox", "query": "something"}
    title = {"id": 1, "type": "text", "title": "<$words>", "options": {"content": "over ${__range_s} s"}}
    document: dict[str, object] = {
        "uid": "words",
        "title": "Words",
        "templating": {"list": [variable]},
        "panels": [title],
    }
    uploaded(visitor, document)
    expect(page.locator(".panel-title")).to_have_text("<something>")
    expect(page.locator(".words")).to_have_text(re.compile(r"over \d+ s"))
    page.get_by_label("words").fill("")
    page.get_by_label("words").blur()
    expect(page.locator(".panel-title")).to_have_text("<>")
    page.reload()
    expect(page.locator(".panel-title")).to_have_text("<>")


@pytest.mark.parametrize(
    ("file", "says"),
    [(b"{", "this is not JSON"), (b"[]", "a JSON object"), (b'{"title": "x"}', "`panels` must be a list")],
)
def test_a_malformed_dashboard_is_told(visitor: Visitor, file: bytes, says: str) -> None:
    page = visitor.page
    visitor.open("/ui/dashboards")
    page.locator("input[type=file]").set_input_files(
        {"name": "a.json", "mimeType": "application/json", "buffer": file}
    )
    expect(page.get_by_role("alert")).to_contain_text(says)
    expect(page.get_by_role("link", name="Hosts overview")).to_be_visible()


def test_the_hosts_dashboard_shows_every_host(visitor: Visitor) -> None:
    visitor.open("/ui/dashboards/opstrace-hosts")
    expect(visitor.page.get_by_label("Busiest now: CPU").first.locator(".bar-name")).to_have_count(len(HOSTS))
    expect(visitor.page.locator("[aria-label='Hosts'][data-panel=table] tbody tr")).to_have_count(len(HOSTS))
    expect(visitor.page.get_by_role("alert")).to_have_count(0)


def test_what_clients_of_dogstatsd_send_is_per_second(visitor: Visitor) -> None:
    """As it was sent: a counter's sample is a rate already."""
    now_s = time.time()
    rate = {
        "type": "rate",
        "interval": 10,
        "tags": ["client:py"],
        "points": [[now_s - ago, 40] for ago in range(0, 300, 10)],
    }
    names = {f"datadog.dogstatsd.client.{name}" for name in ("metrics", "bytes_sent", "packets_dropped")}
    assert (
        post(visitor.instance, [{**rate, "metric": name, "host": host} for name in names for host in HOSTS[:2]])
        == 202
    )
    visitor.open("/ui/dashboards/opstrace-dogstatsd?from=now-5m")
    for what, value in {"Metrics sent": "80/s", "Bytes sent": "80 B/s", "Packets dropped": "80 packets/s"}.items():
        panel = visitor.page.locator(f"[aria-label='{what} by clients, per second'][data-panel=timeseries]")
        expect(panel.get_by_role("row", name=re.compile("^py"))).to_contain_text(value)


PLACES = (
    "/ui/start",
    f"/ui/explore?q={WALKTHROUGH}",
    f"/ui/explore?q={WALKTHROUGH}&tab=table",
    "/ui/metrics?metric=app_requests",
    "/ui/dashboards",
    "/ui/dashboards/opstrace-hosts",
    "/ui/hosts",
    "/ui/hosts/web-1",
    "/ui/checks",
    "/ui/losses",
)


# What differs in the dark is colours, and these have all of them.
COLOURED = PLACES[:2] + PLACES[5:6]


@pytest.mark.parametrize(("scheme", "places"), [("light", PLACES), ("dark", COLOURED)])
def test_nothing_keeps_people_out(
    browser: Browser, instance: Instance, traffic: Traffic, scheme: str, places: tuple[str, ...]
) -> None:
    """axe has no serious finding, the policy was broken by nothing, and nobody else was asked for anything."""
    with visiting(browser, instance, scheme) as visitor:
        page = visitor.page
        told(instance)
        visitor.open("/")
        page.get_by_label("API key of a tenant").wait_for()
        found = {"/": findings(page)}
        visitor.log_in()
        visitor.faults.clear()
        for path in places:
            visitor.open(path)
            page.locator("main table, main .chart, pre").first.wait_for()
            found[path] = findings(page)
        assert {path: some for path, some in found.items() if some} == {}
        assert visitor.faults == []
        assert visitor.elsewhere == set()


def findings(page: Page) -> list[str]:
    """Return axe's serious and critical findings, each with the first place it was found at."""
    page.evaluate(axe())
    violations = page.evaluate("axe.run({resultTypes: ['violations']}).then(result => result.violations)")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:200]}"
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


CUT = """([width, names]) => {
    const found = names.flatMap(name => [...document.querySelectorAll(name)]);
    const cut = found.filter(one => one.scrollWidth > one.clientWidth);
    return [document.documentElement.scrollWidth - width, ...cut.map(one => one.textContent)];
}"""


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_screen_cuts_nothing_off(stranger: Visitor, width: int) -> None:
    key = {"DD-API-KEY": stranger.instance.key("quiet")}
    assert stranger.instance.send("POST", "/api/v1/series", b"nonsense", key).status == 400
    page = stranger.page
    page.set_viewport_size({"width": width, "height": 740})
    stranger.log_in("quiet")
    expect(page.get_by_test_id("checklist")).to_contain_text("undecodable")
    names = ["header .mantine-Badge-label", "header .mantine-Button-label"]
    assert page.evaluate(CUT, [width, names]) == [0]
    stranger.open("/ui/dashboards")
    page.get_by_role("link", name="Hosts overview").wait_for()
    assert page.evaluate(CUT, [width, names]) == [0]


def test_the_first_page_is_small(stranger: Visitor) -> None:
    sizes: dict[str, int] = {}
    stranger.page.on(
        "requestfinished",
        lambda request: (
            sizes.update({request.url: request.sizes()["responseBodySize"]})
            if request.resource_type == "script"
            else None
        ),
    )
    stranger.log_in()
    stranger.page.get_by_test_id("checklist").wait_for()
    assert 0 < sum(sizes.values()) <= MOST_JAVASCRIPT_BYTES


def test_the_overviews_top_left_panel_shows_the_rate_that_was_sent(stranger: Visitor, traffic: Traffic) -> None:
    stranger.log_in("system")
    stranger.open("/ui/dashboards/opstrace-dd-api-overview?var-tenant=default&from=now-5m&refresh=5")
    panel = stranger.page.locator(".panel").first
    expect(panel).to_contain_text("Series POSTs per second, by status")
    accepted = panel.locator("table.legend tr", has=stranger.page.get_by_text("202", exact=True))
    most = accepted.locator(".figure").last
    expect(most).to_have_text(re.compile(r"^[34](\.\d+)? req/s$"), timeout=60_000)
    shown = float(most.inner_text().partition(" ")[0])
    assert shown == pytest.approx(POSTS_PER_S, rel=0.25)
    assert set(traffic.statuses) == {202}
    heat_map = stranger.page.locator("[data-panel=heatmap] canvas")
    expect(heat_map).to_have_attribute("aria-label", re.compile("buckets over time"))
    stranger.page.get_by_label("Tenant", exact=True).first.click()
    options = stranger.page.get_by_role("option")
    expect(options).to_have_text(["All", "default", "quiet", "system"])
