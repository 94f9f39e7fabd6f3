"""Dashboards in Grafana's JSON model: those that come with the package, and those a tenant keeps.

    <home>/dashboards/<tenant>/<uid>.json   its own; of a bundled one's name, in its place
    <home>/dashboards/<tenant>/stars.json   uids of its favourites

Bundled ones about the server itself carry the tag `tenant:system`, and no other tenant sees those.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Final

import msgspec

from opstrace import atomic_file
from opstrace.config import SYSTEM_TENANT
from opstrace.errors import BadQuery, BudgetExceeded, NotFound, StoreError

MAX_DASHBOARDS: Final = 500
MAX_DASHBOARD_BYTES: Final = 1 << 20
MAX_PANELS: Final = 200

_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")  # Grafana's
SYSTEM_TAG: Final = f"tenant:{SYSTEM_TENANT}"
_STARS: Final = "stars.json"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DashboardEntry:
    """One line of the list."""

    uid: str
    title: str
    tags: list[str]
    description: str
    bundled: bool  # comes with the package, unchanged
    starred: bool = False


class Dashboards:
    """The dashboards of an instance's tenants. Everything raises QueryErrors, and StoreError if the disk refuses."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bundled = {document["uid"]: document for document in bundled()}
        self._starring = Lock()
        self._known: dict[Path, tuple[int, DashboardEntry]] = {}  # own ones as listed, by when they were written

    def entries(self, tenant: str) -> list[DashboardEntry]:
        """Return what a tenant has, favourites first, then by title."""
        own = {path.stem: self._own_entry(path) for path in self._own_files(tenant)}
        bundled = {
            uid: _entry(uid, document, bundled=True)
            for uid, document in self._bundled.items()
            if _is_for(tenant, document)
        }
        found = {**bundled, **own}.values()
        stars = self._stars(tenant)
        starred = [replace(entry, starred=entry.uid in stars) for entry in found]
        return sorted(starred, key=lambda entry: (not entry.starred, entry.title.lower(), entry.uid))

    def read(self, tenant: str, uid: str) -> Document:
        """Return one dashboard; raise NotFound."""
        path = self._path(tenant, uid)
        if path.is_file():
            return self._own(path)
        document = self._bundled.get(uid)
        if document is None or not _is_for(tenant, document):
            raise NotFound(f"there is no dashboard {uid}")
        return document

    def keep(self, tenant: str, uid: str, body: bytes) -> DashboardEntry:
        """Keep a dashboard of the tenant's own; raise BadQuery, BudgetExceeded."""
        path = self._path(tenant, uid)
        document = {**checked(body), "uid": uid}
        if not path.exists() and sum(1 for _ in self._own_files(tenant)) >= MAX_DASHBOARDS:
            raise BudgetExceeded(f"a tenant keeps {MAX_DASHBOARDS} dashboards at most; remove one first")
        self._write(path, document)
        self._known.pop(path, None)
        return _entry(uid, document, bundled=False)

    def remove(self, tenant: str, uid: str) -> None:
        """Remove one of the tenant's own; raise NotFound, and BadQuery for a bundled one."""
        path = self._path(tenant, uid)
        if not path.is_file():
            self.read(tenant, uid)
            raise BadQuery("this dashboard comes with opstrace and cannot be removed")
        try:
            path.unlink()
            self._known.pop(path, None)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror}") from error
        if uid not in self._bundled:
            self.star(tenant, uid, False)

    def star(self, tenant: str, uid: str, starred: bool) -> None:
        """Put a dashboard among the favourites, or take it from them; raise NotFound."""
        if starred:
            self.read(tenant, uid)
        with self._starring:
            stars = self._stars(tenant) - {_checked_uid(uid)}
            self._write(self._directory / tenant / _STARS, sorted({*stars, uid} if starred else stars))

    def _path(self, tenant: str, uid: str) -> Path:
        return self._directory / tenant / f"{_checked_uid(uid)}.json"

    def _own_files(self, tenant: str) -> Iterator[Path]:
        directory = self._directory / tenant
        for path in directory.glob("*.json") if directory.is_dir() else ():
            if path.name != _STARS and _UID.fullmatch(path.stem):
                yield path

    def _own_entry(self, path: Path) -> DashboardEntry:
        """Return one of a tenant's own as listed; a file that somebody broke is listed by its uid."""
        try:
            written_ns = path.stat().st_mtime_ns
            known = self._known.get(path)
            if known is None or known[0] != written_ns:
                known = self._known[path] = (written_ns, _entry(path.stem, self._own(path), bundled=False))
        except (OSError, StoreError):
            return _entry(path.stem, {"description": "This file cannot be read."}, bundled=False)
        return known[1]

    def _own(self, path: Path) -> Document:
        try:
            return checked(path.read_bytes())
        except (OSError, BadQuery) as error:
            raise StoreError(f"cannot read {path}: {error}") from error

    def _stars(self, tenant: str) -> set[str]:
        try:
            return set(msgspec.json.decode((self._directory / tenant / _STARS).read_bytes(), type=list[str]))
        except FileNotFoundError:
            return set()
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"cannot read the favourites of {tenant}: {error}") from error

    def _write(self, path: Path, content: object) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_file.write(path, msgspec.json.encode(content))
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error


