"""Probes of a real TLS server that answers what each test wants it to."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from opstrace import certificates, client, probe
from opstrace import instance as instances
from opstrace.client import Endpoint
from opstrace.config import DEFAULT
from opstrace.errors import ConfigError
from opstrace.instance import Instance

Asked = tuple[str, str, str]  # host, path, key
VALID = b'{"valid": true}'


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = instances.make("demo", msgspec.structs.replace(DEFAULT, https_port=port, http_port=0))
    certificates.ensure(made)
    return made


@contextmanager
def answering(
    instance: Instance, status: int = 200, body: bytes = VALID, secure: bool = True
) -> Iterator[list[Asked]]:
    """Answer every request like this; yield what was asked for."""
    asked: list[Asked] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.headers["host"], self.path, self.headers.get("dd-api-key", "")))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", instance.config.https_port), Answer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust us hangs up
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(instance.certificate_file, instance.key_file)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def datadog(instance: Instance) -> Endpoint:
    return next(one for one in client.endpoints(instance) if one.path == "/api/v1/validate")


def fault_of(instance: Instance, endpoint: Endpoint | None = None, timeout_s: float = 5.0) -> str | None:
    return probe.ask(endpoint or datadog(instance), client.tls_context(instance), timeout_s).fault


def test_every_endpoint_of_every_tenant_is_asked(instance: Instance) -> None:
    config = msgspec.structs.replace(instance.config, tenants=("a", "b"), https_port=443, http_port=8080)
    grown = instances.make("demo", config)
    assert [one.url for one in client.endpoints(grown)] == [
        "https://demo.localhost/_health",
        "https://dd.a.demo.localhost/api/v1/validate",
        "https://a.demo.localhost/prometheus/api/v1/status/buildinfo",
        "https://dd.b.demo.localhost/api/v1/validate",
        "https://b.demo.localhost/prometheus/api/v1/status/buildinfo",
        "https://dd.system.demo.localhost/api/v1/validate",
        "https://system.demo.localhost/prometheus/api/v1/status/buildinfo",
        "http://127.0.0.1:8080/_health",
    ]


def test_a_right_answer_to_a_request_with_name_and_key_is_no_fault(instance: Instance) -> None:
    with answering(instance) as asked:
        assert fault_of(instance) is None
    host = f"dd.default.demo.localhost:{instance.config.https_port}"
    assert asked == [(host, "/api/v1/validate", instance.probe_key("default"))]


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (403, VALID, "status 403 instead of 200"),
        (302, VALID, "status 302 instead of 200"),
        (200, b'{"valid": false}', "the answer is not the expected one"),
        (200, b"[]", "the answer is not the expected one"),
        (200, b"OK", "the answer is not JSON"),
        (200, b"\xff\xfe", "the answer is not JSON"),
        (200, b"", "the answer is not JSON"),
    ],
)
def test_a_wrong_answer_is_told(instance: Instance, status: int, body: bytes, fault: str) -> None:
    with answering(instance, status, body):
        assert fault_of(instance) == fault


def test_nobody_there_is_told(instance: Instance) -> None:
    assert fault_of(instance) == "no answer: Connection refused"


def test_silence_is_told(instance: Instance) -> None:
    with socket.create_server(("127.0.0.1", instance.config.https_port)):
        assert fault_of(instance, timeout_s=0.2) == "no answer within 0.2 s"


def test_endpoints_are_asked_side_by_side_and_told_in_order(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is done before all have begun."""
    endpoints = client.endpoints(instance)
    met = threading.Barrier(len(endpoints), timeout=60)

    def ask(endpoint: Endpoint, context: ssl.SSLContext) -> probe.Outcome:
        met.wait()
        return probe.Outcome(endpoint, None, 0.0)

    monkeypatch.setattr(probe, "ask", ask)
    told = probe.ask_all(endpoints, client.tls_context(instance))
    assert [outcome.endpoint for outcome in told] == endpoints


def test_a_server_that_speaks_no_tls_is_told(instance: Instance) -> None:
    with answering(instance, secure=False) as asked:
        assert str(fault_of(instance)).startswith("no answer: ")
    assert asked == []


def test_a_certificate_of_another_authority_is_told(instance: Instance) -> None:
    with answering(instance) as asked:
        stranger = instances.make("stranger", instance.config)
        certificates.ensure(stranger)
        assert str(fault_of(stranger, datadog(instance))).startswith("its certificate is not valid: ")
    assert asked == []


def test_a_name_the_certificate_lacks_is_told(instance: Instance) -> None:
    grown = instances.make("demo", msgspec.structs.replace(instance.config, tenants=("new",)))
    with answering(instance):
        assert "not valid for 'dd.new.demo.localhost'" in str(fault_of(grown))


def test_an_answer_that_is_not_http_is_told(instance: Instance) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(instance.certificate_file, instance.key_file)

    def greet() -> None:
        with closing(context.wrap_socket(server.accept()[0], server_side=True)) as connection:
            connection.recv(4096)
            connection.sendall(b"220 mail ready\r\n\r\n")

    with socket.create_server(("127.0.0.1", instance.config.https_port)) as server:
        thread = threading.Thread(target=greet)
        thread.start()
        fault = fault_of(instance)
        thread.join()
    assert fault == "no answer: 220 mail ready"


def test_an_anchor_that_cannot_be_used_is_told(instance: Instance) -> None:
    (instance.home / "tls" / "ca.pem").write_text("text")
    with pytest.raises(ConfigError, match=r"cannot use the trust anchor .*ca\.pem"):
        client.tls_context(instance)
