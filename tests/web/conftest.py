"""One store and one server for the tests that need none of their own; each test file has its own tenants.

They end with this directory: a process can open one store at a time, and other directories have stores of their own.
"""

from collections.abc import Iterator

import pytest

from opstrace.store.embedded import Store, temporary_store
from web.serving import Server, serving


@pytest.fixture(scope="package")
def store() -> Iterator[Store]:
    with temporary_store() as opened:
        yield opened


@pytest.fixture(scope="package")
def server(store: Store) -> Iterator[Server]:
    with serving(store) as started:
        yield started
