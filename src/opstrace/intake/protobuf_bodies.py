"""Protobuf bodies: how statements read them, and which of them cannot be read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opstrace.errors import StoreError
from opstrace.intake.payload import Numbered
from opstrace.intake.rows import file_of
from opstrace.store.engine import Parameter
from opstrace.store.statements import schema_path


@contextmanager
def lent(bodies: Numbered) -> Iterator[dict[str, Parameter]]:
    """Lend the parameters of a statement that reads bodies."""
    with file_of(body.content for body in bodies.values()) as path:
        yield {"path": path, "bodies": list(bodies), "tenants": [body.tenant for body in bodies.values()]}


def schema() -> str:
    """Return the path of agent_payload.proto as it is written in a statement."""
    return schema_path("opstrace.intake", "agent_payload.proto")


def faults(bodies: Numbered, message: str, read: Callable[[Numbered], object]) -> dict[int, str]:
    """Return which of these bodies cannot be read, each tried alone, and why; raises StoreError."""
    found = {}
    for i, body in bodies.items():
        try:
            read({i: body})
        except StoreError as error:
            if not error.input_fault:
                raise
            found[i] = f"the body is not a valid {message} protobuf message"
    return found
