"""Tenants, keys and limits, changed while the server runs.

The files come first (`roster.py`), then what is in memory: a change that was answered holds after a crash, too. What
a removed tenant leaves behind goes in the background, and the files say what is left to do.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from opstrace import certificates, changes, estate, homes, roster
from opstrace import instance as instances
from opstrace.config import LIVE_LIMITS, RETENTION_KEYS, Config
from opstrace.errors import InstanceError, OpstraceError
from opstrace.estate import Holdings
from opstrace.instance import Instance
from opstrace.intake.bookkeeper import Bookkeeper
from opstrace.intake.commit import Commit
from opstrace.store.removal import Removal

logger = logging.getLogger(__name__)

# Between two looks whether the engine has removed a tenant's rows.
_REMOVAL_PAUSE_S: Final = 0.1
# Until what failed in the background is tried again.
RETRY_S: Final = 60.0


class Administration:
    """What an operator changes of a running instance. Use it on one event loop."""

    def __init__(
        self,
        instance: Instance,
        adopt: Callable[[Instance], None],
        commit: Commit,
        bookkeeper: Bookkeeper,
        removal: Removal,
        *,
        forget_stored: Callable[[str], None],
        forget_heard: Callable[[str], None],
    ) -> None:
        """`adopt` takes in a changed instance.

        The others drop what is in memory of a tenant: `forget_stored` on the writer's thread, `forget_heard` on the
        event loop.
        """
        self.instance = instance
        self.stored = instance.config  # with what only a start takes in
        self.contexts: list[ssl.SSLContext] = []  # of the listeners, once they listen
        self._adopt = adopt
        self._commit = commit
        self._bookkeeper = bookkeeper
        self._removal = removal
        self._forget_stored = forget_stored
        self._forget_heard = forget_heard
        self._lock = asyncio.Lock()
        self._is_certified = True  # whether the certificate has the names there are now
        self._left_to_do = asyncio.Event()
        self._left_to_do.set()

    async def add(self, tenant: str) -> str:
        """Add a tenant and return its key."""
        async with self._lock:
            _, key = await asyncio.to_thread(roster.add, self.instance.name, tenant, None)
            await self._take_in()
        return str(key)

    async def remove(self, tenant: str) -> None:
        """Remove a tenant: its keys open nothing from now on, and its data goes."""
        roster.check_removable(self.instance, tenant)
        async with self._lock:
            await asyncio.to_thread(roster.remove, self.instance.name, tenant)
            await self._take_in()
        self._left_to_do.set()

    async def holdings(self, tenant: str) -> Holdings:
        """Return how much a tenant has."""
        return await asyncio.to_thread(estate.holdings, self.instance, self._removal, tenant)

    async def add_key(self, tenant: str) -> str:
        """Give a tenant one more key and return it."""
        async with self._lock:
            _, key = await asyncio.to_thread(roster.add_key, self.instance.name, tenant)
            await self._take_in()
        return key

    async def revoke_key(self, tenant: str, digest: str) -> None:
        """Make the key of a tenant whose digest begins so invalid."""
        async with self._lock:
            await asyncio.to_thread(roster.revoke_key, self.instance.name, tenant, digest)
            await self._take_in()

    async def set_limits(self, tenant: str | None, given: Mapping[str, Any]) -> None:
        """Set limits of one tenant, or retention and limits of all."""
        async with self._lock:
            await asyncio.to_thread(roster.set_limits, self.instance.name, tenant, given)
            await self._take_in()

    async def reload(self) -> None:
        """Take in what was changed in the files; raise InstanceError when the certificate cannot be served."""
        async with self._lock:
            await self._reread()
            await self._serve_certificate()

    def waiting(self) -> list[str]:
        """Return the names of limits that were set, and that the next start will take in."""
        running, stored = self.instance.config.limits, self.stored.limits
        return [name for name in running.__struct_fields__ if getattr(running, name) != getattr(stored, name)]

    async def run(self) -> None:
        """Do what a change has left to do, now and after each change, until cancelled.

        That is to remove what removed tenants have left, and to serve a certificate that could not be served then.
        """
        while True:
            await self._left_to_do.wait()
            self._left_to_do.clear()
            over = self._is_certified or await self._certify()
            over &= await self._tried("removing tenants", asyncio.to_thread(roster.settle, self.instance.name))
            for tenant in self.instance.leaving:
                over &= await self._tried(f"the removal of tenant {tenant}", self._clear_out(tenant))
            if not over:
                self._try_again()

    async def _tried(self, what: str, work: Awaitable[None]) -> bool:
        """Say whether work went well; if not, why is logged."""
        try:
            await work
        except Exception as error:
            known = isinstance(error, (OpstraceError, OSError))
            logger.warning("%s is not over: %s", what, error, exc_info=None if known else error)
            return False
        return True

    def _try_again(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_S, self._left_to_do.set)

    async def _take_in(self) -> None:
        """Take in the files after a change that holds, whatever becomes of the certificate."""
        await self._reread()
        if not await self._certify():
            self._try_again()

    async def _certify(self) -> bool:
        serving = self._serve_certificate()
        self._is_certified = await self._tried("serving the certificate", serving)
        return self._is_certified

    async def _reread(self) -> None:
        """Take in the files, but for the certificate."""
        known = await asyncio.to_thread(instances.load, self.instance.name)
        before = self.instance
        for change in changes.told(replace(before, config=self.stored), known):
            logger.info("%s", change)
        config = _with_live(before.config, known.config)
        self.instance = replace(before, config=config, keys=known.keys, removed=known.removed)
        self.stored = known.config
        self._adopt(self.instance)
        await self._follow(before.config.tenants)

    async def _follow(self, before: Iterable[str]) -> None:
        """Take payloads of the tenants that there are now, and of no others."""
        for tenant in self.instance.config.tenants:
            self._commit.open(tenant)
        for tenant in before:
            if tenant not in self.instance.config.tenants:
                await self._commit.shut(tenant)

    async def _serve_certificate(self) -> None:
        """Serve a certificate with the names there are now."""
        await asyncio.to_thread(self._renew_certificate, asyncio.get_running_loop())

    def _renew_certificate(self, loop: asyncio.AbstractEventLoop) -> None:
        """Issue a certificate if need be, and have the event loop take it.

        Whoever issues one holds the lock until its key is there, too.
        """
        certificates.renew(self.instance.name)
        with homes.locked(self.instance.home):
            asyncio.run_coroutine_threadsafe(self._take_certificate(), loop).result()

    async def _take_certificate(self) -> None:
        """Give contexts the certificate, on the event loop: for a moment they have one that their key does not fit.

        A client that shook hands in that moment, beside a thread that did this, was hung up on.
        """
        certificate, key = self.instance.certificate_file, self.instance.key_file
        try:
            for context in self.contexts:
                context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise InstanceError(f"cannot serve the certificate {certificate}: {error}") from error

    async def _clear_out(self, tenant: str) -> None:
        """Remove what a tenant has left, and the memory of it."""
        await self._commit.shut(tenant)
        await self._bookkeeper.write()
        await self._commit.between(partial(self._removal.begin, tenant))
        while not await asyncio.to_thread(self._removal.over, tenant):  # noqa: ASYNC110 (the engine tells nobody)
            await asyncio.sleep(_REMOVAL_PAUSE_S)
        await self._commit.between(partial(self._forget_stored, tenant))
        self._forget_heard(tenant)
        await asyncio.to_thread(estate.remove_files, self.instance, tenant)
        async with self._lock:
            await asyncio.to_thread(roster.forget, self.instance.name, tenant)
            await self._reread()
        logger.info("the data of tenant %s is gone", tenant)


def _with_live(running: Config, stored: Config) -> Config:
    """Return the running config with what needs no restart as it is stored."""
    live = {name: getattr(stored.limits, name) for name in LIVE_LIMITS}
    return msgspec.structs.replace(
        running,
        tenants=stored.tenants,
        tenant_limits=stored.tenant_limits,
        limits=msgspec.structs.replace(running.limits, **live),
        **{name: getattr(stored, name) for name in RETENTION_KEYS},
    )
