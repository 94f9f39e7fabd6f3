"""Pages of other sites that send to us, as Datadog's SDKs for browsers do."""

import json
import time
from urllib.parse import quote, urlencode

from playwright.sync_api import Browser

from end_to_end.instance import Instance

SEND = """async ([url, body, headers]) => {
    const answer = await fetch(url, {method: 'POST', body, headers});
    return [answer.status, await answer.json()];
}"""


def test_a_page_sees_what_became_of_what_it_sent(browser: Browser, instance: Instance) -> None:
    """Text, as the SDKs send; by a proxy; JSON with the key in a header, for which it asks first; a refusal."""
    key, url = instance.key(), f"http://127.0.0.1:{instance.http_port}"
    log = json.dumps({"message": "from-a-page", "service": "shop", "date": int(time.time() * 1000)})
    parameters = urlencode({"ddsource": "browser", "dd-api-key": key})
    text = {"Content-Type": "text/plain;charset=UTF-8"}
    page = browser.new_page()
    assert page.evaluate("location.origin") == "null"
    for address, headers, told in (
        (f"{url}/api/v2/logs?{parameters}", text, [202, {}]),
        (f"{url}/?ddforward={quote(f'/api/v2/logs?{parameters}&n=2', safe='')}", text, [202, {}]),
        (f"{url}/api/v2/logs?n=3", {"Content-Type": "application/json", "DD-API-KEY": key}, [202, {}]),
        (f"{url}/api/v2/logs", text, [403, {"errors": ["Forbidden"]}]),
    ):
        assert page.evaluate(SEND, [address, log, headers]) == told
    page.close()
    answer = instance.send("GET", "/admin/logs?query=from-a-page", headers={"DD-API-KEY": key}).json()
    assert sorted(log["attributes"].get("n", "") for log in answer["logs"]) == ["", "2", "3"]
