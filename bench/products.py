"""The products compared: how each is found, started, given data and asked."""

import fcntl
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import yaml

from bench.process import Server, serving

HERE = Path(__file__).parent
PEERS = HERE / "results" / "peers"  # where the peers' Debian packages are unpacked; no root, no service started
OPSTRACE, VICTORIA, PROMETHEUS = "opstrace", "victoria-metrics", "prometheus"
RETENTION = "30d"

Start = Callable[[Path], AbstractContextManager[Server]]


def free_port() -> int:
    """Return a port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(package: str, name: str) -> str:
    """Return the path of a program of a Debian package: the installed one, or one unpacked below `results`."""
    if found := shutil.which(name):
        return found
    unpacked = PEERS / "usr" / "bin" / name
    PEERS.mkdir(parents=True, exist_ok=True)
    with (PEERS / "lock").open("w") as lock:  # tests ask for it in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            _unpack(package)
    return str(unpacked)


def _unpack(package: str) -> None:
    steps = f"apt-get download {package} >/dev/null 2>&1 && dpkg-deb -x {package}_*.deb ."
    if subprocess.run(["sh", "-c", steps], cwd=PEERS, check=False).returncode:
        raise SystemExit(f"bench: cannot fetch Debian's package {package}; run `apt-get update`, or install it")


def version(package: str) -> str:
    """Return the version of the package that is used."""
    files = sorted(PEERS.glob(f"{package}_*.deb"))
    command = (
        ["dpkg-deb", "--field", str(files[-1]), "Version"]
        if files
        else ["dpkg-query", "-W", "-f", "${Version}", package]
    )
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return found.strip().partition("+")[0]


@contextmanager
def opstrace(directory: Path, **others: object) -> Iterator[Server]:
    """Make an instance in the directory, and serve it in the foreground; `others` are keys of its config."""
    command = str(Path(sys.executable).with_name("opstrace"))
    port = free_port()
    config = {"tenants": ["default"], "http_port": port, "https_port": free_port(), **others}
    environment = ["env", f"XDG_DATA_HOME={directory / 'data'}", command]
    token = directory / "tenant-api-token-default"
    if not token.exists():
        made = [*environment, "create", "local", "bench"]
        subprocess.run(made, cwd=directory, input=yaml.safe_dump(config), text=True, check=True, capture_output=True)
        subprocess.run([*environment, "stop", "bench"], cwd=directory, check=True, capture_output=True)
    else:
        stored = yaml.safe_load((directory / "data" / "opstrace" / "bench" / "config.yaml").read_text())
        port = stored["http_port"]
    headers = {"DD-API-KEY": token.read_text().strip()}
    with serving(OPSTRACE, [*environment, "up", "bench"], port, "/api/v1/validate", headers, directory) as server:
        yield server


@contextmanager
def victoria_metrics(directory: Path) -> Iterator[Server]:
    """Serve Debian's VictoriaMetrics with its caches for query results off."""
    port = free_port()
    command = [
        program(VICTORIA, "victoria-metrics"),
        f"-storageDataPath={directory / 'victoria'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-retentionPeriod={RETENTION}",
        "-search.disableCache",
        "-search.latencyOffset=0s",
    ]
    with serving(VICTORIA, command, port, "/health", {}, directory) as server:
        yield server


@contextmanager
def prometheus(directory: Path, config: Mapping[str, object] | None = None) -> Iterator[Server]:
    """Serve Debian's Prometheus, taking remote write and, unless the config says so, scraping nothing."""
    port = free_port()
    (directory / "prometheus.yml").write_text(yaml.safe_dump(dict(config or {})))
    command = [
        program(PROMETHEUS, "prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
    ]
    with serving(PROMETHEUS, command, port, "/-/ready", {}, directory) as server:
        yield server


PRODUCTS: Mapping[str, Start] = {OPSTRACE: opstrace, VICTORIA: victoria_metrics, PROMETHEUS: prometheus}
# Where the Prometheus API is.
API = {OPSTRACE: "/prometheus/api/v1", VICTORIA: "/prometheus/api/v1", PROMETHEUS: "/api/v1"}
DATADOG_API = {OPSTRACE: "", VICTORIA: "/datadog"}
