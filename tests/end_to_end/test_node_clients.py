"""The library of Node programs that send metrics over HTTPS by themselves: `datadog-metrics`, from npm."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.instance import Instance, label_set, running

PACKAGE = "datadog-metrics@0.12.1"
NAME = "nodeclients"
# Names below `localhost` are this machine's (RFC 6761, section 6.3); the C library leaves that to the resolver.
PROGRAM = """
const dns = require('dns');
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name.endsWith('.localhost') ? 'localhost' : name, ...rest);
const metrics = require('datadog-metrics');
metrics.init({host: 'node-1', prefix: 'node.', defaultTags: ['env:node'], flushIntervalSeconds: 0});
metrics.gauge('load', 1.5);
metrics.increment('requests', 2);
metrics.increment('requests', 3);
metrics.histogram('size', 4);
metrics.distribution('spread', 6);
metrics.flush().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the library and return the program."""
    directory = tmp_path_factory.mktemp("node")
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("there is no npm on this machine")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), PACKAGE]
    installed = subprocess.run(install, capture_output=True, text=True, timeout=180, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not install {PACKAGE}: {installed.stderr[-200:]}")
    path = directory / "send.js"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("instance"), NAME, {"tenants": ["default"]}) as one:
        yield one


def test_datadog_metrics(instance: Instance, program: Path) -> None:
    """Over TLS, trusting our authority, to `api.<site>` as it calls Datadog."""
    anchor = next((instance.directory / "home").rglob("ca.pem"))
    settings = {
        "DATADOG_API_KEY": instance.key(),
        "DATADOG_SITE": f"{NAME}.localhost:{instance.https_port}",
        "NODE_EXTRA_CA_CERTS": str(anchor),
    }
    command = ["node", str(program)]
    done = subprocess.run(
        command, env=instance.environment() | settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    now = time.time() + 1

    def labels(name: str, kind: str) -> frozenset[tuple[str, str]]:
        return label_set({"__name__": name, "env": "node", "instance": "node-1", "job": "ddagent", "type": kind})

    found = instance.vector('{__name__=~"node_(load|requests|size_max|spread_sum)"}', now)
    assert found[labels("node_load", "gauge")] == "1.5"
    assert found[labels("node_requests", "count")] == "5"
    assert found[labels("node_size_max", "gauge")] == "4"
    assert found[labels("node_spread_sum", "distribution")] == "6"
    losses = json.loads(instance.run("losses", NAME, "--json").stdout)["entries"]
    assert not [entry for entry in losses if entry["outcome"] == "refused"]
