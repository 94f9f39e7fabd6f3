"""What an operator changes while the server runs holds, whatever else fails."""

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from opstrace import administration as administrations
from opstrace import certificates, roster, tls, token_files
from opstrace import instance as instances
from opstrace.administration import Administration
from opstrace.config import Config, Limits
from opstrace.errors import InstanceError
from opstrace.intake.bookkeeper import Bookkeeper
from opstrace.intake.commit import Commit
from opstrace.intake.ledger import Ledger
from opstrace.store.books import Books
from opstrace.store.engine import Engine
from opstrace.store.kept import KeptRequests
from opstrace.store.removal import Removal
from opstrace.telemetry import Telemetry


@contextlib.asynccontextmanager
async def administered(place: Path, forgotten: dict[str, tuple[str, str]]) -> AsyncIterator[Administration]:
    """Administer an instance with the tenants `one` and `two`; `forgotten` learns which tenant where was."""
    made = instances.make("demo", Config(tenants=("one", "two")))
    made = token_files.ensure(made, place, rewrite=False)
    certificates.ensure(made)
    engine, telemetry = Engine(made.data_directory, readers=2), Telemetry()
    commit = Commit(lambda _bodies, _blocks: ([], 0), telemetry, max_bodies=1, max_bytes=1)
    kept = KeptRequests(made.home / "kept", lambda _tenant: Limits())
    bookkeeper = Bookkeeper(Ledger(), Books(engine), kept, commit, telemetry)

    def forget(what: str, tenant: str) -> None:
        forgotten[what] = (tenant, threading.current_thread().name.partition("_")[0])

    administration = Administration(
        made,
        lambda _instance: None,
        commit,
        bookkeeper,
        Removal(engine),
        forget_stored=lambda tenant: forget("stored", tenant),
        forget_heard=lambda tenant: forget("heard", tenant),
    )
    administration.contexts = [ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)]
    chores = asyncio.ensure_future(administration.run())
    try:
        yield administration
    finally:
        chores.cancel()
        await asyncio.gather(chores, return_exceptions=True)
        await commit.drain()
        engine.close()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(administrations, "RETRY_S", 0.05)


async def become(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (files tell nobody)
            await asyncio.sleep(0.01)


def is_served(host: str) -> bool:
    return tls.covers(instances.load("demo").certificate_file.read_bytes(), host)


def test_a_tenants_key_is_told_where_no_certificate_can_be_written_which_is_made_up_for(tmp_path: Path) -> None:
    async def added() -> None:
        async with administered(tmp_path, {}) as administration:
            directory = administration.instance.home / "tls"
            away = directory.rename(directory.with_name("away"))
            key = await administration.add("three")
            tenant = instances.load("demo").keyring.tenant_for(key)
            assert tenant
            assert tenant.name == "three"
            with pytest.raises(InstanceError):
                await administration.reload()
            away.rename(directory)
            await become(lambda: is_served("ddapi.three.demo.localhost"))

    asyncio.run(added())


def test_a_removed_tenant_is_forgotten_by_each_thread_where_it_is_known(tmp_path: Path) -> None:
    forgotten: dict[str, tuple[str, str]] = {}

    async def removed() -> None:
        async with administered(tmp_path, forgotten) as administration:
            await administration.remove("two")
            await become(lambda: "two" not in instances.load("demo").leaving)

    asyncio.run(removed())
    assert forgotten == {"stored": ("two", "commit"), "heard": ("two", "MainThread")}


def test_each_change_is_in_the_log_and_no_key_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=administrations.__name__)
    keys: list[str] = []

    def told(*changes: str) -> None:
        ours = [record for record in caplog.records if record.name == administrations.__name__]
        assert [record.getMessage() for record in ours] == [*changes]
        caplog.clear()

    def begun(tenant: str, number: int = -1) -> str:
        return instances.load("demo").keys[tenant].digests[number][:12]

    async def changed() -> None:
        async with administered(tmp_path, {}) as administration:
            keys.append(await administration.add("three"))
            told("tenant three was added", f"key {begun('three')} of tenant three was added")
            keys.append(await administration.add_key("one"))
            told(f"key {begun('one')} of tenant one was added")
            revoked = begun("one", 0)
            await administration.revoke_key("one", revoked)
            told(f"key {revoked} of tenant one was revoked")
            await administration.set_limits(None, {"max_series": 7, "max_body_bytes": 1024})
            told(
                "max_body_bytes of all tenants is 1024 and was 8388608, from the next start on",
                "max_series of all tenants is 7 and was 10000000",
            )
            await administration.set_limits("one", {"max_series": 5})
            told("max_series of tenant one is 5 and was that of all tenants")
            await administration.reload()
            told()
            roster.set_limits("demo", "one", {"max_series": None})
            roster.remove("demo", "three")
            roster.add("demo", "four", tmp_path)
            await administration.reload()
            told(
                "tenant four was added",
                "tenant three was removed",
                f"key {begun('four')} of tenant four was added",
                "max_series of tenant one is that of all tenants and was 5",
            )

    asyncio.run(changed())
    assert not [key for key in keys if key in caplog.text]
