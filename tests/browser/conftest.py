from collections.abc import Iterator

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


@pytest.fixture
def visitor(stranger: Visitor, traffic: Traffic) -> Visitor:
    """Somebody who is logged in as `default`, to whose tenant data comes."""
    stranger.log_in()
    return stranger
