"""Connections to a running instance, as the command makes them: to each endpoint of each tenant, over verified TLS.

They go to the listen address whatever the resolver knows; server name (SNI) and Host are the endpoint's.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opstrace import server_process
from opstrace.errors import ConfigError, InstanceError
from opstrace.instance import Instance
from opstrace.ports import Listener, listeners

# A query's own deadline is shorter; a replay decodes everything that is kept before it answers.
ANSWER_TIMEOUT_S: Final = 600.0


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


def tls_context(instance: Instance) -> ssl.SSLContext:
    """Return what verifies the instance's certificate: its trust anchor, or the system's without one."""
    anchor = instance.trust_anchor_file
    try:
        return ssl.create_default_context(cafile=str(anchor) if anchor else None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"cannot use the trust anchor {anchor}: {error.strerror or error}") from error


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


def answer_of(
    instance: Instance, tenant: str, method: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, Any]:
    """Return status and document that a tenant's host answers; raise InstanceError where there is no such answer."""
    server_process.check_runs(instance)
    endpoint = next(one for one in endpoints(instance) if one.tenant == tenant and one.secure)
    connection = Connection(endpoint, tls_context(instance), ANSWER_TIMEOUT_S)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, ssl.SSLError, http.client.HTTPException, ValueError) as error:
        raise InstanceError(
            f"{instance.name} does not answer: {error}; `opstrace status local {instance.name}` says more"
        ) from error
    finally:
        connection.close()
