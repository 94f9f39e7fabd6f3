"""What hosts' metadata says of their machines, as Agents of several generations and systems marshal it."""

from typing import Any

import pytest

from opstrace.datadog.hosts import Machine
from opstrace.store.hosts import Host

NOTHING = ["", "", ""]


@pytest.mark.parametrize(
    ("stats", "platform"),
    [
        ({"platform": "linux", "nixV": ["debian", "12", ""]}, "debian 12"),
        # Version 7 always sends all four lists.
        ({"nixV": ["ubuntu", "22.04", ""], "macV": NOTHING, "winV": NOTHING, "fbsdV": NOTHING}, "ubuntu 22.04"),
        ({"nixV": NOTHING, "macV": ["14.2.1", NOTHING, "arm64"], "winV": NOTHING, "platform": "darwin"}, "14.2.1"),
        ({"nixV": NOTHING, "macV": ["", NOTHING, ""], "winV": ["Windows 11", "10.0", ""]}, "Windows 11 10.0"),
        # Version 5 sends its own.
        ({"macV": ["10.10.5", NOTHING, "x86_64"], "platform": "darwin"}, "10.10.5"),
        ({"platform": "linux", "nixV": NOTHING}, "linux"),
        ({"platform": "linux", "nixV": "debian"}, "linux"),
        ({}, ""),
    ],
)
def test_platforms(stats: dict[str, Any], platform: str) -> None:
    assert Machine.of(Host("h", 0, 0, documents={"systemStats": stats})).platform == platform
