"""How many queries beyond those that always run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fresh", type=int, default=0, help="random queries beyond those that always run")


@pytest.fixture(scope="session")
def fresh(request: pytest.FixtureRequest) -> int:
    # The option is known only where this directory is named on the command line.
    return int(request.config.getoption("--fresh", 0))
