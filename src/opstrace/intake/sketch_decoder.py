"""The last of the decoders of distributions: from sketches as they were sent to rows of `sketches`."""

import hashlib
from collections.abc import Mapping

from opstrace.intake.payload import Family, Findings, Numbered
from opstrace.store.engine import Connection, statement

_PACKAGE = "opstrace.intake"


class SketchDecoder:
    """Takes what other decoders left in `staged_sketches` to `staged`, and from there to the store.

    Sketches of one series and time are merged when they are read, because several senders may have seen a part of the
    values each. So that a payload which is sent again does not count twice, a row carries a hash of its payload.
    """

    families = frozenset({Family.SKETCHES, Family.COLUMNAR, Family.DISTRIBUTION_POINTS})

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stage = statement(_PACKAGE, "staged_sketches")
        self._store = statement(_PACKAGE, "sketch_rows")
        self._digests: dict[int, int] = {}

    def stage(self, bodies: Numbered, now: float, findings: Findings) -> None:  # noqa: ARG002 (the wire has the time)
        """Bring what was decoded to `staged`."""
        # Preparing the statement takes 15 ms, and most payloads of columns have no sketches.
        if self._connection.read("SELECT 1 FROM staged_sketches LIMIT 1").num_rows:
            self._connection.execute(self._stage)
            self._digests = {i: _digest(body.content) for i, body in bodies.items()}

    def store(self, commit: int, limits: Mapping[str, float]) -> None:
        """Make sketches durable."""
        if self._digests:
            digests = {"bodies": list(self._digests), "digests": list(self._digests.values())}
            self._connection.execute(self._store, commit=commit, **digests, **limits)

    def clear(self) -> None:
        """Empty the staging table."""
        self._digests = {}
        self._connection.execute("TRUNCATE TABLE staged_sketches")


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
