"""Datadog's routes of a server that stores nothing."""

from types import SimpleNamespace
from typing import Any

from opstrace.access import Access
from opstrace.config import Limits
from opstrace.intake.routes import Intake
from opstrace.telemetry import Telemetry
from opstrace.tenants import Keyring, key_digest

KEY = "1" * 32


class Acceptance:
    """Takes what has a key, and keeps nothing."""

    async def store(self, *_: Any) -> Any:
        return SimpleNamespace(told=None)

    async def keep(self, *_: Any) -> None:
        """Keep nothing."""

    def refuse(self, *_: Any) -> None:
        """Book nothing."""


def storeless() -> Intake:
    """Return the routes; KEY is the one key that is good, and no flare can be sent."""
    access = Access(Keyring({"one": [key_digest(KEY)]}), "demo.localhost")
    acceptance: Any = Acceptance()
    flares: Any = None
    rates: Any = SimpleNamespace(admit=lambda _tenant: None)
    return Intake(access, acceptance, flares, rates, Telemetry(), Limits())
