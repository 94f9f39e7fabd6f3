from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from opstrace.access import Access
from opstrace.errors import QueryUnauthorized
from opstrace.tenants import Keyring, key_digest
from opstrace.web.sessions import (
    FAILED_LOGIN_WINDOW_S,
    MAX_FAILED_LOGINS,
    SESSION_S,
    Sessions,
    TooManyLogins,
)

ONE, TWO, UNKNOWN = "1" * 32, "2" * 32, "3" * 32
ACCESS = Access(Keyring({"one": [key_digest(ONE)], "two": [key_digest(TWO)]}), "demo.localhost")
HOST = "demo.localhost:8443"
OWN = {"sec-fetch-site": "same-origin"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


@pytest.fixture
def sessions(clock: Clock, file: Path) -> Sessions:
    return Sessions(ACCESS, "demo", file, clock)


def request(method: str = "GET", client: str = "192.0.2.1", scheme: str = "https", **headers: str) -> Request:
    named = {"host": HOST, **{name.replace("_", "-").lower(): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http",
            "method": method,
            "scheme": scheme,
            "path": "/ui/session",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": (client, 4711),
            "server": ("127.0.0.1", 8443),
        }
    )


def cookie_of(sessions: Sessions, key: str = ONE) -> str:
    """Log in and return what the browser shows from now on."""
    response = Response()
    sessions.log_in(request("POST", sec_fetch_site="same-origin", dd_api_key=key), response)
    return response.headers["set-cookie"].partition(";")[0]


def tenant(sessions: Sessions, asked: Request) -> str:
    return sessions.tenant(asked, QueryUnauthorized).name


def test_a_cookie_stands_for_the_key_it_was_given_for(sessions: Sessions) -> None:
    one, two = cookie_of(sessions, ONE), cookie_of(sessions, TWO)
    assert tenant(sessions, request(cookie=one)) == "one"
    assert tenant(sessions, request("POST", cookie=two, **OWN)) == "two"


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_connections(sessions: Sessions) -> None:
    secure, plain = Response(), Response()
    sessions.log_in(request("POST", sec_fetch_site="same-origin", dd_api_key=ONE), secure)
    sessions.log_in(request("POST", scheme="http", sec_fetch_site="same-origin", dd_api_key=ONE), plain)
    attributes = {part.strip().lower() for part in secure.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "secure", "path=/", f"max-age={int(SESSION_S)}"} <= attributes
    assert "secure" not in plain.headers["set-cookie"].lower()
    assert ONE not in secure.headers["set-cookie"]


def test_a_key_counts_before_a_cookie(sessions: Sessions) -> None:
    assert tenant(sessions, request(cookie=cookie_of(sessions, ONE), dd_api_key=TWO)) == "two"
    with pytest.raises(QueryUnauthorized):
        tenant(sessions, request(cookie=cookie_of(sessions, ONE), dd_api_key=UNKNOWN))


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"sec_fetch_site": "same-site"}),  # another port or subdomain
        ("POST", {"sec_fetch_site": "cross-site"}),
        ("GET", {"sec_fetch_site": "same-site"}),
        ("POST", {"sec_fetch_site": "none"}),
        ("POST", {"origin": "https://demo.localhost:9999"}),
        ("PUT", {"origin": "null"}),
        ("DELETE", {}),
    ],
)
def test_a_cookie_shown_by_another_origins_page_is_refused(
    sessions: Sessions, method: str, headers: dict[str, str]
) -> None:
    asked = request(method, cookie=cookie_of(sessions), **headers)
    with pytest.raises(QueryUnauthorized, match="this server's own pages only"):
        tenant(sessions, asked)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {"sec_fetch_site": "same-origin"}),
        ("GET", {"sec_fetch_site": "none"}),
        ("PUT", {"origin": f"https://{HOST}"}),
        ("GET", {}),
    ],
)
def test_our_own_pages_may_do_everything(sessions: Sessions, method: str, headers: dict[str, str]) -> None:
    assert tenant(sessions, request(method, cookie=cookie_of(sessions), **headers)) == "one"


def test_a_session_ends_by_logout_and_by_time(sessions: Sessions, clock: Clock) -> None:
    first, second = cookie_of(sessions), cookie_of(sessions)
    response = Response()
    sessions.log_out(request("DELETE", cookie=first), response)
    assert "max-age=0" in response.headers["set-cookie"].lower()
    with pytest.raises(QueryUnauthorized):
        tenant(sessions, request(cookie=first))
    assert tenant(sessions, request(cookie=second)) == "one"
    clock.now_s += SESSION_S
    with pytest.raises(QueryUnauthorized):
        tenant(sessions, request(cookie=second))


