"""The config document: YAML in, one frozen and validated `Config` out.

The structs below are the schema: a field's annotation says what is allowed, in the words an error uses.
`docs/configuration.md` has a row for each field; a test compares the two.
"""

import ipaddress
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from opstrace.config_document import StructReader, allowed, mapping_of, plain, shown
from opstrace.errors import ConfigError

SYSTEM_TENANT: Final = "system"
LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"  # one part of a host name, in lower case
MIB: Final = 1024 * 1024

TENANT_NAME: Final = "lower-case letters, digits, inner hyphens, 63 characters at most"
LONGEST_TENANT_NAME: Final = 63  # characters: a part of a host name
TenantName = Annotated[str, msgspec.Meta(pattern=rf"^{LABEL}\Z", max_length=LONGEST_TENANT_NAME)]
Tenants = Annotated[
    tuple[TenantName, ...],
    msgspec.Meta(
        min_length=1,
        description=f"a list of at least one name: {TENANT_NAME}",
    ),
]
Domain = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^{LABEL}(\.{LABEL})*\Z",
        max_length=100,
        description="a host name in lower case, such as example.com",
    ),
]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535, description="a port from 1 to 65535")]
PortOrOff = Annotated[int, msgspec.Meta(ge=0, le=65535, description="a port from 1 to 65535, or 0 for off")]
Switch = Annotated[bool, msgspec.Meta(description="true or false")]
PathText = Annotated[Annotated[str, msgspec.Meta(min_length=1)] | None, msgspec.Meta(description="a path")]
LabelPrefix = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([a-zA-Z_][a-zA-Z0-9_]*)?\Z",
        description="letters, digits and underscores, not beginning with a digit; or empty",
    ),
]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**53, description="a whole number, 1 or more")]
Days = Annotated[int, msgspec.Meta(ge=1, le=36500, description="a whole number of days from 1 to 36500")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400, description="a number of seconds above 0, 86400 at most")]
CountOrNone = Annotated[
    Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None, msgspec.Meta(description="a whole number, 1 or more")
]
DaysOrNone = Annotated[
    Annotated[int, msgspec.Meta(ge=1, le=36500)] | None,
    msgspec.Meta(description="a whole number of days from 1 to 36500"),
]
SecondsOrNone = Annotated[
    Annotated[float, msgspec.Meta(gt=0, le=86400)] | None,
    msgspec.Meta(description="a number of seconds above 0, 86400 at most"),
]
CertIssuer = Annotated[
    Literal["local-ca", "files", "letsencrypt-staging", "letsencrypt-prod"],
    msgspec.Meta(description="one of local-ca, files, letsencrypt-staging, letsencrypt-prod"),
]
Address = Annotated[str, msgspec.Meta(min_length=1, description="an IP address, such as 127.0.0.1, 0.0.0.0 or ::")]
Text = Annotated[str, msgspec.Meta(description="text")]
Name = Annotated[str, msgspec.Meta(min_length=1, description="text that is not empty")]
Names = Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(description="a list of names")]
Tags = Annotated[dict[str, str], msgspec.Meta(description="a mapping of tag keys to values")]
Octets = Annotated[int, msgspec.Meta(ge=0, le=2**30, description="a whole number of bytes, 0 for the system's own")]
PacketSize = Annotated[int, msgspec.Meta(ge=512, le=65_535, description="a whole number of bytes from 512 to 65535")]
ListenerUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(udp://.+:[0-9]+|unixgram:///.+|unixstream:///.+)\Z",
        description="udp://ADDRESS:PORT, unixgram:///PATH or unixstream:///PATH, as clients write it",
    ),
]
HistogramAggregates = Annotated[
    tuple[Literal["max", "min", "median", "avg", "sum", "count"], ...],
    msgspec.Meta(description="a list of max, min, median, avg, sum, count"),
]
Percentiles = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^(0(\.[0-9]+)?|1(\.0+)?|\.[0-9]+)\Z")], ...],
    msgspec.Meta(description='a list of numbers from 0 to 1 in quotes, such as "0.95"'),
]
MatchType = Annotated[Literal["wildcard", "regex"], msgspec.Meta(description="wildcard or regex")]


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one request, the queue and one query may use."""

    max_body_bytes: Count = 8 * MIB
    max_inflated_bytes: Count = 64 * MIB
    max_queue_bodies: Count = 2000
    max_queue_bytes: Count = 256 * MIB
    max_query_samples: Count = 50_000_000
    max_query_series: Count = 500_000
    max_query_memory_bytes: Count = 2048 * MIB
    query_timeout_s: Seconds = 120.0
    query_concurrency: Count = 4
    max_query_cache_bytes: Count = 256 * MIB
    max_future_s: Seconds = 3600.0
    body_timeout_s: Seconds = 30.0
    # Of each tenant:
    max_payloads_per_s: Count = 10_000
    max_points_per_s: Count = 2_000_000
    max_series: Count = 10_000_000
    max_new_series_per_minute: Count = 5_000_000
    max_tags: Count = 250
    max_tag_bytes: Count = 16_384
    max_name_bytes: Count = 2048
    max_kept_bytes: Count = 256 * MIB
    max_kept_days: Days = 7
    max_host_document_bytes: Count = MIB
    max_flare_bytes: Count = 500 * MIB
    max_flares: Count = 20
    max_dogstatsd_contexts: Count = 200_000
    max_dogstatsd_samples: Count = 4_000_000


class TenantLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one tenant may use where that differs from what all may: limits that need no restart."""

    max_query_samples: CountOrNone = None
    max_query_series: CountOrNone = None
    query_timeout_s: SecondsOrNone = None
    max_payloads_per_s: CountOrNone = None
    max_points_per_s: CountOrNone = None
    max_series: CountOrNone = None
    max_new_series_per_minute: CountOrNone = None
    max_kept_bytes: CountOrNone = None
    max_kept_days: DaysOrNone = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that are set."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


