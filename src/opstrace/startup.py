"""From a config to a server that answers: what `create`, `start` and `up` have in common."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opstrace import certificates, client, homes, ports, probe, roster, server_process, token_files
from opstrace import instance as instances
from opstrace.config import RETENTION_KEYS, Config
from opstrace.errors import InstanceError
from opstrace.instance import Instance

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.1


def prepare(name: str, config: Config | None, directory: Path, *, rewrite_tokens: bool) -> Instance:
    """Bring an instance that is not running to the state in which it can be served.

    Its config becomes `config` unless that is None, or the one that was given the last time: what commands changed
    since stays. Token files go to `directory`. Raises ConfigError, InstanceError.
    """
    homes.follow(name, config)
    if homes.exists(name) and (pid := server_process.pid_of(homes.find(name))) is not None:
        raise InstanceError(f"the server of {name} is already running" + (f" (pid {pid})" if pid else ""))
    begun = instances.load(name, config) if homes.exists(name) else None
    is_known = begun and config and begun.stored_is_usable and instances.was_given(begun, config)
    given = None if is_known else config
    if begun and given:
        roster.check_leaving(begun, given)
        _tell_what_goes(begun.config, given)
    elif begun and is_known and config != begun.config:
        log.info("this config was given before; what was changed since by commands, or on the web UI, stays")
    config = given or (begun or instances.load(name)).config
    # What is wrong with the config is found before anything of it is made.
    certificates.check(name, config)
    ports.check_free(config)
    if begun is None or begun.config != config or not begun.stored_is_usable:
        begun = instances.make(name, config)
    if given:
        instances.remember_given(begun)
    prepared = token_files.ensure(begun, directory, rewrite=rewrite_tokens)
    certificates.ensure(prepared)
    return prepared


def _tell_what_goes(before: Config, given: Config) -> None:
    """Warn of what a document takes away that commands, or an earlier document, had given."""
    for tenant in before.tenants:
        if tenant not in given.tenants:
            log.warning(
                "tenant %s is not in the config that was given; its keys open nothing, its data stays", tenant
            )
    for name in RETENTION_KEYS:
        was, days = getattr(before, name), getattr(given, name)
        if days < was:
            log.warning("%s is %d in the config that was given, and was %d: older data goes soon", name, days, was)


def start(instance: Instance, timeout_s: float, progress: Callable[[int, int], None]) -> Instance:
    """Start the server in the background and return once every endpoint answered; raise InstanceError otherwise.

    `progress` is told how many endpoints answered, and out of how many, each time after asking.
    """
    offset = server_process.rotate_log(instance)
    with server_process.spawned(instance) as process:
        _wait_until_ready(instance, process, offset, timeout_s, progress)
    return instances.finish(instance)


def _wait_until_ready(
    instance: Instance,
    process: "subprocess.Popen[bytes]",
    offset: int,
    timeout_s: float,
    progress: Callable[[int, int], None],
) -> None:
    deadline = time.monotonic() + timeout_s
    context = client.tls_context(instance)
    endpoints = client.endpoints(instance)
    pending = [probe.Outcome(endpoint, "not asked yet", 0.0) for endpoint in endpoints]
    while pending:
        if process.poll() is not None:
            raise InstanceError(_died(instance, process.returncode, offset))
        if time.monotonic() > deadline:
            raise InstanceError(_late(instance, pending[0], timeout_s))
        pending = [one for one in probe.ask_all([one.endpoint for one in pending], context) if one.fault]
        progress(len(endpoints) - len(pending), len(endpoints))
        time.sleep(_PAUSE_S if pending else 0)


def _died(instance: Instance, code: int, offset: int) -> str:
    reason = server_process.last_error(instance, offset)
    said = f", saying: {reason}" if reason else ""
    return (
        f"the server of {instance.name} ended with code {code} while starting{said}; its log is {instance.log_file}"
    )


def _late(instance: Instance, first: probe.Outcome, timeout_s: float) -> str:
    return (
        f"the server of {instance.name} runs, but {first.endpoint.url} did not answer rightly within {timeout_s:g} s "
        f"({first.fault}); its log is {instance.log_file}"
    )
