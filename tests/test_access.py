import base64

import pytest
from starlette.requests import HTTPConnection

from opstrace.access import KEY_REQUIRED, Access
from opstrace.errors import Forbidden
from opstrace.tenants import Keyring, key_digest, probe_key

ONE, TWO, UNKNOWN = "1" * 32, "2" * 32, "3" * 32
SECRET = b"secret"
KEYRING = Keyring({"one": [key_digest(ONE)], "two": [key_digest(TWO)]}, SECRET)
ACCESS = Access(KEYRING, "demo.localhost")


def request(
    path: str = "/api/v1/series", query: str = "", host: str = "127.0.0.1:80", **headers: str
) -> HTTPConnection:
    named = {"host": host, **{name.replace("_", "-").lower(): value for name, value in headers.items()}}
    return HTTPConnection(
        {
            "type": "http",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "server": ("127.0.0.1", 80),
        }
    )


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.mark.parametrize(
    "asked",
    [
        request(DD_API_KEY=ONE),
        request(dd_api_key=f"{ONE}\r"),
        request(query=f"api_key={ONE}"),
        request(query=f"dd-api-key={ONE}"),
        request(path=f"/v1/input/{ONE}"),
        request(Authorization=f"Bearer {ONE}"),
        request(Authorization=f"bearer  {ONE}"),
        request(Authorization=basic(f"anybody:{ONE}")),
        request(Authorization=basic(f":{ONE}")),
        request(DD_API_KEY=ONE, query=f"api_key={TWO}"),
        request(DD_API_KEY="", query=f"api_key={ONE}"),
        request(DD_API_KEY=ONE, host="dd.one.demo.localhost:8443"),
        request(DD_API_KEY=ONE, host="ONE.demo.localhost"),
        request(DD_API_KEY=ONE, host="demo.localhost:8443"),
        request(DD_API_KEY=ONE, host="dd.two.other.localhost"),
        request(DD_API_KEY=ONE, host="unknown.demo.localhost"),
    ],
)
def test_a_key_opens_its_tenant_wherever_it_is(asked: HTTPConnection) -> None:
    assert ACCESS.tenant(asked, Forbidden).name == "one"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request(), KEY_REQUIRED),
        (request(DD_API_KEY="  "), KEY_REQUIRED),
        (request(Authorization="Basic !!!"), KEY_REQUIRED),
        (request(Authorization=f"Digest {ONE}"), KEY_REQUIRED),
        (request(DD_API_KEY=UNKNOWN), "not one of this server's"),
        (request(DD_API_KEY=UNKNOWN, query=f"api_key={ONE}"), "not one of this server's"),
        (request(DD_API_KEY="é"), "not one of this server's"),
        (request(DD_API_KEY=ONE, host="dd.two.demo.localhost:8443"), "not of the tenant in the host name"),
        (request(DD_API_KEY=ONE, host="two.demo.localhost"), "not of the tenant in the host name"),
        (request(DD_API_KEY=ONE, host="dd.two.demo.localhost.:8443"), "not of the tenant in the host name"),
    ],
)
def test_anything_else_is_refused(asked: HTTPConnection, says: str) -> None:
    with pytest.raises(Forbidden, match=says):
        ACCESS.tenant(asked, Forbidden)


def test_a_probe_key_is_for_probes_alone() -> None:
    asked = request(DD_API_KEY=probe_key(SECRET, "two"))
    assert ACCESS.tenant(asked, Forbidden, probe=True).name == "two"
    with pytest.raises(Forbidden):
        ACCESS.tenant(asked, Forbidden)


def test_without_authentication_the_host_name_decides_and_a_key_still_counts() -> None:
    access = Access(KEYRING, "demo.localhost", authentication_disabled=True)
    assert access.tenant(request(), Forbidden).name == "one"
    assert access.tenant(request(host="dd.two.demo.localhost"), Forbidden).name == "two"
    assert access.tenant(request(host="dd.two.demo.localhost.:8443"), Forbidden).name == "two"
    assert access.tenant(request(DD_API_KEY=TWO), Forbidden).name == "two"
    assert access.tenant(request(Sec_Fetch_Site="same-origin"), Forbidden).name == "one"
    assert access.tenant(request(host="demo.localhost:1", origin="http://demo.localhost:1"), Forbidden).name == "one"
    with pytest.raises(Forbidden, match="another site"):
        access.tenant(request(host="demo.localhost:1", origin="http://evil.example"), Forbidden)
    for site in ("cross-site", "same-site"):
        with pytest.raises(Forbidden, match="another site"):
            access.tenant(request(Sec_Fetch_Site=site), Forbidden)
        assert access.tenant(request(Sec_Fetch_Site=site, DD_API_KEY=TWO), Forbidden).name == "two"
    with pytest.raises(Forbidden, match="is of no tenant"):
        access.tenant(request(host="dd.gone.demo.localhost"), Forbidden)
    with pytest.raises(Forbidden):
        access.tenant(request(DD_API_KEY=UNKNOWN), Forbidden)
