"""One instance for the tests that need no instance of their own."""

from collections.abc import Iterator

import pytest

from end_to_end.instance import Instance, running


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A running instance with two tenants."""
    with running(tmp_path_factory.mktemp("instance"), "shared", {"tenants": ["default", "other"]}) as started:
        yield started
