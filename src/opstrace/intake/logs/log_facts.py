"""What a request says beside its body of the logs in it: in its address and its Content-Type."""

import json
import re
from collections.abc import Mapping
from typing import Final

# Parameters of the address that are defaults for every log of a body, and the columns they fill.
DEFAULTS: Final = {
    "hostname": "default_host",
    "service": "default_service",
    "ddsource": "default_source",
    "ddtags": "default_tags",
    "attributes": "default_attributes",
}
LOGPLEX: Final = "logplex"  # they are syslog records
GUESSED: Final = "guessed"  # not declared as JSON, or certainly not JSON: what does not parse as JSON is text
# Parameters that are for the receiver; those of browsers begin with `dd-`, and say nothing of logs.
_OF_THE_RECEIVER: Final = re.compile("dd-.*|ddforward|batch_time|host|env")
# What a document begins with, or a number or a word that is all of it.
_JSON: Final = re.compile(rb'\s*(?:[\[{"]|(?:[-0-9.eE+]+|true|false|null)\s*\Z)')


def facts_of(query: Mapping[str, str], media_type: str, content: bytes) -> dict[str, str]:
    """Return them, those of DEFAULTS and flags; `query` are the parameters without keys.

    Heroku's drains call their host `host`, and say `env`, which is a tag. Other parameters are attributes
    (docs.datadoghq.com: logs/guide/collect-heroku-logs).
    """
    tags = [query.get("ddtags", ""), f"env:{query['env']}" if query.get("env") else ""]
    others = {name: query[name] for name in query if name not in DEFAULTS and not _OF_THE_RECEIVER.fullmatch(name)}
    said = {
        "hostname": query.get("hostname") or query.get("host", ""),
        "service": query.get("service", ""),
        "ddsource": query.get("ddsource", ""),
        "ddtags": ",".join(filter(None, tags)),
        "attributes": json.dumps(others) if others else "",
        LOGPLEX: "yes" if LOGPLEX in media_type else "",
        GUESSED: "yes" if "json" not in media_type or not _JSON.match(content) else "",
    }
    return {name: value for name, value in said.items() if value}
