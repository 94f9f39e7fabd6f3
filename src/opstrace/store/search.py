"""What is searched for among events, as a tree, and as a condition of a statement."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from opstrace.store.engine import Parameter
from opstrace.store.tagged_hosts import TaggedHosts


@dataclass(frozen=True, slots=True)
class Text:
    """Something in what an event says, whatever its case."""

    value: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field, a tag's key, or with `@` an attribute, and its value; a star stands for any text, alone for some."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Not:
    """What does not match."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class All:
    """Everything of this; nothing of it matches everything."""

    nodes: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class Either:
    """Any of this; nothing of it matches nothing."""

    nodes: Sequence["Node"]


Node: TypeAlias = Text | Field | Not | All | Either

# Attributes that are tags.
_OF_TAGS: Final = {"@tags": "tags", "@service": "service"}


@dataclass(slots=True)
class Condition:
    """A clause over the columns of a table, with its parameters, and tags of hosts that it looks for.

    Terms that hosts match are known by their places in the column `host_terms`.
    """

    columns: Mapping[str, str]  # name of a field → expression
    texts: Sequence[str]  # columns that are searched for text
    hosts: TaggedHosts
    parameters: dict[str, Parameter] = field(default_factory=dict)
    host_terms: list[Collection[str]] = field(default_factory=list)

    def of(self, node: Node) -> str:
        """Return the clause that a node is."""
        match node:
            case Text(value):
                name = self._parameter(value)
                return (
                    "(" + " OR ".join(f"positionCaseInsensitiveUTF8({one}, {name}) > 0" for one in self.texts) + ")"
                )
            case Field(name, value):
                return self._field(name, value)
            case Not(inner):
                return f"NOT {self.of(inner)}"
            case All(nodes):
                return f"({' AND '.join(map(self.of, nodes))})" if nodes else "1"
            case Either(nodes):
                return f"({' OR '.join(map(self.of, nodes))})" if nodes else "0"

    def _field(self, name: str, value: str) -> str:
        name = _OF_TAGS.get(name, name)
        if name in self.columns:
            return f"lowerUTF8({self.columns[name]}) {self._likened(value.lower())}"
        if name.startswith("@"):
            path = ", ".join(self._parameter(part) for part in name[1:].split("."))
            return f"JSONExtractString(attributes, 'attributes', {path}) {self._likened(value)}"
        return self._tagged(value if name == "tags" else f"{name}:{value}")

    def _tagged(self, tag: str) -> str:
        own = f"arrayExists(tag -> lowerUTF8(tag) {self._likened(tag.lower())}, tags)"
        of_hosts = self.hosts.matching(tag)
        if not of_hosts:
            return own
        self.host_terms.append(of_hosts)
        return f"({own} OR has(host_terms, {len(self.host_terms) - 1}))"

    def _likened(self, value: str) -> str:
        if value == "*":
            return "!= ''"
        if "*" not in value:
            return f"= {self._parameter(value)}"
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        return f"LIKE {self._parameter(escaped)}"

    def _parameter(self, value: str) -> str:
        name = f"searched_{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:String}}"
