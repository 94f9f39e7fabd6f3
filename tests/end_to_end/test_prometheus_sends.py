"""Debian's Prometheus scrapes an instance and sends what it found back, as it would from anywhere."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
from bench.process import Server
from bench.products import prometheus

from end_to_end.instance import Instance, label_set, running, wait_until

PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("receiver"), "receiver", {"tenants": ["default"]}) as started:
        yield started


class Metrics(BaseHTTPRequestHandler):
    """One metric, for whoever asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"alive 1\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def short_lived() -> Iterator[HTTPServer]:
    """A target that will be gone before the others."""
    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def sender(receiver: Instance, short_lived: HTTPServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    target = f"127.0.0.1:{receiver.http_port}"
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "ours",
                "authorization": {"credentials": receiver.key("system")},
                "static_configs": [{"targets": [target], "labels": {"team": "a"}}],
            },
            {"job_name": "short", "static_configs": [{"targets": [f"127.0.0.1:{short_lived.server_port}"]}]},
        ],
        "remote_write": [
            {
                "url": f"http://{target}/prometheus/api/v1/write",
                "authorization": {"credentials": receiver.key()},
                "metadata_config": {"send_interval": "1s"},
            }
        ],
    }
    with prometheus(tmp_path_factory.mktemp("sender"), config) as server:
        yield server


def asked(server: Server, parameters: dict[str, str]) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", f"/api/v1/query?{urlencode(parameters)}")
        return json.loads(connection.getresponse().read())["data"]["result"]
    finally:
        connection.close()


def test_what_is_sent_is_there(receiver: Instance, sender: Server) -> None:
    """Every series of a scrape, sample by sample, under the labels that the sender gave it."""
    mine = {"__name__": "up", "job": "ours", "team": "a", "instance": f"127.0.0.1:{receiver.http_port}"}
    query = 'count_over_time(up{job="ours"}[1h])'

    def counted() -> int:
        found = receiver.ask("query", {"query": query})["result"]
        return int(found[0]["value"][1]) if found else 0

    wait_until(lambda: counted() >= 3, PATIENCE_S, "three scrapes have arrived")
    (newest,) = receiver.ask("query", {"query": 'timestamp(up{job="ours"})'})["result"]
    at_s = float(newest["value"][1])
    window = {"query": 'up{job="ours"}[1h]', "time": f"{at_s:.3f}"}
    (theirs,), (ours,) = asked(sender, window), receiver.ask("query", window)["result"]
    assert label_set(ours["metric"]) == label_set(mine) == label_set(theirs["metric"])
    sent = [(round(float(at) * 1000), value) for at, value in theirs["values"]]
    assert [(round(float(at) * 1000), value) for at, value in ours["values"]] == sent
    everything = {"query": 'count({job="ours"})', "time": f"{at_s:.3f}"}
    assert [row["value"][1] for row in receiver.ask("query", everything)["result"]] == [
        row["value"][1] for row in asked(sender, everything)
    ]


def test_metadata_are_sent_too(receiver: Instance, sender: Server) -> None:
    wait_until(
        lambda: (
            "dd_api_request_duration_seconds"
            in receiver.ask("metadata", {"metric": "dd_api_request_duration_seconds"})
        ),
        PATIENCE_S,
        "metadata have arrived",
    )
    (told,) = receiver.ask("metadata", {"metric": "dd_api_request_duration_seconds"})[
        "dd_api_request_duration_seconds"
    ]
    assert told["type"] == "histogram"
    assert told["help"].startswith("Time from a request")


def test_the_sender_is_in_the_books(receiver: Instance, sender: Server) -> None:
    """Nothing it sent was refused."""

    def booked() -> list[dict[str, Any]]:
        answer = receiver.send("GET", "/admin/losses", headers={"DD-API-KEY": receiver.key()})
        return [row for row in answer.json()["entries"] if row["version"].startswith("Prometheus/")]

    # Samples can be read a moment before their sender is answered, which is when they are booked.
    everything = {"payloads", "series", "points"}
    wait_until(lambda: {row["unit"] for row in booked()} >= everything, PATIENCE_S, "what was sent is booked")
    assert [row for row in booked() if row["outcome"] not in ("received", "stored", "late")] == []


def test_the_end_of_a_target_ends_its_series(receiver: Instance, sender: Server, short_lived: HTTPServer) -> None:
    """What a target no longer exposes is marked by the sender, and not there five minutes longer."""
    wait_until(lambda: receiver.ask("query", {"query": "alive"})["result"], PATIENCE_S, "the target is scraped")
    short_lived.shutdown()
    short_lived.server_close()
    wait_until(lambda: not receiver.ask("query", {"query": "alive"})["result"], PATIENCE_S, "its series has ended")
    assert receiver.ask("query", {"query": "alive[1m]"})["result"]
    (up,) = receiver.ask("query", {"query": 'up{job="short"}'})["result"]
    assert up["value"][1] == "0"
