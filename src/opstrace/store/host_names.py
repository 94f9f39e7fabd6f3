"""Which names are one host's: the one that it speaks under, and those that it says it goes by, too.

Names are compared as they are spelled, as Datadog does: its vSphere and Nutanix checks can change the case of names,
because a host would be listed twice otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opstrace.store.host_versions import TagSet

# The source of a set that holds a host's other names instead of tags. Whoever spoke has such a set, if an empty one.
ALIASES: Final = ""


@dataclass(frozen=True, slots=True)
class HostNames:
    """The names of a tenant's hosts."""

    aliases: Mapping[str, tuple[str, ...]]  # of each host that spoke
    owner_of: Mapping[str, str]  # of names that are not a host's own

    @classmethod
    def of(cls, sets: Iterable[TagSet]) -> "HostNames":
        """Read what hosts said, in the order of time."""
        aliases = {one.host: one.tags for one in sets if one.source == ALIASES}
        return cls(aliases, _owners(aliases))

    def owner(self, name: str) -> str:
        """Return the host that a name belongs to."""
        return self.owner_of.get(name, name)

    def all_of(self, name: str) -> list[str]:
        """Return all names of the host that a name belongs to, its own first."""
        host = self.owner(name)
        return [host, *(alias for alias in self.aliases.get(host, ()) if self.owner_of.get(alias) == host)]


def without_names(sets: Iterable[TagSet]) -> Iterator[TagSet]:
    """Yield the sets that hold tags."""
    return (one for one in sets if one.source != ALIASES)


def _owners(aliases: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return whose each other name is.

    A name that several hosts claim says nothing; that of a host which spoke is this host's.
    """
    claims: dict[str, set[str]] = {}
    for host, others in aliases.items():
        for name in others:
            claims.setdefault(name, set()).add(host)
    return {name: min(of) for name, of in claims.items() if len(of) == 1 and name not in aliases}
