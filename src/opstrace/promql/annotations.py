"""What a query wants its author to know besides the result: warnings and remarks, each once."""

from dataclasses import dataclass, field

from opstrace.promql.tokens import position
from opstrace.promql.tree import Node


@dataclass(slots=True)
class Annotations:
    """Collects while one query is evaluated; texts are Prometheus's (util/annotations/annotations.go)."""

    query: str
    warnings: dict[str, None] = field(default_factory=dict)
    infos: dict[str, None] = field(default_factory=dict)

    def warn(self, message: str, node: Node) -> None:
        """Add a warning about what stands at this node."""
        self.warnings[f"PromQL warning: {message} ({position(self.query, node.start)})"] = None

    def info(self, message: str, node: Node) -> None:
        """Add a remark about what stands at this node."""
        self.infos[f"PromQL info: {message} ({position(self.query, node.start)})"] = None
