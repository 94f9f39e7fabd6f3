"""What a body takes in memory grows with its size: nothing large in it is copied for each of the small things."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from end_to_end import columnar
from opstrace.intake.payload import Body, Family
from opstrace.intake.translator import Translator

MIB = 1 << 20
AT_S = int(time.time()) - 60
EVENT = {"msg_title": "t", "msg_text": "x" * 300, "timestamp": AT_S, "host": "h", "tags": ["a:b", "c:d", "e:f"]}
# Each is far below what an Agent, or a shipper of logs, may send; with a copy for each part it takes gigabytes.
DOCUMENTS: dict[str, tuple[Family, Any]] = {
    "tags of keys that come twice": (
        Family.SERIES_V1,
        {"series": [{"metric": "m", "points": [[AT_S, 1]], "tags": [f"{n % 120}:{n:x>8000}" for n in range(240)]}]},
    ),
    "events": (Family.INTAKE, {"internalHostname": "n", "events": {"kubernetes": [EVENT] * 4000}}),
    "events of many sources": (Family.INTAKE, {"events": {str(n): [EVENT] * 40 for n in range(100)}}),
    "events with nothing": (Family.INTAKE, {"events": {"kubernetes": [{}] * 60_000}}),
    "checks": (Family.CHECK_RUN, [{"check": f"c{n}", "status": 1, "message": "m" * 300} for n in range(5000)]),
    "attributes of a log": (Family.LOGS, [{"message": "x", **{f"f{n}": 1 for n in range(20_000)}}]),
    "a log of a long host": (Family.LOGS, [{"hostname": "h" * 100_000, **{f"f{n}": 1 for n in range(10_000)}}]),
    "metrics of a long host": (
        Family.INTAKE,
        {"agentVersion": "5.32", "internalHostname": "h" * 300_000, "metrics": [["m", AT_S, 1]] * 10_000},
    ),
    "checks of a long host": (
        Family.INTAKE,
        {"agentVersion": "5.32", "internalHostname": "h" * 300_000, "service_checks": [{"check": "m"}] * 10_000},
    ),
}


@pytest.fixture
def grown() -> Callable[[], int]:
    """Return what says how much more memory was in use since than before, in bytes (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    return lambda: _peak_bytes() - before


def _peak_bytes() -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json(name: str, translator: Translator, grown: Callable[[], int]) -> None:
    family, document = DOCUMENTS[name]
    content = json.dumps(document).encode()
    translator.commit([Body(family=family, tenant="t", content=content)])
    assert grown() < 100 * len(content) + 64 * MIB


def test_metadata_of_metrics_v3(translator: Translator, grown: Callable[[], int]) -> None:
    """Metadata that is everybody's, and many sets of resources with nothing in them."""
    series = [{"metric": "m", "type": "gauge", "points": [[AT_S, 1]]}]
    tags = {"tags": [f"tag:{n}" for n in range(3000)]}
    content = columnar.payload({"metadata": tags, "series": series}) + _field(3, _field(5, bytes(100_000)))
    verdicts = translator.commit([Body(family=Family.COLUMNAR, tenant="t", content=content)])
    assert "stands for more than" in str(verdicts)
    assert grown() < 100 * len(content) + 64 * MIB


def _field(number: int, content: bytes) -> bytes:
    return columnar.varint(number << 3 | 2) + columnar.varint(len(content)) + content


@pytest.mark.parametrize(
    ("family", "log"), [(Family.LOGS, b'{"message":"x"},'), (Family.LOGS, b'"x",'), (Family.LOGS_TEXT, b"x\n")]
)
def test_tags_that_the_address_says_of_each_log(
    translator: Translator, grown: Callable[[], int], family: Family, log: bytes
) -> None:
    content = log * 20_000
    if family is Family.LOGS:
        content = b"[" + content + b"1]"
    for tags, refused in ((800, True), (8, False)):
        said = {"ddtags": ",".join(f"key-{n}:value" for n in range(tags))}
        (verdict,), _ = translator.commit([Body(family, "t", content, said)])
        assert ("what the address says" in verdict.fault) is refused
        assert verdict.logs.get("stored", 0) == (0 if refused else 20_000)
    assert grown() < 100 * len(content) + 64 * MIB
