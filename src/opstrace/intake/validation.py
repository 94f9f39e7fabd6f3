"""What Agents and clients ask to know whether a key is good, and how Datadog tells them that it is."""

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

VALIDATE: Final = "/api/v1/validate"
# Names of organisations and keys are UUIDs at Datadog; here they are made of what they name.
_ORGANISATIONS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "opstrace")


def _good(_tenant: str) -> Mapping[str, Any]:
    return {"valid": True}


def _organisation(tenant: str) -> Mapping[str, Any]:
    """Name the organisation, by which trace-agents mark what they pass on (datadog-agent: pkg/trace/api/opm.go)."""
    name = str(uuid.uuid5(_ORGANISATIONS, tenant))
    attributes = {"valid": True, "api_key_id": name, "api_key_scopes": []}
    return {"data": {"id": name, "type": "validate_v2", "attributes": attributes}}


def _both_keys(_tenant: str) -> Mapping[str, Any]:
    """Answer as if an application key had been good, too: none is needed."""
    return {"status": "ok"}


_TOLD: Final[Mapping[str, Callable[[str], Mapping[str, Any]]]] = {
    VALIDATE: _good,
    "/api/v2/validate": _organisation,
    "/api/v2/validate_keys": _both_keys,
}
VALIDATIONS: Final = tuple(_TOLD)


def validated(path: str, tenant: str) -> bytes:
    """Return the answer at one of VALIDATIONS to whoever has a key of this tenant."""
    return json.dumps(_TOLD[path](tenant), separators=(",", ":")).encode()
