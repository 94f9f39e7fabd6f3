"""Bodies as the engine takes them in: a table with a row each, or a file of messages."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from opstrace.intake.payload import Numbered
from opstrace.protobuf_wire import varint


def rows_of(bodies: Numbered) -> pa.Table:
    """Return bodies as the rows of `FROM Python(rows)`: body (its number), tenant, content."""
    return pa.table(
        {
            "body": pa.array(list(bodies), pa.uint32()),
            "tenant": pa.array([body.tenant for body in bodies.values()], pa.string()),
            "content": pa.array([body.content for body in bodies.values()], pa.binary()),
        }
    )


@contextmanager
def file_of(contents: Iterable[bytes]) -> Iterator[str]:
    """Lend the path of a file in memory that holds protobuf messages, each after its length."""
    descriptor = os.memfd_create("opstrace-payloads")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            for content in contents:
                file.write(varint(len(content)))
                file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
