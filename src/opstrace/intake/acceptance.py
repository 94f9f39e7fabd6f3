"""What happens to a request once it is known whose it is: inflated, committed, booked; or kept as it came."""

import codecs
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from opstrace.config import Limits
from opstrace.intake.body import inflate, inflated
from opstrace.intake.commit import Commit
from opstrace.intake.density import things_in
from opstrace.intake.documents.host_metadata import is_of_cluster
from opstrace.intake.ledger import Ledger, Sender
from opstrace.intake.logs.log_facts import LOGPLEX, facts_of
from opstrace.intake.logs.logs_decoder import LogsDecoder
from opstrace.intake.patience import Patience
from opstrace.intake.payload import STORED, Body, Family, Verdict
from opstrace.intake.senders import sender_of, shown
from opstrace.intake.settlement import Settlement
from opstrace.store.kept import Kept, Record
from opstrace.telemetry import Telemetry

# Names of headers and parameters that may hold a key hold one of these.
_SECRET: Final = re.compile("key|token|auth|cookie|secret|passw|credential|signature", re.IGNORECASE)
_REDACTED: Final = "<key>"
# Shorter texts are not redacted: they are no keys, and may be parts of words.
_SHORTEST_KEY: Final = 16
# Bodies that say nothing: probes of Agents. They are well where they are not understood, too.
_NOTHING: Final = frozenset((b"", b"{}", b"[]"))
# What a Content-Type must say for the second of two families; anything else decides by the first byte.
_TELLING: Final = {Family.LOGS_TEXT: ("text/plain", LOGPLEX)}
_PROTOBUF: Final = ("protobuf",)
# A protobuf message has lengths and field numbers below a space's code this early.
_HEAD: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A request of a known tenant, read to its end."""

    tenant: str
    method: str
    path: str  # as the table of endpoints has it, where it does
    route: str  # the path's label in our metrics
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    raw: bytes
    keys: tuple[str, ...] = ()  # that came with it
    came_ms: int = 0  # 0: now
    connection: str = ""  # on which it came; none: it came on none

    @property
    def sender(self) -> Sender:
        """Who sent it, as far as its headers tell; a key where a name should be is nobody's name."""
        named = sender_of(self.headers, self.tenant)
        return Sender(named.tenant, redacted(named.host, self.keys), redacted(named.version, self.keys))


