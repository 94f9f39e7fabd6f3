"""What commands tell a server that runs, and ask it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opstrace.instance import Instance


def reload(name: str) -> list[str]:
    """Have a running server take in tenants, keys and limits; return the limits that it takes in at a start only."""
    from opstrace import admin_client, instance, server_process

    found = instance.load(name)
    if server_process.pid_of(found) is None:
        return []
    waiting: list[str] = admin_client.ask(found, "POST", "/admin/reload")["at_restart"]
    return waiting


def waiting_limits(instance: "Instance") -> set[str]:
    """Return the limits that were set and that a running server takes in at its next start."""
    from opstrace import admin_client, server_process

    if server_process.pid_of(instance) is None:
        return set()
    return {*admin_client.ask(instance, "GET", "/admin/limits")["at_restart"]}
