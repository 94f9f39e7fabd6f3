from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from browser.browser import Visitor, chromium, visiting
from browser.traffic import Traffic, sending
from end_to_end.instance import Instance, running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with one tenant that is sent to and one that is not."""
    with running(tmp_path_factory.mktemp("ui"), "uitest", {"tenants": ["default", "quiet"]}) as started:
        yield started


@pytest.fixture(scope="module")
def traffic(instance: Instance) -> Iterator[Traffic]:
    """An Agent's worth of traffic at a steady rate, for as long as the module's tests take."""
    with sending(instance) as started:
        yield started


@pytest.fixture
def stranger(browser: Browser, instance: Instance) -> Iterator[Visitor]:
    """Somebody who is not logged in."""
    with visiting(browser, instance) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def session(browser: Browser, instance: Instance, traffic: Traffic) -> Any:
    """What a browser remembers of a login as `default`, to whose tenant data comes."""
    with visiting(browser, instance) as visitor:
        visitor.log_in()
        return visitor.context.storage_state()


@pytest.fixture
def visitor(browser: Browser, instance: Instance, session: Any) -> Iterator[Visitor]:
    """Somebody who is logged in as `default`."""
    with visiting(browser, instance, session=session) as visitor:
        yield visitor
