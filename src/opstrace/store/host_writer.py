"""The write side of what is known of hosts: their tags, what they say of themselves, what people note of them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from opstrace.store.engine import Engine, statement
from opstrace.store.host_tag_table import HostTagTable
from opstrace.store.host_versions import TagSet
from opstrace.store.writer import Writer

# JSON by tenant, host and subject.
Documents: TypeAlias = Mapping[tuple[str, str, str], bytes]


class HostWriter:
    """Makes it durable, and reads what is about to change; needs the writer for itself.

    Its calls raise StoreError when the engine cannot.
    """

    def __init__(self, engine: Engine, writer: Writer, host_tags: HostTagTable) -> None:
        self._connection = engine.writer
        self._writer = writer
        self._host_tags = host_tags
        self._append = statement("opstrace.store", "append_host_documents")
        self._select = statement("opstrace.store", "select_host_documents")

    def append(self, sets: Sequence[tuple[str, TagSet]], documents: Documents, commit: int) -> None:
        """Write sets of tags of tenants where they changed, and documents, by which hosts speak."""
        heard = {(tenant, host) for tenant, host, _ in documents}
        self._host_tags.record(self._connection, sets, commit, heard)
        self._write(documents, commit)

    def tag(self, tenant: str, sets: Sequence[TagSet]) -> None:
        """Write sets of tags of one tenant, in a commit of their own."""
        self.append([(tenant, one) for one in sets], {}, self._writer.next_commit())

    def tags(self, tenant: str, names: Sequence[str]) -> list[TagSet]:
        """Return the sets of tags that some names have now, one a name and source."""
        return self._host_tags.current(self._connection, tenant, names)

    def noted(self, tenant: str, names: Sequence[str], subject: str) -> dict[str, Any]:
        """Return what people noted of a host of these names; the first name's note goes first."""
        rows = self._connection.read(self._select, tenant=tenant, subjects=[subject], hosts=list(names), whole=1)
        notes = {row["host"]: msgspec.json.decode(row["document"]) for row in rows.to_pylist()}
        return next((notes[name] for name in names if name in notes), {})

    def note(self, tenant: str, host: str, subject: str, document: Mapping[str, Any]) -> None:
        """Write what people note of a host, in a commit of its own."""
        self._write({(tenant, host, subject): msgspec.json.encode(document)}, self._writer.next_commit())

    def _write(self, documents: Documents, commit: int) -> None:
        if documents:
            now_ms = time.time_ns() // 1_000_000
            self._connection.execute(self._append, rows=_table(documents), commit=commit, now_ms=now_ms)


def _table(documents: Documents) -> pa.Table:
    tenants, hosts, subjects = zip(*documents, strict=True)
    return pa.table(
        {
            "tenant": pa.array(tenants, pa.string()),
            "host": pa.array(hosts, pa.string()),
            "subject": pa.array(subjects, pa.string()),
            "document": pa.array(list(documents.values()), pa.binary()),
        }
    )
