"""What to tell a Datadog Agent so that it sends here, in the notations it reads.

`dd_url` moves metrics, checks, events and metadata. Every other product has an address of its own below
`datadoghq.com` and goes on sending there, with the key it was given, unless it is switched off or redirected
(DataDog/datadog-agent: pkg/config/setup/config.go, apm.go, process.go). The table has a line for each.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from opstrace.instance import Instance
from opstrace.ports import HTTP_ADDRESS
from opstrace.token_files import key_of, name_of

IMAGE: Final = "gcr.io/datadoghq/agent:7"
# The Agent is a Go program: it trusts every certificate in this directory, which the image links to the Agent's own
# (golang/go: src/crypto/x509/root_unix.go; DataDog/datadog-agent: Dockerfiles/agent/Dockerfile).
CERTIFICATE_IN_IMAGE: Final = PurePosixPath("/etc/ssl/certs/opstrace.pem")


class Fate(Enum):
    """What becomes of a product's data."""

    STORED = "Stored here"
    OFF = "Switched off by these settings; otherwise it would go to Datadog, with your token"
    HERE = "Accepted and counted here, not shown yet; without the lines in datadog.yaml it would go to Datadog"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the Agent."""

    path: str
    value: str | bool  # `{url}` stands for the address, `{address}` for its host and port
    product: str  # in words; empty if it is another setting's
    fate: Fate
    default_on: bool = True  # sends in an Agent whose owner configured nothing but the key

    @property
    def variable(self) -> str:
        """The environment variable that means the same: `DD_` and the path in upper case, `_` for `.`, or its own."""
        return _VARIABLES.get(self.path) or "DD_" + self.path.upper().replace(".", "_")


# Where the Agent binds a name of its own, the one that the path suggests means nothing (pkg/config/setup/apm.go).
_VARIABLES: Final = {
    "apm_config.enabled": "DD_APM_ENABLED",
    "apm_config.telemetry.enabled": "DD_APM_TELEMETRY_ENABLED",
    "apm_config.apm_dd_url": "DD_APM_DD_URL",
}
_SWITCHES: Final = (
    ("apm_config.enabled", "traces and profiles", True),
    ("apm_config.telemetry.enabled", "tracers' telemetry", True),
    ("evp_proxy_config.enabled", "what tracers send through the Agent", True),
    ("ol_proxy_config.enabled", "OpenLineage", True),
    ("process_config.container_collection.enabled", "the container list", True),
    ("process_config.process_collection.enabled", "the process list", False),
    ("process_config.process_discovery.enabled", "process discovery", True),
    ("orchestrator_explorer.enabled", "Kubernetes objects", True),
    ("container_lifecycle.enabled", "container life cycles", True),
    ("container_image.enabled", "container images", True),
    ("sbom.enabled", "software bills of material", False),
    ("remote_configuration.enabled", "remote configuration", True),
    ("remote_updates", "remote updates", False),
    ("agent_telemetry.enabled", "the Agent's own telemetry", True),
)
_REDIRECTS: Final = (
    ("apm_config.apm_dd_url", "traces, if you switch them on"),
    ("process_config.process_dd_url", "processes, if you switch them on"),
    ("orchestrator_explorer.orchestrator_dd_url", "Kubernetes objects, if you switch them on"),
    ("runtime_security_config.endpoints.logs_dd_url", "workload security"),
    ("compliance_config.endpoints.logs_dd_url", "compliance"),
    ("database_monitoring.samples.logs_dd_url", "database query samples"),
    ("database_monitoring.metrics.logs_dd_url", "database query metrics"),
    ("database_monitoring.activity.logs_dd_url", "database activity"),
    ("network_devices.metadata.logs_dd_url", "network devices"),
    ("network_devices.snmp_traps.forwarder.logs_dd_url", "SNMP traps"),
    ("network_devices.netflow.forwarder.logs_dd_url", "NetFlow"),
    ("network_path.forwarder.logs_dd_url", "network paths"),
    ("synthetics.forwarder.logs_dd_url", "synthetic tests"),
    ("event_management.forwarder.logs_dd_url", "events of the v2 kind"),
    ("software_inventory.forwarder.logs_dd_url", "software inventory"),
)


def _form(path: str) -> str:
    """Return what an address is to be here: the endpoints of logs are read as that of logs is."""
    return "{address}" if path.endswith(".logs_dd_url") else "{url}"


SETTINGS: Final = (
    Setting("dd_url", "{url}", "metrics of every kind, service checks, events, host metadata", Fate.STORED),
    # Agents before 7.45 read no address with a scheme here; without one all take it for HTTPS.
    Setting("logs_config.logs_dd_url", "{address}", "logs, if you switch them on (logs_enabled: true)", Fate.STORED),
    # Agents before 7.69 send logs by another protocol, to another port, if nobody answers while they start. The first
    # ones that know HTTP know it by the second name, which all others know, too.
    Setting("logs_config.force_use_http", True, "", Fate.STORED),
    Setting("logs_config.use_http", True, "", Fate.STORED),
    *(Setting(path, False, product, Fate.OFF, on) for path, product, on in _SWITCHES),
    *(Setting(path, _form(path), product, Fate.HERE, default_on=False) for path, product in _REDIRECTS),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one tenant's Agents send, and how they prove it."""

    url: str
    tenant: str
    key: str | None  # None if it is no longer known
    token_file: str | None  # None if the key was never written to one
    trust_anchor: Path | None
    loopback: bool  # reachable from this machine only
    plain_url: str | None

    @property
    def address(self) -> str:
        """Host and port."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 443}"

    @property
    def shown_key(self) -> str:
        """The key, or where to look for it."""
        place = f"in {self.token_file}" if self.token_file else "that was never written to a file"
        return self.key or f"<the token {place}>"


def target_of(instance: Instance, tenant: str | None = None) -> Target:
    """Return where a tenant's Agents send, the first tenant's if none is named; raise InstanceError."""
    tenant = tenant or instance.config.first_tenant
    instance.check_tenant(tenant)
    record = instance.keys.get(tenant)
    config = instance.config
    local_names = (
        config.domain == "localhost"
    )  # resolvers that know NAME.localhost are rare; the key tells the tenant
    return Target(
        url=instance.url_of("localhost" if local_names else f"dd.{tenant}.{instance.host}"),
        tenant=tenant,
        key=key_of(instance, tenant),
        token_file=record.token_file if record and record.digests else name_of(tenant),
        trust_anchor=instance.trust_anchor_file,
        loopback=local_names or config.listen in ("127.0.0.1", "::1"),
        plain_url=f"http://{HTTP_ADDRESS}:{config.http_port}" if config.http_port else None,
    )


def environment(target: Target) -> str:
    """Return lines `NAME=value`, as for an environment file."""
    lines = [f"DD_API_KEY={target.shown_key}"]
    lines += [f"{setting.variable}={_text(setting, target)}" for setting in _sent_by_default()]
    return "\n".join(lines) + "\n"


def docker_command(target: Target) -> str:
    """Return a `docker run` command whose Agent trusts the certificate and sends here."""
    words = ["docker run --detach --name datadog-agent"]
    if target.loopback:
        words.append("--network host")
    words.append(f"--env DD_API_KEY={_shell_key(target)}")
    words.append('--env DD_HOSTNAME="$(hostname)"')
    words += [f"--env {setting.variable}={_text(setting, target)}" for setting in _sent_by_default()]
    words += [f"--volume {shlex.quote(volume)}" for volume in _volumes(target)]
    return " \\\n  ".join([*words, IMAGE]) + "\n"


def datadog_yaml(target: Target) -> str:
    """Return a datadog.yaml, complete: with a line for every product that would otherwise go to Datadog."""
    document: dict[str, Any] = {}
    for setting in SETTINGS:
        _place(document, setting.path.split("."), _value(setting, target))
    # Quoted, as 32 digits with one "e" among them would be a number.
    return f'api_key: "{target.shown_key}"\n' + yaml.safe_dump(document, sort_keys=False)


def datadog_conf(target: Target) -> str:
    """Return a datadog.conf for Agents of version 5, which send nothing elsewhere.

    They have a list of authorities of their own, so that one of ours they do not know.
    """
    lines = ["[Main]", f"api_key: {target.shown_key}"]
    if target.loopback and target.plain_url:
        lines.append(f"dd_url: {target.plain_url}")
    else:
        lines.append(f"dd_url: {target.url}")
        if target.trust_anchor:
            lines.append("skip_ssl_validation: yes")
    return "\n".join(lines) + "\n"


# For these products the chart sets whether they are on itself, after the environment it is given, so that its values
# must switch them off. Traces are on if they have a port or a socket
# (DataDog/helm-charts: charts/datadog/templates/_container-agent.yaml).
_OFF_IN_CHART: Final[dict[str, dict[str, bool]]] = {
    "apm": {"socketEnabled": False, "portEnabled": False},
    "processAgent": {"processCollection": False, "processDiscovery": False, "containerCollection": False},
    "orchestratorExplorer": {"enabled": False},
    "containerLifecycle": {"enabled": False},
    "containerImageCollection": {"enabled": False},
}
_LOOPBACK_WARNING: Final = (
    "# No pod reaches this dd_url, which is this machine's own: "
    "set domain and listen in the config of the instance.\n"
)


def helm_values(target: Target) -> str:
    """Return values for Datadog's Helm chart: the same settings for all Agents of a cluster.

    The certificate comes from a config map `opstrace-ca` (DataDog/helm-charts: charts/datadog/values.yaml).
    """
    settings = [
        {"name": setting.variable, "value": _text(setting, target)}
        for setting in _sent_by_default()
        if setting.path != "dd_url"
    ]
    mounted: dict[str, Any] = {}
    heading = _LOOPBACK_WARNING if target.loopback else ""
    if target.trust_anchor:
        file = CERTIFICATE_IN_IMAGE.name
        heading += "# First, with what /trust-anchor.pem of the server answers, or tls/ca.pem of the instance:\n"
        heading += f"#   kubectl create configmap opstrace-ca --from-file={file}=opstrace-ca.pem\n"
        mount = {"name": "opstrace-ca", "mountPath": str(CERTIFICATE_IN_IMAGE), "subPath": file, "readOnly": True}
        volume = {"name": "opstrace-ca", "configMap": {"name": "opstrace-ca"}}
        mounted = {"volumes": [volume], "volumeMounts": [mount]}
    document = {
        "datadog": {
            "apiKey": _Quoted(target.shown_key),
            "dd_url": target.url,
            **_OFF_IN_CHART,
            "env": settings,
        },
        "agents": mounted,
        "clusterAgent": {"env": settings, **mounted},
        "clusterChecksRunner": {"env": settings, **mounted},
        "remoteConfiguration": {"enabled": False},
    }
    return heading + yaml.dump(document, Dumper=_Plain, sort_keys=False)


def without_key(target: Target) -> Target:
    """Return the target with its key left out."""
    return replace(target, key=None)


def everything(target: Target) -> str:
    """Return all notations, each introduced, with what becomes of each product's data."""
    parts = [_heading(f"An Agent in a container, for tenant {target.tenant}"), docker_command(target)]
    parts += [_heading("The same as environment lines"), environment(target)]
    parts += [_heading("/etc/datadog-agent/datadog.yaml of an Agent on a host"), datadog_yaml(target)]
    if target.trust_anchor:
        parts += [_heading("How that host comes to trust the certificate"), _trust_commands(target)]
    parts += [_heading("/etc/dd-agent/datadog.conf of an Agent of version 5"), datadog_conf(target)]
    return "\n".join([*parts, *_fates()])