def test_a_session_ends_with_its_key(sessions: Sessions) -> None:
    one, two = cookie_of(sessions, ONE), cookie_of(sessions, TWO)
    before = ACCESS.keyring
    try:
        ACCESS.keyring = Keyring({"one": [], "two": [key_digest(TWO)]})
        with pytest.raises(QueryUnauthorized):
            tenant(sessions, request(cookie=one))
        assert tenant(sessions, request(cookie=two)) == "two"
    finally:
        ACCESS.keyring = before


def test_a_session_without_a_key_ends_with_its_tenant(file: Path) -> None:
    """Where no key is needed, there is none to be revoked."""
    access = Access(Keyring({"one": [], "two": []}), "demo.localhost", authentication_disabled=True)
    sessions, response = Sessions(access, "demo", file), Response()
    sessions.log_in(request("POST", sec_fetch_site="same-origin"), response)
    cookie = response.headers["set-cookie"].partition(";")[0]
    assert tenant(sessions, request(cookie=cookie)) == "one"
    access.keyring = Keyring({"two": []})
    assert tenant(sessions, request(cookie=cookie)) == "two"  # as somebody who shows nothing


def test_a_session_without_a_key_ends_once_keys_are_asked_for(file: Path) -> None:
    tenants = {"one": [key_digest(ONE)]}
    sessions = Sessions(Access(Keyring(tenants), "demo.localhost", authentication_disabled=True), "demo", file)
    response = Response()
    sessions.log_in(request("POST", sec_fetch_site="same-origin"), response)
    cookie = response.headers["set-cookie"].partition(";")[0]
    with pytest.raises(QueryUnauthorized):
        tenant(Sessions(Access(Keyring(tenants), "demo.localhost"), "demo", file), request(cookie=cookie))


@pytest.mark.parametrize("origin", ["http://[", "null", "", "https://", f"https://{HOST}@evil"])
def test_an_origin_that_is_none_is_another(sessions: Sessions, origin: str) -> None:
    with pytest.raises(QueryUnauthorized):
        sessions.log_in(request("POST", origin=origin, dd_api_key=ONE), Response())


def test_the_oldest_session_makes_room(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstrace.web.sessions.MAX_SESSIONS", 5)
    first, second = cookie_of(sessions), cookie_of(sessions)
    for _ in range(4):
        cookie_of(sessions)
    with pytest.raises(QueryUnauthorized):
        tenant(sessions, request(cookie=first))
    assert tenant(sessions, request(cookie=second)) == "one"


def test_wrong_keys_make_one_client_wait_and_no_other(sessions: Sessions, clock: Clock) -> None:
    def log_in(key: str, client: str = "192.0.2.1") -> None:
        sessions.log_in(request("POST", client, sec_fetch_site="same-origin", dd_api_key=key), Response())

    for _ in range(MAX_FAILED_LOGINS):
        with pytest.raises(QueryUnauthorized):
            log_in(UNKNOWN)
    with pytest.raises(TooManyLogins):
        log_in(UNKNOWN)
    with pytest.raises(QueryUnauthorized) as refused:
        log_in(UNKNOWN, "192.0.2.2")
    assert not isinstance(refused.value, TooManyLogins)
    log_in(ONE)  # whoever has a key need not wait for those who have none
    clock.now_s += FAILED_LOGIN_WINDOW_S
    with pytest.raises(QueryUnauthorized) as refused:
        log_in(UNKNOWN)
    assert not isinstance(refused.value, TooManyLogins)


def test_another_origins_page_cannot_log_in(sessions: Sessions) -> None:
    with pytest.raises(QueryUnauthorized, match="own page"):
        sessions.log_in(request("POST", sec_fetch_site="cross-site", dd_api_key=ONE), Response())


def test_a_session_outlives_the_server(sessions: Sessions, file: Path, clock: Clock) -> None:
    """Nothing in the file opens anything: neither the cookie nor the key is in it."""
    cookie = cookie_of(sessions)
    assert tenant(Sessions(ACCESS, "demo", file, clock), request(cookie=cookie)) == "one"
    content = file.read_text()
    assert cookie.partition("=")[2] not in content
    assert ONE not in content
    assert file.stat().st_mode & 0o777 == 0o600
    sessions.log_out(request("DELETE", cookie=cookie), Response())
    with pytest.raises(QueryUnauthorized):
        tenant(Sessions(ACCESS, "demo", file, clock), request(cookie=cookie))


def test_a_session_ends_with_its_tenant(sessions: Sessions, file: Path, clock: Clock) -> None:
    cookie = cookie_of(sessions)
    without = Access(Keyring({"two": [key_digest(ONE)]}), "demo.localhost")
    with pytest.raises(QueryUnauthorized):
        tenant(Sessions(without, "demo", file, clock), request(cookie=cookie))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": {"tenant": 1}}'])
def test_a_damaged_file_means_to_log_in_again(
    file: Path, clock: Clock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(content)
    sessions = Sessions(ACCESS, "demo", file, clock)
    assert "everybody has to log in again" in caplog.text
    assert tenant(sessions, request(cookie=cookie_of(sessions))) == "one"
