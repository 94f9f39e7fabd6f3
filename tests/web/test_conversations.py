"""Conversations with the Prometheus API: what is asked and what must be answered; see conversations/README.md."""

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import yaml

from web.serving import Answer, Server

FILES = sorted((Path(__file__).parent / "conversations").glob("*.yaml"))
CONVERSATIONS: dict[str, dict[str, Any]] = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
EXCHANGES = [
    pytest.param(stem, exchange, id=f"{stem}-{exchange['name'].replace(' ', '-')}")
    for stem, conversation in CONVERSATIONS.items()
    for exchange in conversation["exchanges"]
]
KNOWN = {
    "name",
    "get",
    "post",
    "method",
    "params",
    "form",
    "body",
    "headers",
    "status",
    "json",
    "has",
    "error",
    "answer_headers",
}


@pytest.fixture(scope="module")
def loaded(server: Server) -> Server:
    for stem, conversation in CONVERSATIONS.items():
        server.load(stem, conversation.get("load", ""))
    return server


@pytest.mark.parametrize(("stem", "exchange"), EXCHANGES)
def test_exchange(stem: str, exchange: dict[str, Any], loaded: Server) -> None:
    assert exchange.keys() <= KNOWN, f"misspelt: {exchange.keys() - KNOWN}"
    answer = asked(loaded, stem, exchange)
    assert answer.status == exchange.get("status", 200), answer.body
    for name, value in exchange.get("answer_headers", {}).items():
        assert answer.headers.get(name) == value
    if answer.body:
        judge_body(answer, exchange)


def asked(server: Server, tenant: str, exchange: dict[str, Any]) -> Answer:
    method = exchange.get("method") or ("POST" if "post" in exchange else "GET")
    target = "/prometheus/api/v1" + quote(exchange.get("get") or exchange["post"], safe="/%")
    if "params" in exchange:
        target += "?" + encoded(exchange["params"])
    headers = {"DD-API-KEY": tenant}
    body = exchange.get("body", "").encode()
    if "form" in exchange:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = encoded(exchange["form"]).encode()
    headers |= exchange.get("headers", {})
    return server.ask(method, target, {name: value for name, value in headers.items() if value}, body)


def encoded(parameters: dict[str, Any] | str) -> str:
    return parameters if isinstance(parameters, str) else urlencode(parameters, doseq=True)


def judge_body(answer: Answer, exchange: dict[str, Any]) -> None:
    assert answer.headers["content-type"] == "application/json"
    if "error" in exchange:
        kind, message = exchange["error"]
        assert answer.json == {"status": "error", "errorType": kind, "error": message}
    elif "has" in exchange:
        assert part(answer.json, exchange["has"]) == exchange["has"]
    else:
        assert answer.json == {"status": "success", **exchange["json"]}


def part(found: Any, like: Any) -> Any:
    """Return what was found without the keys that the other document lacks."""
    if isinstance(found, dict) and isinstance(like, dict):
        return {name: part(found[name], inner) for name, inner in like.items() if name in found}
    return found
