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
        request(Authorization="Bearer ", DD_API_KEY=ONE),
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


@pytest.mark.parametrize("authorization", ["Bearer ", basic("u:"), "Basic "])
def test_credentials_without_a_key_hide_none_that_is_elsewhere(authorization: str) -> None:
    assert ACCESS.tenant(request(Authorization=authorization), Forbidden, last_resort=ONE).name == "one"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("demo.localhost:8080", True),
        ("dd.one.demo.localhost:8443", True),
        ("localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("192.168.1.7", True),
        ("attacker.example:8080", False),
        ("demo.localhost.attacker.example", False),
    ],
)
def test_a_page_by_a_name_that_is_not_ours_needs_a_key_where_nobody_else_does(host: str, is_ours: bool) -> None:
    """Its owner may have the name lead here only once the page is there."""
    open_access = Access(KEYRING, "demo.localhost", authentication_disabled=True)
    asked = request(host=host, Sec_Fetch_Site="same-origin", Origin=f"http://{host}")
    if is_ours:
        assert open_access.tenant(asked, Forbidden).name == "one"
    else:
        with pytest.raises(Forbidden, match="a page of another site needs a key"):
            open_access.tenant(asked, Forbidden)
    assert open_access.tenant(request(host=host), Forbidden).name == "one"  # no browser: an Agent, curl
    assert open_access.tenant(request(host=host, Origin=f"http://{host}", DD_API_KEY=ONE), Forbidden).name == "one"


def test_a_key_is_looked_up_again_once_others_are_good() -> None:
    access = Access(KEYRING, "demo.localhost")
    asked = request(DD_API_KEY=ONE)
    access.tenant(asked, Forbidden)
    access.check_still(asked, "one", Forbidden)
    access.keyring = Keyring({"one": [key_digest(ONE)], "two": []})
    access.check_still(asked, "one", Forbidden)
    access.keyring = Keyring({"one": [], "two": [key_digest(ONE)]})
    with pytest.raises(Forbidden, match="no longer"):
        access.check_still(asked, "one", Forbidden)
    access.keyring = Keyring({"one": []})
    with pytest.raises(Forbidden, match="not one of this server's"):
        access.check_still(asked, "one", Forbidden)
