"""Who sent a request, by its headers (datadog-intake.md, sections 2.7 and 16.3)."""

import re
from collections.abc import Mapping
from typing import Final

from opstrace.intake.ledger import Sender
from opstrace.log_lines import printable

_VERSION_HEADERS: Final = ("dd-agent-version", "dd-evp-origin-version", "x-dd-processagentversion")
# Our own DogStatsD: how it introduces itself, and its route in our metrics.
DOGSTATSD: Final = "dogstatsd"
_HOST_HEADER: Final = "x-dd-hostname"
# `datadog-agent/7.75.3`, `Datadog Trace Agent/7.75.3/<commit>`, `Datadog Agent/5.32.9` are versions of Agents;
# another sender is known by the first word of its User-Agent, `datadogpy/0.53.0` say.
_AGENT: Final = re.compile(r"datadog[- ](?:trace[- ])?agent/([^/\s]+)", re.IGNORECASE)
# Agents take no longer name of a host (DataDog/datadog-agent: pkg/util/hostname/validate).
_LONGEST: Final = 255
_CUT: Final = "…"
_LONGEST_VERSION: Final = 64


def sender_of(headers: Mapping[str, str], tenant: str) -> Sender:
    """Return who sent a request; nobody is named without the tenant whose key it came with."""
    return Sender(tenant, host_of(headers), version_of(headers)) if tenant else Sender("")


def version_of(headers: Mapping[str, str]) -> str:
    """Return the version of the Agent that sent a request, or another program's name; empty if it says nothing."""
    named = next((version for name in _VERSION_HEADERS if (version := headers.get(name, "").strip())), "")
    return shown(named or _of_user_agent(headers.get("user-agent", "")))[:_LONGEST_VERSION]


def _of_user_agent(text: str) -> str:
    found = _AGENT.search(text)
    return found[1] if found else next(iter(text.split()), "")


def is_patient(headers: Mapping[str, str]) -> bool:
    """Say whether a sender does not mind to wait for others: an Agent, which sends when its time has come."""
    return _AGENT.search(headers.get("user-agent", "")) is not None or headers.get("user-agent") == DOGSTATSD


def host_of(headers: Mapping[str, str]) -> str:
    """Return the host that a request's headers name, or nothing."""
    return shown(headers.get(_HOST_HEADER, ""))


def shown(text: str) -> str:
    """Return a name as the books have it: 255 printable characters at most, with a sign where more were cut."""
    text = printable(text.strip()[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + _CUT
