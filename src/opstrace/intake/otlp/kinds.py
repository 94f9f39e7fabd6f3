"""What kinds of fields an export of OpenTelemetry has, for what looks at it on the wire."""

from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


@dataclass(frozen=True, slots=True)
class Kinds:
    """Of a message, by the numbers of its fields: which are texts, and which are messages, with theirs."""

    texts: frozenset[int]
    messages: "dict[int, Kinds]" = field(default_factory=dict)


def _kinds(descriptor: Any, known: dict[str, Kinds]) -> Kinds:
    """Return the kinds of a message's fields; a value of an attribute may hold values."""
    if (found := known.get(descriptor.full_name)) is None:
        texts = (one.number for one in descriptor.fields if one.type == FieldDescriptor.TYPE_STRING)
        found = known[descriptor.full_name] = Kinds(frozenset(texts))
        for one in descriptor.fields:
            if one.message_type is not None:
                found.messages[one.number] = _kinds(one.message_type, known)
    return found


REQUEST: Final = _kinds(ExportMetricsServiceRequest.DESCRIPTOR, {})
