"""Does an instance answer? A real request to each endpoint of each tenant, over verified TLS.

Connections go to the listen address whatever the resolver knows; server name (SNI) and Host are the endpoint's.
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from opstrace.errors import ConfigError
from opstrace.instance import Instance
from opstrace.ports import Listener, listeners

TIMEOUT_S: Final = 5.0
_BODY_BYTES: Final = 65536
_AT_ONCE: Final = 32  # endpoints that are asked side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address to ask, and what a right answer contains."""

    what: str
    listener: Listener  # where to connect
    host: str
    path: str = "/_health"
    secure: bool = True
    tenant: str | None = None
    key: str | None = None
    expected: Mapping[str, Any] = field(default_factory=dict)  # members of the JSON answer; none if any 200 will do

    @property
    def url(self) -> str:
        """The address as a person would write it."""
        default = 443 if self.secure else 80
        port = "" if self.listener.port == default else f":{self.listener.port}"
        return f"http{'s' if self.secure else ''}://{self.host}{port}{self.path}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of asking one endpoint; `fault` is None if all is well."""

    endpoint: Endpoint
    fault: str | None
    elapsed_ms: float


# Per tenant: what it is, the host name's prefix, the path, members of the right answer.
_TENANT_ENDPOINTS: Final = (
    ("Datadog API", "dd.", "/api/v1/validate", {"valid": True}),
    ("Prometheus API", "", "/prometheus/api/v1/status/buildinfo", {"status": "success"}),
)


def endpoints(instance: Instance) -> list[Endpoint]:
    """Return every endpoint of an instance: the root, then those of each tenant, then plain HTTP."""
    https, *plain = listeners(instance.config)
    of_tenants = [
        Endpoint(
            what=what,
            listener=https,
            host=f"{prefix}{tenant}.{instance.host}",
            path=path,
            tenant=tenant,
            key=instance.probe_key(tenant),
            expected=expected,
        )
        for tenant in instance.config.all_tenants
        for what, prefix, path, expected in _TENANT_ENDPOINTS
    ]
    return [
        Endpoint(what="instance", listener=https, host=instance.host),
        *of_tenants,
        *(Endpoint(what="plain HTTP", listener=one, host=one.address, secure=False) for one in plain),
    ]


def client_context(instance: Instance) -> ssl.SSLContext:
    """Return what verifies the instance's certificate: its trust anchor, or the system's without one."""
    anchor = instance.trust_anchor_file
    try:
        return ssl.create_default_context(cafile=str(anchor) if anchor else None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"cannot use the trust anchor {anchor}: {error.strerror or error}") from error


def ask_all(endpoints: Sequence[Endpoint], context: ssl.SSLContext) -> Iterator[Outcome]:
    """Ask endpoints side by side, and yield what came of each, in their order and as soon as it is known."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(partial(ask, context=context), endpoints)


def ask(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Ask one endpoint; whatever happens becomes an Outcome."""
    started = time.monotonic()
    try:
        fault = _fault(endpoint, *_exchange(endpoint, context, timeout_s))
    except ssl.SSLCertVerificationError as error:
        fault = f"its certificate is not valid: {error.verify_message}"
    except TimeoutError:
        fault = f"no answer within {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        fault = f"no answer: {_one_line(error)}"
    return Outcome(endpoint, fault, (time.monotonic() - started) * 1000)


def _one_line(error: OSError | http.client.HTTPException) -> str:
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return " ".join(text.split())[:200]  # an HTTPException quotes what was sent


class Connection(http.client.HTTPConnection):
    """HTTP to one endpoint, connected where the instance listens."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(endpoint.host, endpoint.listener.port, timeout=timeout_s)
        self._endpoint, self._context = endpoint, context

    def connect(self) -> None:
        """Connect to the listen address, with the endpoint's name in the handshake."""
        listener = self._endpoint.listener
        plain = socket.create_connection((listener.reachable_address, listener.port), self.timeout)
        if not self._endpoint.secure:
            self.sock = plain
            return
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self._endpoint.host)
        except BaseException:
            plain.close()
            raise


def _exchange(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float) -> tuple[int, bytes]:
    connection = Connection(endpoint, context, timeout_s)
    headers = {"User-Agent": "opstrace-probe", "Connection": "close"}
    if endpoint.key:
        headers["DD-API-KEY"] = endpoint.key
    try:
        connection.request("GET", endpoint.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(_BODY_BYTES)
    finally:
        connection.close()


def _fault(endpoint: Endpoint, status: int, body: bytes) -> str | None:
    if status != 200:
        return f"status {status} instead of 200"
    if not endpoint.expected:
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return "the answer is not JSON"
    right = isinstance(answer, dict) and all(answer.get(key) == value for key, value in endpoint.expected.items())
    return None if right else "the answer is not the expected one"