class Acceptance:
    """Takes parcels in."""

    def __init__(
        self, commit: Commit, telemetry: Telemetry, limits: Limits, ledger: Ledger, settlement: Settlement
    ) -> None:
        self._commit = commit
        self._telemetry = telemetry
        self._limits = limits
        self._ledger = ledger
        self._settlement = settlement
        self._patience = Patience()

    async def store(self, parcel: Parcel, families: Sequence[Family], *, replayed: bool = False) -> Verdict:
        """Make what is in a parcel durable, book it, and return what became of it; raises IntakeError."""
        content = (await self.inflated(parcel.raw, parcel.headers)).removeprefix(codecs.BOM_UTF8)
        self._telemetry.request_bytes.labels(parcel.route, parcel.tenant, "received").inc(len(parcel.raw))
        self._telemetry.request_bytes.labels(parcel.route, parcel.tenant, "inflated").inc(len(content))
        media_type = parcel.headers.get("content-type", "").lower()
        family = _family(families, media_type, content)
        if family is Family.INVENTORY and is_of_cluster(content):
            return await self._keep_unread(parcel, replayed=replayed)
        things, facts = things_in(family, content), {}
        if family in LogsDecoder.families:
            facts = facts_of(_public(parcel.query, parcel.keys), media_type, content)
        body = Body(family, parcel.tenant, content, facts, parcel.came_ms, things)
        verdict = Verdict() if content.strip() in _NOTHING else await self._submit(body, parcel, replayed=replayed)
        self._settle(parcel, body, verdict, replayed=replayed)
        if verdict.cut_logs:
            self._telemetry.cut_logs.labels(parcel.tenant).inc(verdict.cut_logs)
        return verdict

    async def keep(self, parcel: Parcel) -> None:
        """Make a parcel durable as it came; raises IntakeError."""
        if parcel.raw.strip() in _NOTHING:
            self._ledger.settle(parcel.sender, len(parcel.raw), Verdict(), repeated=False)
            return
        record = Record(_kept(parcel), parcel.raw).encode()
        body = Body(Family.KEPT, parcel.tenant, record, {"route": parcel.route})
        await self._submit(body, parcel)
        self._telemetry.unhandled_bodies.labels(parcel.route, parcel.tenant).inc()
        self._ledger.keep(parcel.sender, len(parcel.raw))

    async def _keep_unread(self, parcel: Parcel, *, replayed: bool) -> Verdict:
        """Keep what is of a known family and not understood yet."""
        if not replayed:
            await self.keep(parcel)
        return Verdict(kept=True)

    def refuse(self, tenant: str, headers: Mapping[str, str], size_bytes: int, reason: str) -> None:
        """Book a request that was refused; who has no key has no name either."""
        sender = sender_of(headers, tenant)
        self._ledger.refuse(sender, size_bytes, reason)

    async def inflated(self, raw: bytes, headers: Mapping[str, str]) -> bytes:
        """Return a body without its compression; raises PayloadTooLarge and Undecodable."""
        limit = self._limits.max_inflated_bytes
        return await inflated(raw, headers.get("content-encoding", ""), limit, inflate)

    async def _submit(self, body: Body, parcel: Parcel, *, replayed: bool = False) -> Verdict:
        """Commit what came in a parcel, with others' where it can wait for them."""
        patiently = not replayed and self._patience.has(parcel.headers, len(body.content), parcel.connection)
        try:
            return await self._commit.submit(body, patiently=patiently)
        finally:
            self._patience.answered(parcel.connection)

    def _settle(self, parcel: Parcel, body: Body, verdict: Verdict, *, replayed: bool) -> None:
        if verdict.fault:
            self._count("events", parcel.tenant, verdict.events)
        named = parcel.sender
        sender = named if named.host else Sender(named.tenant, shown(verdict.host), named.version)
        repeated = self._settlement.settle(body, parcel.raw, sender, verdict, booked=replayed)
        contents = {"points": verdict.points, "logs": verdict.logs, "events": verdict.events, "facts": verdict.facts}
        for what, fates in contents.items():
            self._count(what, parcel.tenant, {**fates, STORED: 0} if repeated else fates)

    def _count(self, what: str, tenant: str, fates: Mapping[str, int]) -> None:
        refused = {fate: number for fate, number in fates.items() if fate != STORED}
        self._telemetry.fates[what].count(tenant, fates.get(STORED, 0), refused)


def redacted(text: str, keys: Iterable[str]) -> str:
    """Return a text without the keys that a request came with, wherever they stand in it."""
    for key in keys:
        if len(key) >= _SHORTEST_KEY:
            text = re.sub(re.escape(key), _REDACTED, text, flags=re.IGNORECASE)
    return text


def _kept(parcel: Parcel) -> Kept:
    return Kept(
        time_ms=time.time_ns() // 1_000_000,
        method=parcel.method,
        path=redacted(parcel.path, parcel.keys),
        query=urlencode(_public(parcel.query, parcel.keys)),
        headers=_public(parcel.headers, parcel.keys),
        version=parcel.sender.version,
        host=parcel.sender.host,
    )


def _public(named: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Return headers or parameters without those that may hold a key."""
    return {redacted(name, keys): redacted(value, keys) for name, value in named.items() if not _SECRET.search(name)}


def _family(families: Sequence[Family], media_type: str, content: bytes) -> Family:
    """Return what a body is: by its Content-Type, and without a telling one by its first byte."""
    if len(families) == 1:
        return families[0]
    first, second = families
    if any(word in media_type for word in _TELLING.get(second, _PROTOBUF)) and not _is_objects(media_type, content):
        return second
    return first if "json" in media_type or _looks_like_json(content) else second


def _is_objects(media_type: str, content: bytes) -> bool:
    """Say whether `text/plain` holds JSON objects: browsers use this type for any string that a page sends."""
    return "text/plain" in media_type and content.lstrip()[:1] == b"{" and _looks_like_json(content)


def _looks_like_json(content: bytes) -> bool:
    """Tell JSON from protobuf, which may begin with a line feed and a bracket: JSON lacks its control characters."""
    head = content.lstrip()[:_HEAD]
    return head[:1] in (b"{", b"[") and not any(byte < ord(" ") for byte in head.translate(None, b"\t\n\r"))
