"""Bodies that nobody understands: kept as they came, by the same commit as everything else."""

from collections import defaultdict
from collections.abc import Mapping

from opstrace.intake.payload import Body, Family, Findings, Numbered
from opstrace.store.kept import KeptRequests


class KeptDecoder:
    """Stores records of requests; `facts` of a body name the `route`."""

    families = frozenset({Family.KEPT})

    def __init__(self, kept: KeptRequests) -> None:
        self._kept = kept
        self._bodies: list[Body] = []

    def stage(self, bodies: Numbered, now_s: float, findings: Findings) -> None:  # noqa: ARG002 (there is nothing to find)
        """Take the records."""
        self._bodies = list(bodies.values())

    def store(self, commit: int, limits: Mapping[str, float]) -> None:  # noqa: ARG002 (they are kept whatever their time)
        """Make the records durable."""
        shelves: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
        for body in self._bodies:
            shelves[body.tenant, body.facts["route"]].append(body.content)
        for (tenant, route), records in shelves.items():
            self._kept.append(tenant, route, records)

    def clear(self) -> None:
        """Forget the records."""
        self._bodies = []