class _Quoted(str):
    """A text that stands in quotes: 32 digits with one "e" among them would be a number."""

    __slots__ = ()


class _Plain(yaml.SafeDumper):
    """Writes what comes twice twice, instead of pointing at it."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (yaml's signature)
        return True


_Plain.add_representer(
    _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def _heading(text: str) -> str:
    return f"# {text}"


def _trust_commands(target: Target) -> str:
    # Debian's and Ubuntu's way; docs/operations.md has the others.
    return (
        f"sudo install -m 644 {shlex.quote(str(target.trust_anchor))} /usr/local/share/ca-certificates/opstrace.crt\n"
        "sudo update-ca-certificates\n"
    )


def _fates() -> list[str]:
    sections = []
    for fate in Fate:
        products = [setting.product for setting in SETTINGS if setting.fate is fate and setting.product]
        sections.append(f"# {fate.value}:\n" + "".join(f"#   {product}\n" for product in products))
    return sections


def _sent_by_default() -> list[Setting]:
    return [setting for setting in SETTINGS if setting.default_on]


def _value(setting: Setting, target: Target) -> str | bool:
    if isinstance(setting.value, bool):
        return setting.value
    return setting.value.format(url=target.url, address=target.address)


def _text(setting: Setting, target: Target) -> str:
    value = _value(setting, target)
    return str(value).lower() if isinstance(value, bool) else value


def _shell_key(target: Target) -> str:
    if target.key and target.token_file:
        return f'"$(cat {shlex.quote(target.token_file)})"'
    return shlex.quote(target.shown_key)


def _volumes(target: Target) -> list[str]:
    own = [f"{target.trust_anchor}:{CERTIFICATE_IN_IMAGE}:ro"] if target.trust_anchor else []
    return [
        *own,
        "/var/run/docker.sock:/var/run/docker.sock:ro",
        "/proc/:/host/proc/:ro",
        "/sys/fs/cgroup/:/host/sys/fs/cgroup:ro",
    ]


def _place(document: dict[str, Any], path: list[str], value: str | bool) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


NOTATIONS: Final[dict[str, Callable[[Target], str]]] = {
    "env": environment,
    "docker": docker_command,
    "yaml": datadog_yaml,
    "conf": datadog_conf,
    "helm": helm_values,
}