def checked(body: bytes) -> Document:
    """Return a dashboard's JSON, as far as it must hold to be shown at all; raise BadQuery with what is wrong."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadQuery(f"this is not JSON: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("dashboard"), dict):
        document = document["dashboard"]  # as Grafana's API wraps it
    if not isinstance(document, dict):
        raise BadQuery("a dashboard is a JSON object; this is something else")
    if not isinstance(document.get("title"), str) or not document["title"].strip():
        raise BadQuery("a dashboard needs a `title`")
    _check_panels(document.get("panels"), "panels")
    if not isinstance(_given(document, "tags", []), list):
        raise BadQuery("`tags` must be a list")
    if not isinstance(_given(document, "templating", {}), dict):
        raise BadQuery("`templating` must be an object with a `list`")
    return document


def _given(document: Document, name: str, default: object) -> object:
    """Return a member; null counts as missing, as some tools that make dashboards write it."""
    value = document.get(name)
    return default if value is None else value


def _check_panels(panels: object, where: str) -> None:
    if not isinstance(panels, list):
        raise BadQuery(f"`{where}` must be a list of panels")
    if len(panels) > MAX_PANELS:
        raise BadQuery(f"`{where}` has {len(panels)} panels; {MAX_PANELS} are allowed")
    for index, panel in enumerate(panels):
        at = f"{where}[{index}]"
        if not isinstance(panel, dict) or not isinstance(panel.get("type"), str):
            raise BadQuery(f"`{at}` must be an object with a `type`")
        if not isinstance(panel.get("targets", []), list):
            raise BadQuery(f"`{at}.targets` must be a list")
        if panel["type"] == "row" and panel.get("panels"):
            _check_panels(panel["panels"], f"{at}.panels")


def _checked_uid(uid: str) -> str:
    if not _UID.fullmatch(uid) or f"{uid}.json" == _STARS:
        raise BadQuery("a dashboard's uid has 1 to 40 letters, digits, - and _, and is not `stars`")
    return uid


def _entry(uid: str, document: Document, *, bundled: bool) -> DashboardEntry:
    return DashboardEntry(
        uid=uid,
        title=str(document.get("title", uid)),
        tags=[str(tag) for tag in document.get("tags") or ()],
        description=str(document.get("description") or ""),
        bundled=bundled,
    )


def _is_for(tenant: str, document: Document) -> bool:
    return tenant == SYSTEM_TENANT or SYSTEM_TAG not in (document.get("tags") or ())


def bundled() -> Iterator[Document]:
    """Yield the dashboards that come with the package."""
    for entry in sorted((files("opstrace") / "dashboards").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            yield msgspec.json.decode(entry.read_bytes())
