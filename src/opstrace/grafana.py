"""What Grafana reads at its start to know this instance: data sources and the bundled dashboards.

The files are those of its provisioning (grafana/grafana: docs/sources/administration/provisioning/index.md):

    DIR/datasources/opstrace.yaml    a data source a tenant, with its key and the certificate to trust
    DIR/dashboards/opstrace.yaml     where the dashboards are
    DIR/dashboards/opstrace/*.json   the dashboards
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from opstrace import atomic_file, certificates
from opstrace.agent_settings import Target, target_of
from opstrace.config import SYSTEM_TENANT
from opstrace.errors import InstanceError
from opstrace.instance import Instance
from opstrace.token_files import lack_of
from opstrace.web import dashboards
from opstrace.web.status_endpoints import PROMETHEUS_VERSION

DATA_SOURCE: Final = "metrics"
_LONGEST_UID: Final = 40  # that Grafana takes
_SCRAPE_INTERVAL: Final = "15s"  # Agents run their checks that often
_NOTE: Final = "# Written by `opstrace grafana provision`; written anew the next time.\n"
# Grafana may run as somebody else, to whose group the owner gives these.
_FILE_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What was written, and which tenants were left out, with what became of their keys."""

    files: Sequence[Path]
    tenants: Sequence[str]
    keyless: Mapping[str, str]


def provision(
    instance: Instance, directory: Path, seen_as: Path | None = None, url: str | None = None
) -> Provisioned:
    """Write everything; raise ConfigError, InstanceError.

    `seen_as` is the directory as Grafana sees it, where that differs; `url` the address under which Grafana reaches
    the server, over HTTP or HTTPS, where it is not the one Agents use.
    """
    targets = [target_of(instance, tenant) for tenant in instance.config.all_tenants]
    if url and (address := urlsplit(url)).scheme == "https":
        certificates.check_reached(instance, str(address.hostname))
    known = [target for target in targets if target.key]
    if not known:
        raise InstanceError("no tenant's token file is where it was written; a data source needs the token in it")
    if not directory.absolute().parent.is_dir():
        raise InstanceError(f"{directory.absolute().parent} is not there; give Grafana's provisioning directory")
    place = (seen_as or directory).absolute() / "dashboards" / "opstrace"
    contents = {
        directory / "datasources" / "opstrace.yaml": _NOTE + _yaml(data_sources(known, url)),
        directory / "dashboards" / "opstrace.yaml": _NOTE + _yaml(_providers(place)),
        **{
            directory / "dashboards" / "opstrace" / f"{document['uid']}.json": json.dumps(document, indent=2) + "\n"
            for document in _documents(known)
        },
    }
    for path, text in contents.items():
        _write(path, text)
    keyless = {one.tenant: str(lack_of(instance, one.tenant)) for one in targets if not one.key}
    return Provisioned(list(contents), [target.tenant for target in known], keyless)


def data_sources(targets: Sequence[Target], url: str | None = None) -> dict[str, Any]:
    """Return the data sources of some tenants; the first is the default one, and called as dashboards expect."""
    return {
        "apiVersion": 1,
        "datasources": [_data_source(target, url or target.url, first=target is targets[0]) for target in targets],
    }


def _data_source(target: Target, url: str, *, first: bool) -> dict[str, Any]:
    secrets = {"basicAuthPassword": target.key}
    if target.trust_anchor:
        secrets["tlsCACert"] = _text(target.trust_anchor)
    return {
        "name": DATA_SOURCE if first else f"{DATA_SOURCE}-{target.tenant}",
        "uid": _uid(target.tenant),
        "type": "prometheus",
        "access": "proxy",
        "url": f"{url.rstrip('/').removesuffix('/prometheus')}/prometheus",
        "isDefault": first,
        "basicAuth": True,
        "basicAuthUser": target.tenant,
        "jsonData": {
            "httpMethod": "POST",
            "timeInterval": _SCRAPE_INTERVAL,
            "prometheusType": "Prometheus",
            "prometheusVersion": PROMETHEUS_VERSION,
            "tlsAuthWithCACert": target.trust_anchor is not None,
        },
        "secureJsonData": secrets,
        "editable": False,
    }


def _uid(tenant: str) -> str:
    """Return the uid of a tenant's data source, which no other tenant's has."""
    uid = f"opstrace-{tenant}"
    if len(uid) <= _LONGEST_UID:
        return uid
    return f"{uid[: _LONGEST_UID - 9]}-{hashlib.sha256(tenant.encode()).hexdigest()[:8]}"


def _providers(place: Path) -> dict[str, Any]:
    provider = {
        "name": "opstrace",
        "folder": "opstrace",
        "type": "file",
        "allowUiUpdates": True,
        "options": {"path": str(place)},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _documents(known: Sequence[Target]) -> Iterator[Mapping[str, Any]]:
    """Yield the bundled dashboards, those about the server only where `system` can be asked."""
    tenants = {target.tenant for target in known}
    for document in dashboards.bundled():
        tenant = SYSTEM_TENANT if dashboards.SYSTEM_TAG in document["tags"] else known[0].tenant
        if tenant in tenants:
            yield _asking(document, tenant, first=tenant == known[0].tenant)


def _asking(document: Mapping[str, Any], tenant: str, *, first: bool) -> Mapping[str, Any]:
    """Return a dashboard that asks a tenant's data source until somebody chooses another."""
    asking = copy.deepcopy(dict(document))
    name = DATA_SOURCE if first else f"{DATA_SOURCE}-{tenant}"
    for variable in asking["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"text": name, "value": _uid(tenant)}
    return asking


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise InstanceError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, text: str) -> None:
    try:
        _make_directory(path.parent)
        atomic_file.write(path, text, mode=_FILE_MODE)
    except OSError as error:
        raise InstanceError(f"cannot write {path}: {error.strerror}") from error


def _make_directory(path: Path) -> None:
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir()
        path.chmod(_DIRECTORY_MODE)
