"""Label sets, names and values of the series that selectors match, with the tags of their hosts.

Rows of `series` are kept a day, so the answers are for whole days (UTC).
"""

from collections.abc import Iterator, Sequence

from opstrace.store.backend import Labels, Matcher
from opstrace.store.host_tags import HostView, Spell, told_apart
from opstrace.store.reading import Reading
from opstrace.store.resolved import labels_of
from opstrace.store.selectors import Condition, check_number, condition

Selectors = Sequence[Sequence[Matcher]]


class LabelReader:
    """Finds labels of series that were seen on the days of a range; of all series without selectors.

    `view` are the tags of hosts in the range; None for a tenant without any.
    """

    def __init__(self, reading: Reading, start_ms: int, end_ms: int, view: HostView | None) -> None:
        self._reading = reading
        self._range = start_ms, end_ms
        self._view = view

    def label_sets(self, selectors: Selectors) -> list[Labels]:
        """Return the label sets matched by any of the selectors."""
        if self._view is None:
            return self._own_label_sets(self._condition(selectors))
        check_number(selectors)
        found: dict[bytes, Labels] = {}
        for matchers in selectors or [[]]:
            own = self._own_label_sets(self._condition([matchers], self._view))
            found |= self._view.join(own, matchers).labels()
        return list(found.values())

    def names(self, selectors: Selectors) -> list[str]:
        """Return the sorted names of the labels of these series."""
        if self._view is None:
            return self._reading.column("label_names", self._condition(selectors))
        names: set[str] = set()
        for own, spells in self._by_host(selectors, "groupUniqArrayArray(mapKeys(labels))", self._view):
            names = names.union(own if spells else (), *(spell.labels for spell in spells))
        return sorted({"__name__", *names} if names else names)

    def values(self, name: str, selectors: Selectors) -> list[str]:
        """Return the sorted values of one label among these series."""
        view = self._view
        if view and (name in view.keys or any(view.on_hosts(matchers) for matchers in selectors)):
            return self._joined_values(name, selectors, view)
        where = self._condition(selectors)
        if name == "__name__":
            return self._reading.column("metric_names", where)
        where.parameters["label"] = name
        return self._reading.column("label_values", where)

    def _condition(self, selectors: Selectors, view: HostView | None = None) -> Condition:
        return condition(self._reading.tenant, selectors, *self._range, view)

    def _own_label_sets(self, where: Condition) -> list[Labels]:
        return labels_of(self._reading.read("select_labels", where))

    def _joined_values(self, name: str, selectors: Selectors, view: HostView) -> list[str]:
        wanted = "groupUniqArray(name)" if name == "__name__" else "[]"
        found: set[str] = set()
        for own, spells in self._by_host(selectors, wanted, view, name):
            found = found.union(own if spells else (), (spell.labels.get(name, "") for spell in spells))
        return sorted(found - {""})

    def _by_host(
        self, selectors: Selectors, wanted: str, view: HostView, *names: str
    ) -> Iterator[tuple[list[str], list[Spell]]]:
        """Yield, for series of one host that agree in some labels, what is wanted of them, and these labels joined.

        The labels are those with the given names and those that selectors look at.
        """
        check_number(selectors)
        for matchers in selectors or [[]]:
            where = self._condition([matchers], view)
            keys = sorted({"instance", "job", *names, *(matcher.name for matcher in view.on_hosts(matchers))})
            where.parameters["keys"] = keys
            table = self._reading.read("labels_by_host", where, wanted=wanted)
            own = told_apart(
                (
                    {key: content for key, content in zip(keys, contents, strict=True) if content}
                    for contents in table["contents"].to_pylist()
                ),
                table["alien"].to_pylist(),
            )
            yield from zip(table["wanted"].to_pylist(), view.spells(own, matchers), strict=True)
