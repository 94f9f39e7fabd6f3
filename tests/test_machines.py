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


@pytest.mark.parametrize(
    ("total", "memory"),
    [
        ("16777216kB", 16 << 30),
        ("1.5 GB", 3 << 29),
        (".5kb", 512),
        (".", 0),
        ("1.2.3kB", 0),
        ("9" * 400 + "kB", 0),
        ("much", 0),
        (None, 0),
        (["16kB"], 0),
    ],
)
def test_memory(total: Any, memory: int) -> None:
    assert Machine.of(Host("h", 0, 0, documents={"gohai": {"memory": {"total": total}}})).memory_bytes == memory
