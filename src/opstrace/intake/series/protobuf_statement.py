"""The statements that read the series of protobuf bodies; where many are to be translated, in two streams."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from opstrace.intake.payload import Numbered
from opstrace.intake.protobuf_bodies import lent, schema
from opstrace.intake.series.series_statement import SeriesStatement
from opstrace.store.engine import Parameter

# Bodies that together are as large are translated in two streams, on two cores: a commit of 50,000 series that are
# all new takes 380 ms so, and not 438. A second stream takes 10 ms to plan; to look at series gains nothing by it.
IN_TWO_FROM_BYTES: Final = 2 << 20
_PARAMETER: Final = re.compile(r"\{(?=(?:path|bodies|tenants):)")


@dataclass(frozen=True, slots=True)
class ProtobufStatement:
    """Reads the series of protobuf bodies: what SeriesStatement says, and how two streams translate."""

    look: str
    translate: str
    translate_in_two: str

    @classmethod
    def of(cls, select: str, message: str, *, more: Sequence[str] = ()) -> "ProtobufStatement":
        """Build it around a SELECT that reads a message of agent_payload.proto.

        `more` are columns that a look yields as they are.
        """
        settings = f"format_schema = '{schema()}:{message}', input_format_parallel_parsing = 0"
        in_one = SeriesStatement.of(select, settings=settings, more=more)
        both = f"{select}\nUNION ALL\n{_PARAMETER.sub('{second_', select)}"
        return cls(in_one.look, in_one.translate, SeriesStatement.of(both, settings=settings, threads=2).translate)

    @contextmanager
    def translating(self, bodies: Numbered) -> Iterator[tuple[str, dict[str, Parameter]]]:
        """Lend the statement that translates the series of bodies, and its parameters."""
        first, second = _halves(bodies)
        if not second:
            with lent(first) as parameters:
                yield self.translate, parameters
            return
        with lent(first) as parameters, lent(second) as others:
            yield self.translate_in_two, parameters | {f"second_{name}": value for name, value in others.items()}


def _halves(bodies: Numbered) -> tuple[Numbered, Numbered]:
    """Part bodies in two of about one size, the second one empty where there is too little to read."""
    ends = np.cumsum([len(body.content) for body in bodies.values()])
    if len(bodies) < 2 or ends[-1] < IN_TWO_FROM_BYTES:
        return bodies, {}
    middle = min(1 + int(np.searchsorted(ends, ends[-1] / 2)), len(bodies) - 1)
    numbered = list(bodies.items())
    return dict(numbered[:middle]), dict(numbered[middle:])
