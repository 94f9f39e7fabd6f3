"""What the log says of a question below /admin that the store could not answer."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from opstrace.config import SYSTEM_TENANT
from opstrace.errors import BadQuery, OpstraceError, Overloaded, StoreError
from opstrace.tenants import Tenant
from opstrace.web import admin
from opstrace.web.lookups import Lookups
from opstrace.web.tenancy import Tenancy
from opstrace.web.workspace import Workspace


class Broken:
    """Stands for everything that is asked, and raises whatever is called."""

    def __init__(self, error: OpstraceError) -> None:
        self.error = error

    def __getattr__(self, _name: str) -> Any:
        return self

    def __call__(self, *_: Any) -> Any:
        raise self.error


def routes(error: OpstraceError) -> list[Route]:
    broken: Any = Broken(error)

    def tenant_of(_request: Request) -> Tenant:
        return Tenant(SYSTEM_TENANT)

    names = ("note", "books", "kept", "replay", "logs", "events", "checks", "hosts", "dogstatsd")
    sources = admin.Sources(Lookups(), tenant_of, tenant_of, **dict.fromkeys(names, broken))
    administration: Any = SimpleNamespace(instance=SimpleNamespace(leaving=["gone"]), holdings=broken)
    workspace = Workspace(broken, Lookups(), tenant_of, broken, broken)
    return [*admin.routes(sources), *workspace.routes(), *Tenancy(tenant_of, administration).routes()]


def status(path: str, error: OpstraceError) -> int:
    scope: Any = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    scope |= {"server": ("localhost", 80), "path_params": {"tenant": "gone"}}
    form = path.replace("/gone", "/{tenant}")
    (route,) = (one for one in routes(error) if one.path == form and "GET" in (one.methods or ()))
    endpoint: Any = route.endpoint

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def answered() -> int:
        return (await endpoint(Request(scope, receive))).status_code

    return asyncio.run(answered())


@pytest.mark.parametrize("path", ["/admin/losses", "/admin/logs", "/admin/metrics", "/admin/tenants/gone"])
def test_what_the_store_could_not_answer_is_one_line_of_the_log(path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert status(path, StoreError("the disk is full")) == 503
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert path in record.getMessage()
    assert "the disk is full" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("path", ["/admin/losses", "/admin/logs", "/admin/metrics", "/admin/tenants/gone"])
def test_a_wrong_question_is_none(path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert status(path, BadQuery("so not")) == 400
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [(ClientDisconnect(), 499, {}), (Overloaded("too many come at once"), 503, {"retry-after": "5"})],
)
def test_a_body_that_does_not_arrive_is_answered_and_no_fault_of_ours(
    error: Exception, status: int, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    limits = SimpleNamespace(body_timeout_s=5.0)
    administration: Any = SimpleNamespace(instance=SimpleNamespace(config=SimpleNamespace(limits=limits)))
    (route,) = (
        one
        for one in Tenancy(lambda _request: Tenant(SYSTEM_TENANT), administration).routes()
        if one.path == "/admin/tenants" and "POST" in (one.methods or ())
    )
    endpoint: Any = route.endpoint

    async def receive() -> Any:
        raise error

    scope: Any = {"type": "http", "method": "POST", "path": "/admin/tenants", "query_string": b"", "headers": []}
    answer = asyncio.run(endpoint(Request(scope, receive)))
    assert answer.status_code == status
    assert headers.items() <= dict(answer.headers).items()
    assert caplog.records == []
