"""What a metric is called before it is aggregated: mapped, under a namespace, let through or not.

dogstatsd-and-sketches.md, section 8 (DataDog/datadog-agent: comp/dogstatsd/mapper/mapper.go, impl/enrich.go).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from opstrace.config import Dogstatsd, MapperProfile, MapperRule
from opstrace.dogstatsd.histogram import suffixes

# `$1`, `${1}`, `$name`: a name goes on as long as it can.
_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)\}|(?P<plain>\w+))", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: "re.Pattern[str]"
    name: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Matcher:
    """A list of names, or of their beginnings."""

    names: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str], *, prefixes: bool) -> "_Matcher":
        return cls(frozenset(), tuple(names)) if prefixes else cls(frozenset(names), ())

    def has(self, name: str) -> bool:
        return name in self.names or name.startswith(self.prefixes)


class Names:
    """The rules of one config."""

    def __init__(self, settings: Dogstatsd) -> None:
        self._profiles = [(profile.prefix, _rules(profile)) for profile in settings.dogstatsd_mapper_profiles]
        self._mapped = lru_cache(settings.dogstatsd_mapper_cache_size)(self._map)
        namespace = settings.statsd_metric_namespace
        self._namespace = namespace if not namespace or namespace.endswith(".") else f"{namespace}."
        self._exempt = settings.statsd_metric_namespace_blacklist
        # The newer of the Agent's two lists wins where it is set.
        blocked = (settings.statsd_metric_blocklist, settings.statsd_metric_blocklist_match_prefix)
        if settings.metric_filterlist:
            blocked = (settings.metric_filterlist, settings.metric_filterlist_match_prefix)
        self._blocked = _Matcher.of(blocked[0], prefixes=blocked[1])
        endings = tuple(f".{suffix}" for suffix in suffixes(settings))
        series = [name for name in blocked[0] if name.endswith(endings)]
        self._blocked_series = _Matcher.of(series, prefixes=blocked[1])
        self._allowed = _Matcher.of(
            settings.statsd_metric_allowlist, prefixes=settings.statsd_metric_allowlist_match_prefix
        )
        self._only_allowed = bool(settings.statsd_metric_allowlist)

    def mapped(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Return a metric's name, and the tags that come with it."""
        return self._mapped(name) if self._profiles else (name, ())

    def spaced(self, name: str) -> str:
        """Return a name with the namespace before it, unless it is exempt."""
        return name if name.startswith(self._exempt) else self._namespace + name

    def passes(self, name: str) -> bool:
        """Say whether a metric of this full name is taken at all."""
        return not self._blocked.has(name) and (not self._only_allowed or self._allowed.has(name))

    def passes_series(self, name: str) -> bool:
        """Say whether what came of a histogram is sent under this name."""
        return not self._blocked_series.has(name)

    def _map(self, name: str) -> tuple[str, tuple[str, ...]]:
        """Map a name by the first profile of its prefix, and by no other."""
        for prefix, rules in self._profiles:
            if prefix == "*" or name.startswith(prefix):
                return next((mapped for rule in rules if (mapped := _applied(rule, name))), (name, ()))
        return name, ()


def _rules(profile: MapperProfile) -> list[_Rule]:
    return [_Rule(_pattern(rule), rule.name, tuple(rule.tags.items())) for rule in profile.mappings]


def _pattern(rule: MapperRule) -> "re.Pattern[str]":
    text = rule.match
    if rule.match_type == "wildcard":
        text = text.replace(".", r"\.").replace("*", "([^.]*)")
    return re.compile(rf"^{text}\Z")


def _applied(rule: _Rule, name: str) -> tuple[str, tuple[str, ...]] | None:
    found = rule.pattern.search(name)
    if found is None:
        return None
    tags = tuple(f"{key}:{_expanded(template, found)}" for key, template in rule.tags)
    return _expanded(rule.name, found), tags


def _expanded(template: str, found: "re.Match[str]") -> str:
    def replaced(reference: "re.Match[str]") -> str:
        if reference["dollar"]:
            return "$"
        group = reference["braced"] or reference["plain"]
        key: int | str = int(group) if group.isdecimal() else group
        try:
            return found[key] or ""
        except IndexError:  # a group that the pattern has not
            return ""

    return _REFERENCE.sub(replaced, template)
