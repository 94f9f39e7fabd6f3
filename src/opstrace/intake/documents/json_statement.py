"""A statement that decodes JSON bodies."""

from collections import defaultdict

from opstrace.intake.payload import Body, Numbered
from opstrace.intake.rows import rows_of
from opstrace.store.engine import Connection, Parameter, statement


class JsonStatement:
    """An INSERT from the rows of `rows_of`; it may use the parameter `now_ms`: when bodies came."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Take the statement `name`.sql of this package."""
        self._connection = connection
        self._sql = statement("opstrace.intake.documents", name)
        self._uses_now = "{now_ms:Int64}" in self._sql

    def insert(self, bodies: Numbered, now_s: float) -> None:
        """Run the statement over bodies; raises StoreError when the engine cannot."""
        if not self._uses_now:
            self._run(bodies)
            return
        of_moment: defaultdict[int, dict[int, Body]] = defaultdict(dict)
        for i, body in bodies.items():
            of_moment[body.came_ms or round(now_s * 1000)][i] = body
        for moment_ms, some in of_moment.items():
            self._run(some, now_ms=moment_ms)

    def _run(self, bodies: Numbered, **parameters: Parameter) -> None:
        if bodies:
            self._connection.execute(self._sql, rows=rows_of(bodies), **parameters)


def with_key(bodies: Numbered, *keys: str) -> Numbered:
    """Return the bodies in which one of these keys may be, anywhere: senders write keys of letters as they are."""
    quoted = [f'"{key}"'.encode() for key in keys]
    return {i: body for i, body in bodies.items() if any(key in body.content for key in quoted)}
