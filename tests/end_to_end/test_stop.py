"""What senders hear whose bodies are half sent when the server stops."""

import http.client
from pathlib import Path

from end_to_end.instance import running

BODIES = {
    "/api/v2/series": "application/json",
    "/api/v2/logs": "application/json",
    "/support/flare": "multipart/form-data; boundary=edge",
    "/api/v2/not-known-yet": "application/json",
    "/prometheus/api/v1/write": "application/x-protobuf",
    "/prometheus/api/v1/query": "application/x-www-form-urlencoded",
}
STOP_S = 40.0


def test_who_has_sent_half_a_body_is_told_to_come_again(tmp_path: Path) -> None:
    with running(tmp_path, "stopped", {"tenants": ["default"]}) as instance:
        connections = []
        for path, media_type in BODIES.items():
            connection = http.client.HTTPConnection(instance.host, instance.http_port, timeout=STOP_S)
            connection.putrequest("POST", path)
            connection.putheader("DD-API-KEY", instance.key())
            connection.putheader("Content-Type", media_type)
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"half")
            connections.append(connection)
        instance.run("stop", instance.name)
        for path, connection in zip(BODIES, connections, strict=True):
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("retry-after")) == (503, "5"), path
            assert b"the server is stopping; try again" in answer.read()
            connection.close()
        log = next(tmp_path.rglob("server.log")).read_text()
        assert "Traceback" not in log
        assert " error: " not in log
        assert [path for path in tmp_path.rglob("flares/*/*") if path.is_file()] == []