LimitsByTenant = Annotated[dict[str, TenantLimits], msgspec.Meta(description="a mapping of tenants to their limits")]


class DogstatsdListener(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One socket that takes datagrams, and whose they are."""

    url: ListenerUrl
    tenant: Text = ""  # the config's first without one
    eol_required: Switch = False


class MapperRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How metrics of a pattern are renamed."""

    match: Name
    name: Name
    match_type: MatchType = "wildcard"
    tags: Tags = {}


class MapperProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Mappings for metrics of a prefix."""

    name: Name
    prefix: Name
    mappings: Annotated[tuple[MapperRule, ...], msgspec.Meta(description="a list of mappings")]


# Clients of these programs send under names of their own, whatever the namespace.
_OWN_NAMESPACES: Final = (
    *("datadog.agent", "datadog.dogstatsd", "datadog.process", "datadog.trace_agent", "datadog.tracer"),
    *("activemq", "activemq_58", "airflow", "cassandra", "confluent", "hazelcast", "hive", "ignite", "jboss", "jvm"),
    *("kafka", "presto", "sidekiq", "solr", "tomcat", "runtime"),
)


class Dogstatsd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The DogStatsD server. What an Agent can be set to has the Agent's name."""

    enabled: Switch = False
    listeners: Annotated[tuple[DogstatsdListener, ...], msgspec.Meta(description="a list of listeners")] = (
        DogstatsdListener(url="udp://127.0.0.1:8125"),
    )
    hostname: Text = ""  # the machine's without one
    dogstatsd_buffer_size: PacketSize = 8192
    dogstatsd_so_rcvbuf: Octets = 4 * MIB
    dogstatsd_tags: Names = ()
    dogstatsd_expiry_seconds: Seconds = 300.0
    dogstatsd_context_expiry_seconds: Seconds = 20.0
    dogstatsd_flush_incomplete_buckets: Switch = False
    dogstatsd_no_aggregation_pipeline: Switch = True
    dogstatsd_mapper_cache_size: Count = 1000
    dogstatsd_mapper_profiles: Annotated[
        tuple[MapperProfile, ...], msgspec.Meta(description="a list of profiles")
    ] = ()
    histogram_aggregates: HistogramAggregates = ("max", "median", "avg", "count")
    histogram_percentiles: Percentiles = ("0.95",)
    histogram_copy_to_distribution: Switch = False
    histogram_copy_to_distribution_prefix: Text = ""
    statsd_metric_namespace: Text = ""
    statsd_metric_namespace_blacklist: Names = _OWN_NAMESPACES
    statsd_metric_blocklist: Names = ()
    statsd_metric_blocklist_match_prefix: Switch = False
    metric_filterlist: Names = ()
    metric_filterlist_match_prefix: Switch = False
    statsd_metric_allowlist: Names = ()
    statsd_metric_allowlist_match_prefix: Switch = False


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance, as its owner wants it. Paths are absolute once parsed."""

    tenants: Tenants
    node_count: Count = 1
    domain: Domain = "localhost"
    listen: Address = "127.0.0.1"
    https_port: Port = 8443
    http_port: PortOrOff = 8080
    cert_issuer: CertIssuer = "local-ca"
    cert_file: PathText = None
    cert_key_file: PathText = None
    cert_ca_file: PathText = None
    data_dir: PathText = None
    metric_retention_days: Days = 30
    log_retention_days: Days = 7
    tag_label_prefix: LabelPrefix = ""
    data_api_authentication_disabled: Switch = False
    dogstatsd: Dogstatsd = Dogstatsd()
    limits: Limits = Limits()
    tenant_limits: LimitsByTenant = {}

    @property
    def first_tenant(self) -> str:
        """Whose Agents, queries and datagrams are meant where nobody says."""
        return self.tenants[0]

    @property
    def all_tenants(self) -> tuple[str, ...]:
        """The user's tenants in the document's order, then the one that always exists."""
        return (*self.tenants, SYSTEM_TENANT)

    def limits_of(self, tenant: str) -> Limits:
        """Return what one tenant may use: its own limits, and those of all for the rest."""
        own = self.tenant_limits.get(tenant)
        return msgspec.structs.replace(self.limits, **own.given) if own else self.limits


PATH_KEYS: Final = ("cert_file", "cert_key_file", "cert_ca_file", "data_dir")
DEFAULT: Final = Config(tenants=("default",))
RETENTION_KEYS: Final = ("metric_retention_days", "log_retention_days")
# Limits of which a running server looks at the present value; all others are read at a start.
LIVE_LIMITS: Final = frozenset(TenantLimits.__struct_fields__)

# What a tenant may use now.
LimitsOf = Callable[[str], Limits]


def load(path: Path | None) -> Config:
    """Read a config document from a file, or from standard input without one; raise ConfigError."""
    source = str(path) if path else "standard input"
    try:
        raw = path.read_bytes() if path else sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"cannot read the config file {source}: {error.strerror}") from error
    try:
        return parse(raw.decode(), base=path.parent if path else Path())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} is not UTF-8 text: byte {error.start} cannot be decoded") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def parse(text: str, base: Path) -> Config:
    """Turn a document into a Config; relative paths in it start at `base`. Raise ConfigError at the first fault."""
    config = StructReader(_advice).read(Config, mapping_of(text))
    _check_tenants(config)
    _check_tenant_limits(config)
    _check_listen(config)
    _check_issuer(config)
    _check_dogstatsd(config)
    return msgspec.structs.replace(config, **_absolute_paths(config, base))


def render(config: Config) -> str:
    """Write a Config as a document that parses to the same Config; what has its default value is left out."""
    document = {key: value for key, value in msgspec.to_builtins(config).items() if value != {}}
    return yaml.safe_dump(document, sort_keys=False)


def changed(config: Config, **fields: Any) -> Config:
    """Return a config with other values, checked as those of a document are; raise ConfigError."""
    return parse(render(msgspec.structs.replace(config, **fields)), base=Path())


# Keys of an Agent's config that are entries of `listeners` here.
_LISTENERS: Final = {
    "dogstatsd_port": "udp://127.0.0.1:PORT",
    "dogstatsd_non_local_traffic": "udp://0.0.0.0:8125",
    "dogstatsd_socket": "unixgram:///PATH",
    "dogstatsd_stream_socket": "unixstream:///PATH",
}


def _advice(kind: type[msgspec.Struct], key: Any, prefix: str) -> str | None:
    """Return what to say of a key that is none where it stands, if there is more to say than that."""
    if kind is TenantLimits and (place := place_for_all(key)):
        return f"{prefix}{key} is the same for all tenants; set {place}"
    if kind is Dogstatsd and key in _LISTENERS:
        return f'{prefix}{key} is not a key of the config; write {prefix}listeners: [{{url: "{_LISTENERS[key]}"}}]'
    return None


def place_for_all(name: Any) -> str | None:
    """Return where the config sets what is the same for all tenants; None for what is not."""
    if name in RETENTION_KEYS:
        return str(name)
    return f"limits.{name}" if name in Limits.__struct_fields__ and name not in LIVE_LIMITS else None


def check_tenant_name(name: str) -> None:
    """Raise ConfigError for what cannot be a tenant's name."""
    if not is_label(name):
        raise ConfigError(f"{shown(name)} cannot be the name of a tenant; it must be {TENANT_NAME}")


def is_label(name: str) -> bool:
    """Say whether a name can be one part of a host name, as those of tenants and instances must."""
    return len(name) <= LONGEST_TENANT_NAME and bool(re.fullmatch(LABEL, name))


def _check_tenants(config: Config) -> None:
    if SYSTEM_TENANT in config.tenants:
        raise ConfigError(
            f"tenants: {SYSTEM_TENANT} always exists and cannot be listed; remove it or choose another name"
        )
    for i, name in enumerate(config.tenants):
        if name in config.tenants[:i]:
            raise ConfigError(f"tenants[{i}]: '{name}' is there twice; each name must be given once")


def _check_tenant_limits(config: Config) -> None:
    for name in config.tenant_limits:
        if name not in config.all_tenants:
            raise ConfigError(
                f"tenant_limits.{plain(name)}: there is no such tenant; there are {', '.join(config.all_tenants)}"
            )


def _check_listen(config: Config) -> None:
    try:
        ipaddress.ip_address(config.listen)
    except ValueError as error:
        raise ConfigError(f"listen: {config.listen!r} is not allowed; it must be {allowed(Address)}") from error
    if config.https_port == config.http_port:
        raise ConfigError(
            f"http_port: {config.http_port} is https_port's; the two ports must differ (0 turns HTTP off)"
        )


def _check_issuer(config: Config) -> None:
    if config.cert_issuer.startswith("letsencrypt"):
        raise ConfigError(f"cert_issuer: {config.cert_issuer} is not available yet; use local-ca or files")
    for key in ("cert_file", "cert_key_file"):
        if config.cert_issuer == "files" and getattr(config, key) is None:
            raise ConfigError(f"{key} is missing; cert_issuer files needs the path of a PEM file there")
    for key in ("cert_file", "cert_key_file", "cert_ca_file"):
        if config.cert_issuer != "files" and getattr(config, key) is not None:
            raise ConfigError(f"{key} has no effect with cert_issuer {config.cert_issuer}; set cert_issuer to files")


def _check_dogstatsd(config: Config) -> None:
    if config.dogstatsd.enabled and not config.dogstatsd.listeners:
        raise ConfigError(
            "dogstatsd.listeners: [] hears nothing; list one, leave the key out for udp://127.0.0.1:8125, "
            "or set dogstatsd.enabled to false"
        )
    for i, listener in enumerate(config.dogstatsd.listeners):
        key = f"dogstatsd.listeners[{i}]"
        if listener.tenant and listener.tenant not in config.tenants:
            raise ConfigError(
                f"{key}.tenant: {listener.tenant!r} is not one of tenants; list it there, or leave it out"
            )
        if listener.url.startswith("udp://"):
            _check_udp(listener.url, f"{key}.url")
        if _address(listener) in map(_address, config.dogstatsd.listeners[:i]):
            raise ConfigError(f"{key}.url: {listener.url} is there twice; each address takes one listener")
    for i, profile in enumerate(config.dogstatsd.dogstatsd_mapper_profiles):
        for j, rule in enumerate(profile.mappings):
            _check_rule(rule, f"dogstatsd.dogstatsd_mapper_profiles[{i}].mappings[{j}].match")


def _address(listener: DogstatsdListener) -> tuple[bool, str]:
    """Return what is one listener's alone: a socket's path, whatever its kind."""
    scheme, _, rest = listener.url.partition("://")
    return scheme == "udp", rest


def _check_udp(url: str, key: str) -> None:
    try:
        _, port = udp_address(url)
    except ValueError as error:
        raise ConfigError(f"{key}: {url!r} is not allowed; it must name an IP address and a port") from error
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{key}: {url!r} is not allowed; its port must be from 1 to 65535")


def _check_rule(rule: MapperRule, key: str) -> None:
    if rule.match_type == "wildcard":
        if not re.fullmatch(r"[a-zA-Z0-9_.*-]+", rule.match) or "**" in rule.match:
            raise ConfigError(
                f"{key}: {rule.match!r} is not allowed; wildcards are letters, digits and _ . - * (never **)"
            )
        return
    try:
        re.compile(rule.match)
    except re.error as error:
        raise ConfigError(f"{key}: {rule.match!r} is no regular expression: {error}") from error


def udp_address(url: str) -> tuple[str, int]:
    """Return the IP address and port of `udp://ADDRESS:PORT`; raise ValueError for one that is no IP address."""
    host, _, port = url.removeprefix("udp://").rpartition(":")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def _absolute_paths(config: Config, base: Path) -> dict[str, str]:
    given = {key: getattr(config, key) for key in PATH_KEYS}
    return {key: str((base / Path(path).expanduser()).absolute()) for key, path in given.items() if path is not None}
