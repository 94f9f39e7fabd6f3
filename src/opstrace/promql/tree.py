"""What a PromQL query says: a small frozen tree, each node with its place in the text.

Positions are character offsets, `start` included and `end` not. A duration is milliseconds, or an expression of
`step()` and `range()` that only a concrete query can compute; an `at` is milliseconds, or one end of the query.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from opstrace.store.backend import Matcher


class Type(Enum):
    """What an expression yields, in the words of error messages."""

    SCALAR = "scalar"
    VECTOR = "instant vector"
    MATRIX = "range vector"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Node:
    """Anything in the tree; knows where it stands in the query."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`1.5`, `Inf`, `5m` (in seconds; `duration` tells that it was written so)."""

    value: float
    duration: bool = False


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string literal, unquoted."""

    value: str


@dataclass(frozen=True, slots=True)
class Paren(Node):
    """`( expr )`."""

    expr: "Node"


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-expr` or `+expr`."""

    op: str
    expr: "Node"


Duration = int | Node
At = int | Literal["start", "end"] | None


@dataclass(frozen=True, slots=True)
class Selector(Node):
    """`name{matchers} offset … @ …`; `extension` is "anchored", "smoothed" or nothing.

    The name is what stands before the braces; a matcher says it, too.
    """

    name: str
    matchers: tuple[Matcher, ...]
    offset: Duration = 0
    at: At = None
    extension: str = ""


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`selector[range]`."""

    selector: Selector
    range: Duration


@dataclass(frozen=True, slots=True)
class Subquery(Node):
    """`expr[range:step] offset … @ …`; without a step the engine's default applies."""

    expr: Node
    range: Duration
    step: Duration | None
    offset: Duration = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(args…)`."""

    function: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`op by (labels) (param, expr)`."""

    op: str
    expr: Node
    param: Node | None
    labels: tuple[str, ...]
    without: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """How a binary operation pairs series; `card` counts left to right, as in "many-to-one"."""

    card: Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"] = "one-to-one"
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`left op bool matching right`; `matching` is only there between two vectors."""

    op: str
    left: Node
    right: Node
    returns_bool: bool
    matching: Matching | None


def children(node: Node) -> tuple[Node, ...]:
    """Return the expressions directly below a node, in the order of the text."""
    match node:
        case Paren(expr=expr) | Unary(expr=expr) | Subquery(expr=expr):
            return (expr,)
        case Call(args=args):
            return args
        case Aggregate(expr=expr, param=param):
            return (expr,) if param is None else (param, expr)
        case Binary(left=left, right=right):
            return (left, right)
        case Range(selector=selector):
            return (selector,)
        case _:
            return ()
