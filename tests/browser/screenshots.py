"""Makes docs/images/explore.png and docs/images/dashboard.png from a server of its own: scripts/screenshots."""

import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from browser.browser import ROOT, Visitor, chromium, visiting
from browser.traffic import POSTS_PER_S, sending
from end_to_end.instance import running

IMAGES = ROOT / "docs" / "images"
SETTLED_MS = 3000
SENDING_S = 100  # until the overview has something to show


def main() -> None:
    """Start, send for a while, take the pictures, remove everything."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory), "datadogdemo", {"tenants": ["default"]}) as instance,
        sending(instance),
        chromium() as browser,
    ):
        print(f"sending {POSTS_PER_S:g} payloads a second for {SENDING_S} s …")  # noqa: T201
        time.sleep(SENDING_S)
        with visiting(browser, instance) as visitor:
            visitor.log_in()
            query = quote("sum by (instance, zone) (system_net_bytes_rcvd)")
            taken(visitor, f"/ui/explore?q={query}&from=now-30m", "explore")
        with visiting(browser, instance, "dark") as visitor:
            visitor.log_in("system")
            taken(visitor, "/ui/dashboards/opstrace-dd-api-overview?from=now-2m&refresh=5", "dashboard")


def taken(visitor: Visitor, path: str, name: str) -> None:
    """Open a page and keep its picture."""
    visitor.page.set_viewport_size({"width": 1200, "height": 860})
    visitor.open(path)
    visitor.page.wait_for_timeout(SETTLED_MS)
    visitor.page.screenshot(path=str(IMAGES / f"{name}.png"))


if __name__ == "__main__":
    main()
