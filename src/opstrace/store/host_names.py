"""Which names are one host's, and when: the one that it speaks under, and those that it says it goes by, too.

Names are compared as they are spelled, as Datadog does: its vSphere and Nutanix checks can change the case of names,
because a host would be listed twice otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from opstrace.store.host_versions import BEGINNING, END, SETTLING_MS, TagSet, Tenure

# The source of a set that holds a host's aliases instead of tags. Every host that sent metadata or an inventory has
# such a set, which may be empty.
ALIASES: Final = ""


@dataclass(frozen=True, slots=True)
class HostNames:
    """The names of a tenant's hosts, as they are now."""

    claimed: Mapping[str, tuple[str, ...]]  # by each host that spoke
    owner_of: Mapping[str, str]  # of names that are not a host's own

    @classmethod
    def of(cls, sets: Iterable[TagSet]) -> "HostNames":
        """Read what hosts said, in the order of time."""
        told = [one for one in sets if one.source == ALIASES]
        last = {name: held[-1].host for name, held in tenures(told).items()}
        return cls(
            claimed={one.host: one.tags for one in told},
            owner_of={name: host for name, host in last.items() if host != name},
        )

    def owner(self, name: str) -> str:
        """Return the host that a name belongs to."""
        return self.owner_of.get(name, name)

    def all_of(self, name: str) -> list[str]:
        """Return all names of the host that a name belongs to, its own first."""
        host = self.owner(name)
        return [host, *self.aliases_of(host)]

    def aliases_of(self, host: str) -> tuple[str, ...]:
        """Return the names that a host says it goes by, too, and that are nobody else's."""
        return tuple(alias for alias in self.claimed.get(host, ()) if self.owner_of.get(alias) == host)


def without_names(sets: Iterable[TagSet]) -> Iterator[TagSet]:
    """Yield the sets that hold tags."""
    return (one for one in sets if one.source != ALIASES)


# ---------------------------------------------------------------------------------------------------------------
# As of a time


class _Change(NamedTuple):
    """From a moment on a host claims a name, or no longer does."""

    at_ms: int
    host: str
    claims: bool


@dataclass(frozen=True, slots=True)
class _Spell:
    """Whose a name is from one moment on until the next spell."""

    from_ms: int
    owner: str
    said_ms: int  # when it came to be so
    claimed: bool  # by anybody


def tenures(sets: Iterable[TagSet]) -> dict[str, list[Tenure]]:
    """Return, of names that were another host's at a time, whose they were from the first time to the last.

    The first claim holds from the beginning on, each later one of a name that nobody had from half an hour before, as
    long as an Agent may take to tell of itself; and so does what a name tells of itself. A name is nobody's while
    several hosts claim it, from the first claim on where the second came as soon.
    """
    spoke: dict[str, list[TagSet]] = {}
    for one in sets:
        if one.source == ALIASES:
            spoke.setdefault(one.host, []).append(one)
    changes: dict[str, list[_Change]] = {}
    for some in spoke.values():
        for name, change in _changes(some):
            changes.setdefault(name, []).append(change)
    found = {}
    for name, of_name in changes.items():
        spells = _spells(name, sorted(of_name))
        if name in spoke:
            spells = _until_it_speaks(name, spells, spoke[name][0].since_ms - SETTLING_MS)
        if any(spell.owner != name for spell in spells):
            found[name] = _tenures(spells)
    return found


def _changes(of_host: Sequence[TagSet]) -> Iterator[tuple[str, _Change]]:
    """Yield which names a host claims from when on and no longer, of its sets in the order of time."""
    before: set[str] = set()
    for one in of_host:
        names = {*one.tags} - {one.host}
        for name in sorted(names ^ before):
            yield name, _Change(one.since_ms, one.host, name in names)
        before = names


def _spells(name: str, changes: Iterable[_Change]) -> list[_Spell]:
    found: list[_Spell] = []
    claimants: set[str] = set()
    for said_ms, at_once in groupby(changes, key=lambda change: change.at_ms):
        for change in at_once:
            (claimants.add if change.claims else claimants.discard)(change.host)
        owner = min(claimants) if len(claimants) == 1 else name
        from_ms = said_ms if found else BEGINNING
        if found and len(claimants) > 1 and said_ms - found[-1].said_ms <= SETTLING_MS:
            from_ms = found.pop().from_ms
        elif found and claimants and not found[-1].claimed:
            from_ms = said_ms - SETTLING_MS
            if from_ms <= found[-1].from_ms:
                from_ms = found.pop().from_ms
        found.append(_Spell(from_ms, owner, said_ms, bool(claimants)))
    return found


def _until_it_speaks(name: str, spells: Sequence[_Spell], spoke_ms: int) -> list[_Spell]:
    """Return the spells of a name that speaks for itself from a moment on."""
    if spoke_ms <= spells[0].said_ms:
        return []
    return [*(one for one in spells if one.from_ms < spoke_ms), _Spell(spoke_ms, name, spoke_ms, claimed=False)]


def _tenures(spells: Sequence[_Spell]) -> list[Tenure]:
    firsts = [next(some) for _, some in groupby(spells, key=lambda spell: spell.owner)]
    ends = [one.from_ms for one in firsts[1:]] + [END]
    return [Tenure(one.from_ms, until_ms, one.owner) for one, until_ms in zip(firsts, ends, strict=True)]
