"""The local API Gateway in front of scripted functions, over real sockets."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from claudexia_cli.emulator.gateway import LambdaGateway
from claudexia_cli.emulator.runtime_api import FunctionError, Invocation
from tests.helpers.serving import serving
from tests.helpers.waiting import PATIENCE

NULS = bytes(8)
Function = Callable[[Invocation], Coroutine[None, None, None]]


def behind_the_gateway(function: Function) -> Any:
    """An ASGI app."""
    tasks: set[asyncio.Task[None]] = set()

    def invoke(invocation: Invocation) -> None:
        tasks.add(asyncio.get_running_loop().create_task(function(invocation)))

    gateway = LambdaGateway(invoke)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await gateway(scope, receive, send)

    return app


def error_body(*pieces: bytes, error: FunctionError | None = None) -> Function:
    async def function(invocation: Invocation) -> None:
        for piece in pieces:
            await invocation.write(piece)
        if error:
            invocation.fail(error)
        else:
            invocation.finish()

    return function


def responses(function: Function, path: str = "", **request: Any) -> httpx.Response:
    with serving(behind_the_gateway(function)) as url:
        return httpx.post(url + path, trust_env=False, **request, timeout=PATIENCE)


def metadata(**keys: Any) -> bytes:
    return json.dumps({"statusCode": 200, **keys}).encode() + NULS


@pytest.mark.parametrize(
    ("prelude", "status", "headers"),
    [
        pytest.param({}, 200, {}, id="plain"),
        pytest.param({"statusCode": 418, "headers": {"X-One": "1"}}, 418, {"x-one": "1"}, id="status"),
        pytest.param({"multiValueHeaders": {"x-many": ["1", "2"]}}, 200, {"x-many": "1, 2"}, id="repeated"),
        pytest.param({"headers": {"X-Many": "2"}, "multiValueHeaders": {"x-many": ["1", "2"]}}, 200, {"x-many": "1, 2"}, id="in-both"),
        pytest.param({"cookies": ["a=b", "c=d"]}, 200, {"set-cookie": "a=b, c=d"}, id="cookies"),
        pytest.param({"headers": {"content-length": "99"}}, 200, {"x-amzn-remapped-content-length": "99"}, id="remapped"),
        pytest.param({"headers": {"transfer-encoding": "gzip"}}, 200, {"transfer-encoding": "chunked"}, id="dropped"),
    ],
)  # fmt: skip
def test_metadata_becomes_status_and_headers(
    prelude: dict[str, Any], status: int, headers: dict[str, str]
) -> None:
    response = responses(error_body(metadata(**prelude), b"body"))
    assert (response.status_code, response.content) == (status, b"body")
    assert {name: response.headers.get(name) for name in headers} == headers
    assert response.headers["x-amzn-trace-id"].startswith("Root=1-")
    assert len(response.headers["x-amzn-requestid"]) == 36


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b'{"statusCode": 201}' + NULS + b"body"], id="at-once"),
        pytest.param([b'{"statusCode": 201}', NULS, b"body"], id="as-the-runtime-sends-it"),
        pytest.param([b'{"statusCode"', b": 201}\0\0\0", b"\0\0\0\0\0bo", b"dy"], id="cut-anywhere"),
    ],
)
def test_metadata_is_read_from_any_chunks(pieces: list[bytes]) -> None:
    response = responses(error_body(*pieces))
    assert (response.status_code, response.content) == (201, b"body")


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        pytest.param([], FunctionError("Function.KeyError", "secret"), id="error"),
        pytest.param([b'{"statusCode": 200}'], FunctionError("Function.KeyError", "secret"), id="error-in-the-metadata"),
        pytest.param([], FunctionError("Sandbox.Timedout", "Task timed out after 2.00 seconds"), id="timeout"),
        pytest.param([], None, id="empty"),
        pytest.param([b'{"statusCode": 200, "body": "buffered"}'], None, id="buffered"),
        pytest.param([b"not JSON" + NULS], None, id="not-json"),
        pytest.param([b"[]" + NULS], None, id="not-an-object"),
        pytest.param([metadata(statusCode="ok")], None, id="no-status"),
        pytest.param([metadata(headers=["a"])], None, id="no-headers"),
        pytest.param([metadata(cookies="a=b")], None, id="no-cookies"),
        pytest.param([metadata(headers={"x-a": "☃"})], None, id="header-not-latin-1"),
        pytest.param([metadata(headers={"x-a": "x" * 16400})], None, id="longer-than-16-kb"),
    ],
)  # fmt: skip
def test_failure_before_the_body_is_a_502(
    pieces: list[bytes], error: FunctionError | None, capfd: pytest.CaptureFixture[str]
) -> None:
    response = responses(error_body(*pieces, error=error))
    assert response.status_code == 502
    assert response.json() == {
        "error": {"message": "Internal server error", "type": "server_error", "param": None, "code": None}
    }
    assert f"invocation {response.headers['x-amzn-requestid']} failed: " in capfd.readouterr().err


def test_failure_in_the_body_closes_the_connection(capfd: pytest.CaptureFixture[str]) -> None:
    function = error_body(metadata(), b"data: 1\n\n", error=FunctionError("Function.KeyError", "boom"))
    with (
        serving(behind_the_gateway(function)) as url,
        httpx.stream("GET", url, trust_env=False, timeout=PATIENCE) as response,
    ):
        pieces = response.iter_raw()
        assert (response.status_code, next(pieces)) == (200, b"data: 1\n\n")
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)
    stderr = capfd.readouterr().err
    assert "Function.KeyError: boom" in stderr
    assert "ASGI" not in stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"x" * (6 * 2**20 - 4096), 200, id="below-6-mb"),
        pytest.param(b"x" * 6 * 2**20, 413, id="6-mb-and-the-event-around-it"),
        pytest.param(b"\xff" * 5 * 2**20, 413, id="6-mb-once-it-is-base64"),
        pytest.param(b"x" * 20 * 2**20, 413, id="20-mb"),
    ],
)
def test_request_above_the_event_limit_is_a_413(body: bytes, status: int) -> None:
    response = responses(error_body(metadata()), content=body)
    assert response.status_code == status
    if status == 413:
        assert response.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("path", ["/v1/messages", "/messages/count_tokens"])
def test_the_413_of_the_messages_api_has_anthropics_envelope(path: str) -> None:
    error = responses(error_body(metadata()), content=bytes(7 * 2**20), path=path).json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "request_too_large"
    assert "6 MB" in error["error"]["message"]
    assert error["request_id"]


def test_slow_client_applies_backpressure_and_disconnected_client_does_not_stop_the_function() -> None:
    written = 0
    ended = threading.Event()

    async def function(invocation: Invocation) -> None:
        nonlocal written
        await invocation.write(metadata())
        for _ in range(200):
            await invocation.write(bytes(100_000))
            written += 100_000
        invocation.finish()
        ended.set()

    with serving(behind_the_gateway(function)) as url:
        with httpx.stream("GET", url, trust_env=False, timeout=PATIENCE) as response:
            pieces = response.iter_raw(
                1000
            )  # referenced, because a garbage-collected iterator closes the connection
            next(pieces)
            assert not ended.wait(0.5)  # 20 MB exceed the buffers of two sockets
            assert written < 20_000_000
        assert ended.wait(PATIENCE)
    assert written == 20_000_000
