"""What holds for all tests: none of them judges how long something took, and long files go first."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# Files that take longest, the longest first: a process that begins one last has the others wait for it.
LONG = (
    "browser/test_ui.py",
    "end_to_end/test_tenancy.py",
    "end_to_end/test_hostile_bodies.py",
    "test_cli.py",
    "store/test_host_tags.py",
    "promql/test_conformance.py",
    "end_to_end/test_dogstatsd.py",
    "intake/logs/test_logs.py",
    "intake/series/test_protobuf_statement.py",
    "promql/test_against_judge.py",
    "end_to_end/test_node_clients.py",
    "store/test_store.py",
    "browser/test_tenants.py",
    "store/test_merged_parts.py",
    "end_to_end/test_translation.py",
    "intake/series/test_identity.py",
    "end_to_end/test_stop.py",
    "end_to_end/test_walkthrough.py",
    "differential/test_differential.py",
)
PLACES = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where instances of a test live that asks for it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "opstrace"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files in front; the others keep their order."""
    items.sort(key=lambda item: PLACES.get(item.path, len(LONG)))
