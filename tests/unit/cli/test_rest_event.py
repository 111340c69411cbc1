"""API Gateway events for HTTP requests, and the requests that Mangum reads from them."""

import asyncio
import json
import time
from typing import Any, cast

import pytest
from mangum import Mangum
from starlette.applications import Starlette

from claudexia_cli.emulator.gateway import rest_event
from tests.helpers.waiting import PATIENCE


def scope(**more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"tests")],
        "server": ("127.0.0.1", 8000),
        "client": ("192.0.2.7", 40000),
        **more,
    }


def event(body: bytes = b"", **more: Any) -> dict[str, Any]:
    event_ = rest_event(scope(**more), body, "request-1", "Root=1-0-0;Parent=0;Sampled=0")
    return cast("dict[str, Any]", json.loads(json.dumps(event_)))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param({}, {"path": "/v1/chat/completions", "resource": "/{proxy+}", "httpMethod": "POST"}, id="path"),
        pytest.param({}, {"pathParameters": {"proxy": "v1/chat/completions"}, "stageVariables": None}, id="proxy"),
        pytest.param({"raw_path": b"/"}, {"path": "/", "resource": "/", "pathParameters": None}, id="root"),
        pytest.param({"raw_path": b"/v1/models/a%2Fb"}, {"path": "/v1/models/a%2Fb", "pathParameters": {"proxy": "v1/models/a/b"}}, id="escapes"),
        pytest.param({}, {"queryStringParameters": None, "multiValueQueryStringParameters": None}, id="no-query"),
        pytest.param(
            {"query_string": b"a=1&b=%C3%A9&a=2&c="},
            {"queryStringParameters": {"a": "2", "b": "é", "c": ""}, "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["é"], "c": [""]}},
            id="query",
        ),
        pytest.param({"body": b""}, {"body": None, "isBase64Encoded": False}, id="no-body"),
        pytest.param({"body": "{\"é\"}".encode()}, {"body": "{\"é\"}", "isBase64Encoded": False}, id="text"),
        pytest.param({"body": b"\xff\x00"}, {"body": "/wA=", "isBase64Encoded": True}, id="bytes"),
    ],
)  # fmt: skip
def test_event_has_the_request(request_: dict[str, Any], expected: dict[str, Any]) -> None:
    event_ = event(**request_)
    assert {name: event_[name] for name in expected} == expected


def test_event_behind_a_mapping() -> None:
    path = "/team/claude/v1/models"
    made = rest_event(scope(path=path, raw_path=path.encode()), b"", "request-1", "Root=1-0-0", "/team/claude")
    assert (made["path"], made["requestContext"]["path"]) == (path, path)
    assert (made["resource"], made["pathParameters"]) == ("/{proxy+}", {"proxy": "v1/models"})
    made = rest_event(scope(path="/c/", raw_path=b"/c/"), b"", "request-1", "Root=1-0-0", "/c")
    assert (made["resource"], made["pathParameters"]) == ("/", None)


def test_event_has_single_and_multi_value_headers() -> None:
    sent = [(b"x-one", b"1"), (b"x-one", b"2"), (b"connection", b"keep-alive"), (b"content-length", b"3")]
    event_ = event(headers=[*sent, (b"x-forwarded-for", b"198.51.100.1"), (b"accept", b"*/*")])
    assert event_["headers"] == {
        "x-one": "2",
        "accept": "*/*",
        "x-amzn-trace-id": "Root=1-0-0",
        "x-forwarded-for": "198.51.100.1, 192.0.2.7",
        "x-forwarded-port": "8000",
        "x-forwarded-proto": "http",
    }
    assert event_["multiValueHeaders"]["x-one"] == ["1", "2"]
    assert event_["multiValueHeaders"].keys() == event_["headers"].keys()


def test_event_has_the_request_context() -> None:
    context = event()["requestContext"]
    assert context["identity"] == {"sourceIp": "192.0.2.7", "userAgent": "tests"}
    assert context["requestId"] == "request-1"
    assert (context["httpMethod"], context["path"]) == ("POST", "/v1/chat/completions")
    assert (context["protocol"], context["stage"]) == ("HTTP/1.1", "local")
    assert context["accountId"] and context["apiId"] and context["resourcePath"] == "/{proxy+}"
    assert abs(context["requestTimeEpoch"] / 1000 - time.time()) < PATIENCE


@pytest.mark.parametrize("body", [b"", b'{"a": "\xc3\xa9"}', b"\xff\x00\xfe"], ids=["none", "text", "bytes"])
def test_mangum_reads_the_same_request(body: bytes) -> None:
    event_ = event(
        body, raw_path=b"/v1/models/claude%20x", query_string=b"a=1&a=%26", headers=[(b"host", b"localhost:8000"), (b"authorization", b"Bearer k")]
    )  # fmt: skip

    async def infer() -> Any:  # Mangum creates an event loop if there is none, and leaves it open
        return Mangum(Starlette(), lifespan="off").infer(event_, cast("Any", None))

    inferred = asyncio.run(infer())
    assert inferred.body == body
    asgi = inferred.scope
    assert (asgi["method"], asgi["path"], asgi["query_string"]) == ("POST", "/v1/models/claude x", b"a=1&a=%26")
    assert [b"authorization", b"Bearer k"] in asgi["headers"]
    assert (asgi["scheme"], asgi["server"], asgi["client"]) == ("http", ("localhost", 8000), ("192.0.2.7", 0))
