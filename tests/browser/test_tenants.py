"""The page Tenants: one tenant from its first key to its end, and limits, as the operator sees them."""

import json
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.browser import Visitor, visiting
from browser.test_ui import findings
from browser.traffic import series
from end_to_end.instance import Instance, running, wait_until
from end_to_end.remote_write import HEADERS_V1, snappy, write_request


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance whose tenants come and go; not the one of the other pages."""
    with running(tmp_path_factory.mktemp("tenants"), "tenants", {"tenants": ["default"]}) as started:
        write(started)
        yield started


def write(instance: Instance) -> None:
    """Write a sample as Prometheus does."""
    sample = {"timestamp": int(time.time() * 1000), "value": 1}
    body = write_request({"timeseries": [{"labels": {"__name__": "written"}, "samples": [sample]}]})
    headers = {**HEADERS_V1, "Authorization": f"Bearer {instance.key()}"}
    assert instance.send("POST", "/prometheus/api/v1/write", snappy(body), headers).status == 204


@pytest.fixture
def operator(browser: Browser, instance: Instance) -> Iterator[Visitor]:
    """The operator, on the page."""
    with visiting(browser, instance) as visitor:
        visitor.log_in("system")
        visitor.open("/ui/tenants")
        visitor.page.get_by_role("button", name="Manage default").wait_for()
        visitor.faults.clear()
        yield visitor


def statuses(instance: Instance, *keys: str) -> list[int]:
    return [instance.send("GET", "/api/v1/validate", headers={"DD-API-KEY": key}).status for key in keys]


def sent(instance: Instance, key: str) -> int:
    body = json.dumps({"series": series(time.time())}).encode()
    return instance.send(
        "POST", "/api/v1/series", body, {"DD-API-KEY": key, "Content-Type": "application/json"}
    ).status


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def test_a_tenants_whole_life(operator: Visitor) -> None:
    page, instance = operator.page, operator.instance
    page.get_by_role("button", name="Add a tenant").click()
    dialog(page).get_by_role("textbox").fill("Prod!")
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_role("alert")).to_contain_text("'Prod!' cannot be the name of a tenant")
    dialog(page).get_by_role("textbox").fill("team")
    page.keyboard.press("Enter")
    first = dialog(page).get_by_test_id("new-key").inner_text()
    settings = dialog(page).get_by_label("Settings of its Agents")
    expect(settings).to_contain_text(f"DD_API_KEY={first}")
    assert findings(page) == []
    assert sent(instance, first) == 202
    dialog(page).get_by_role("button", name="Done").click()
    expect(page.get_by_role("link", name="team", exact=True)).to_be_visible()
    assert first not in page.content()

    page.get_by_role("button", name="Manage team").click()
    keys = dialog(page).get_by_test_id("key")
    expect(keys).to_have_count(1)
    expect(keys.get_by_role("button")).to_have_count(0)  # the only one cannot be revoked
    dialog(page).get_by_role("button", name="Make a new key").click()
    second = dialog(page).get_by_test_id("new-key").inner_text()
    assert statuses(instance, first, second) == [200, 200]
    keys.first.get_by_role("button").click()
    expect(keys).to_have_count(1)
    assert statuses(instance, first, second) == [403, 200]

    limit = dialog(page).get_by_label("max_series", exact=True)
    limit.fill("few")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text('max_series: "few" is not a number')
    limit.fill("1")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("button", name="Undo")).to_have_count(0)
    expect(limit).to_have_value("1")
    told = instance.run("limits", "show", instance.name, "--tenant", "team").stdout
    assert next(line for line in told.splitlines() if line.startswith("max_series ")).split()[1] == "1"
    assert findings(page) == []

    remove = dialog(page).get_by_role("button", name="Remove with all data")
    expect(dialog(page)).to_contain_text("All its data goes")
    expect(remove).to_be_disabled()
    dialog(page).get_by_label("Type team to remove it").fill("tea")
    expect(remove).to_be_disabled()
    dialog(page).get_by_label("Type team to remove it").fill("team")
    remove.click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("link", name="team", exact=True)).to_have_count(0)
    assert statuses(instance, second) == [403]
    wait_until(
        lambda: "team" not in instance.run("tenants", "list", instance.name).stdout, 60, "the data of team is gone"
    )
    assert [fault for fault in operator.faults if "400" not in fault] == []  # the browser logs the refusal of Prod!


def test_what_cannot_be_removed_says_so(operator: Visitor) -> None:
    page = operator.page
    page.get_by_role("button", name="Manage default").click()
    dialog(page).get_by_label("Type default to remove it").fill("default")
    dialog(page).get_by_role("button", name="Remove with all data").click()
    expect(dialog(page).get_by_role("alert")).to_contain_text("default is the only tenant of tenants")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Manage system").click()
    dialog(page).get_by_text("Limits of its own").wait_for()
    expect(dialog(page).get_by_role("button", name="Remove with all data")).to_have_count(0)


def test_retention_and_limits_of_all(operator: Visitor) -> None:
    page, instance = operator.page, operator.instance
    days = page.get_by_label("metric_retention_days")
    expect(days).to_have_value("")
    expect(days).to_have_attribute("placeholder", "30")
    days.fill("60")
    page.get_by_label("max_flares").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("takes in max_flares at its next start")
    expect(page.get_by_text("waits for the next start")).to_have_count(1)
    expect(page.get_by_label("max_flares")).to_have_value("5")
    expect(days).to_have_value("60")
    assert instance.ask("status/flags", {})["metric_retention_days"] == "60"
    days.fill("10")
    expect(page.get_by_role("alert")).to_contain_text("removes samples within the hour")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    days.fill("10")
    page.get_by_role("button", name="Save and remove older data").click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert instance.ask("status/flags", {})["metric_retention_days"] == "10"
    assert findings(page) == []
    assert operator.faults == []


def stored(instance: Instance, tenant: str) -> float:
    query = f'opstrace_write_stored_total{{tenant="{tenant}"}}'
    return sum(float(one["value"][1]) for one in instance.ask("query", {"query": query}, "system")["result"])


def test_what_is_written_without_an_agent_counts(operator: Visitor) -> None:
    """On the page, and in the dashboard of the intake."""
    page, instance = operator.page, operator.instance
    # A counter has grown once it was seen twice.
    wait_until(lambda: stored(instance, "default") >= 1, 30, "the server looks at itself")
    write(instance)
    wait_until(lambda: stored(instance, "default") >= 2, 30, "the server looks at itself again")
    operator.open("/ui/tenants")
    row = page.get_by_role("row", name="default")
    row.wait_for()
    for head in ("requests", "points stored"):
        column = page.get_by_role("columnheader").all_inner_texts().index(head)
        expect(row.get_by_role("cell").nth(column)).to_have_text(re.compile("^[1-9]"))
    operator.open("/ui/dashboards/opstrace-intake?from=now-5m&refresh=5")
    shown = page.get_by_label("Requests per second, by route", exact=True).first
    expect(shown).to_contain_text("remote write, OpenTelemetry")
    points = page.get_by_label("Points stored per second", exact=True).first
    expect(points.locator(".stat-value")).to_have_text(re.compile(r"^0\.0*[1-9]"))
    expect(page.get_by_role("alert")).to_have_count(0)
