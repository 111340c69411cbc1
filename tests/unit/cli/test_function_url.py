"""Function URL events for HTTP requests, and the requests that Mangum reads from them."""

import asyncio
import json
from typing import Any, cast

import pytest
from mangum import Mangum
from starlette.applications import Starlette

from claudexia_cli.emulator.function_url import function_url_event
from tests.unit.cli.test_rest_event import scope

JSON = (b"content-type", b"application/json")


def event(body: bytes = b"", **more: Any) -> dict[str, Any]:
    made = function_url_event(scope(**more), body, "request-1", "Root=1-0-0;Parent=0;Sampled=0")
    return cast("dict[str, Any]", json.loads(json.dumps(made)))


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("version", {}, {"version": "2.0", "routeKey": "$default", "rawPath": "/v1/chat/completions"}),
    ("no query", {}, {"rawQueryString": "", "queryStringParameters": None}),
    (
        "query",
        {"query_string": b"a=1&b=%C3%A9&a=2"},
        {"rawQueryString": "a=1&b=%C3%A9&a=2", "queryStringParameters": {"a": "1,2", "b": "é"}},
    ),
    ("no body", {}, {"body": None, "isBase64Encoded": False}),
    ("text", {"body": "é".encode(), "headers": [JSON]}, {"body": "é", "isBase64Encoded": False}),
    ("bytes", {"body": b"\xff\x00"}, {"body": "/wA=", "isBase64Encoded": True}),
    ("cookies", {"headers": [(b"cookie", b"a=1; b=2")]}, {"cookies": ["a=1", "b=2"]}),
]


@pytest.mark.parametrize(("name", "request_", "expected"), CASES, ids=[case[0] for case in CASES])
def test_event_has_the_request(name: str, request_: dict[str, Any], expected: dict[str, Any]) -> None:
    made = event(**request_)
    assert {key: made.get(key) for key in expected} == expected


def test_repeated_headers_are_joined() -> None:
    made = event(headers=[(b"X-One", b"1"), (b"x-one", b"2"), (b"connection", b"close")])
    assert made["headers"]["x-one"] == "1,2"
    assert "connection" not in made["headers"]


@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa9"}', b"\xff\x00\xfe"], ids=["none", "text", "bytes"])
def test_mangum_reads_the_same_request(body: bytes) -> None:
    headers = [(b"authorization", b"Bearer k"), *([JSON] if body.startswith(b"{") else [])]
    made = event(body, raw_path=b"/v1/models", query_string=b"a=1&b=%26", headers=headers)

    async def infer() -> Any:
        return Mangum(Starlette(), lifespan="off").infer(made, cast("Any", None))

    inferred = asyncio.run(infer())
    assert inferred.body == body
    asgi = inferred.scope
    assert (asgi["method"], asgi["path"], asgi["query_string"]) == ("POST", "/v1/models", b"a=1&b=%26")
    assert [b"authorization", b"Bearer k"] in asgi["headers"]
