"""What one commit takes in and gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

# What `verdicts.sql` calls a point that is stored.
STORED = "stored"


class Family(Enum):
    """Payloads that one statement decodes; the value names it."""

    SERIES_V1 = "series_v1"
    SERIES_V2_JSON = "series_v2_json"
    SERIES_V2_PROTOBUF = "series_v2_protobuf"
    CHECK_RUN = "check_run"


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A request's payload, inflated, with the tenant whose key it came with."""

    family: Family
    tenant: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a body: broken for ever when `fault` says why, else its points, counted."""

    points: Mapping[str, int] = field(default_factory=dict)  # STORED, or the reason of a refusal → points
    fault: str = ""
