"""Debian's chromium, driven by Playwright; what pages say on the console and ask of others is kept."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from end_to_end.instance import Instance

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SIZE: Any = {"width": 1280, "height": 860}
WAIT_MS = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """One person at one instance, with a browser of her own."""

    instance: Instance
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)  # what the page's console and its scripts complained of
    elsewhere: set[str] = field(default_factory=set)  # hosts asked that are not the instance

    @property
    def origin(self) -> str:
        return f"https://{self.instance.name}.localhost:{self.instance.https_port}"

    def open(self, path: str) -> None:
        """Go to an address of the instance."""
        self.page.goto(self.origin + path)

    def log_in(self, tenant: str = "default") -> None:
        """Log in with a tenant's key, as a person does."""
        self.open("/")
        self.page.get_by_label("API key of a tenant").fill(self.instance.key(tenant))
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_test_id("tenant").wait_for()


@contextmanager
def visiting(browser: Browser, instance: Instance, scheme: Any = "light", session: Any = None) -> Iterator[Visitor]:
    """Lend a visitor that nobody has seen before, or one who goes on with a session."""
    context = browser.new_context(ignore_https_errors=True, viewport=SIZE, color_scheme=scheme, storage_state=session)
    context.set_default_timeout(WAIT_MS)
    visitor = Visitor(instance, context, context.new_page())
    page = visitor.page
    page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    page.on("console", lambda said: visitor.faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: _note(visitor, request.url))
    try:
        yield visitor
    finally:
        context.close()


def _note(visitor: Visitor, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and f"https://{parts.netloc}" != visitor.origin:
        visitor.elsewhere.add(parts.netloc)


def axe() -> str:
    """Return axe-core's source; fetched by npm once, with what else `ui/` needs for development."""
    source = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        subprocess.run([*_npm(), "ci", "--no-audit", "--no-fund"], cwd=ROOT / "ui", check=True, capture_output=True)
    return source.read_text(encoding="utf-8")


def _npm() -> list[str]:
    specification = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert specification is not None
    assert specification.loader is not None
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    command, node = hook.npm()
    return [str(shutil.which("env")), f"PATH={node}:/usr/bin:/bin", *command]
