"""Tenants, and the keys that prove one.

A key is 32 hexadecimal digits, like Datadog's, and opens exactly one tenant. Only its SHA-256 is kept: a key has
128 random bits, so a plain digest cannot be reversed and needs no salt. Looking a digest up in a dict is safe with
respect to time: a caller chooses the key, but not the digest that decides how the look-up runs.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_KEY = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Tenant:
    """An isolated owner of data."""

    name: str


class Keyring:
    """The keys of one instance's tenants, as digests."""

    def __init__(self, digests: Mapping[str, Sequence[str]], probe_secret: bytes | None = None) -> None:
        """Hold the SHA-256 digests (64 hexadecimal digits) of each tenant's keys, in the order of the tenants.

        With a `probe_secret` each tenant also has a probe key, which proves the tenant only where that is asked for.
        """
        self.tenants = tuple(Tenant(name) for name in digests)
        self._tenants = {digest: tenant for tenant in self.tenants for digest in digests[tenant.name]}
        self._probes = {
            key_digest(probe_key(probe_secret, tenant.name)): tenant for tenant in self.tenants if probe_secret
        }

    def knows(self, tenant: Tenant) -> bool:
        """Say whether there is this tenant."""
        return tenant in self.tenants

    def holds(self, digest: str) -> bool:
        """Say whether this is the digest of a tenant's key."""
        return digest in self._tenants

    def tenant_for(self, key: str, *, probe: bool = False) -> Tenant | None:
        """Return the tenant this key opens, or None.

        `probe=True` is for key validation and build information, with which `create` and `status` ask whether an
        endpoint works, and for the routes below /admin that the instance's own command asks (books, replay, tenants,
        limits): there the instance's own probe key is accepted too.
        """
        key = key.strip()
        if not is_key(key):
            return None
        digest = key_digest(key)
        return self._tenants.get(digest) or (self._probes.get(digest) if probe else None)


def new_key() -> str:
    """Return a fresh random key."""
    return secrets.token_hex(16)


def is_key(text: str) -> bool:
    """Say whether this has the form of a key."""
    return _KEY.fullmatch(text) is not None


def key_digest(key: str) -> str:
    """Return the form in which a key is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def probe_key(secret: bytes, tenant: str) -> str:
    """Return the key with which this instance probes its own endpoints of a tenant."""
    return hmac.digest(secret, tenant.encode(), "sha256").hex()[:32]
