"""Responses that the Runtime API refuses: the request's log line is an error with the reason."""

import asyncio
import gc
from typing import Any

import httpx
import pytest

from claudexia.app import create_app
from claudexia.observability.log import SERVICE
from claudexia.settings import Settings
from tests.fakes.runtime_api import FakeRuntimeAPI, Received, rest_event
from tests.helpers.runtime import body, log_lines, start, with_runtime
from tests.helpers.serving import KEY, sse, text_events

BODY = '{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"Hi"}]%s}'


def app_answering(events: bytes, **headers: str) -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"request-id": "req_1", **headers}, content=events)

    return create_app(
        Settings(anthropic_api_key="k", api_keys={"test": KEY}), transport=httpx.MockTransport(answer)
    )


APP = app_answering(sse(*text_events(" ".join(["word"] * 200))))
AUTH = {"authorization": f"Bearer {KEY}"}
REQUESTS = {
    "a whole answer": rest_event("POST", "/v1/chat/completions", headers=AUTH, body=BODY % ""),
    "a stream": rest_event("POST", "/v1/chat/completions", headers=AUTH, body=BODY % ',"stream":true'),
    "a text": rest_event(
        "POST", "/v1/completions", headers=AUTH, body='{"model":"claude-haiku-4-5","prompt":"Hi"}'
    ),
    "health": rest_event("GET", "/health"),
    "an error": rest_event("GET", "/nothing"),
}
# The Runtime API's status; whether it responds before the end of the body; whether it closes the connection.
REFUSALS = {
    "too large": (413, False, False, "response_too_large"),
    "too large, early": (413, True, False, "response_too_large"),
    "too late": (410, False, False, "response_too_late"),
    "too late, early": (410, True, False, "response_too_late"),
    "a failure": (500, False, False, "response_refused"),
    "a bad request": (400, False, False, "response_refused"),
    "broken": (202, False, True, "response_connection_lost"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("event", REQUESTS.values(), ids=REQUESTS)
def test_the_log_line_of_a_refused_response(
    event: dict[str, Any], refusal: tuple[int, bool, bool, str]
) -> None:
    status, early, broken, code = refusal

    async def work(fake: FakeRuntimeAPI) -> Received:
        fake.early, fake.broken = early, broken
        if broken:
            await fake.send(event)
            await fake.body_started.wait()
            fake.broken = False
        else:
            await fake.give(event)
        fake.early, fake.status = False, 202
        return await fake.give(rest_event("GET", "/health"))

    with log_lines() as lines:
        after = with_runtime(APP, work, status=status)
        gc.collect()
    assert after.payload == b'{"status":"ok"}'
    (request,) = [line for line in lines if line["message"] == "request"]
    assert (request["outcome"], request["error_type"], request["error_code"]) == ("error", "server_error", code)
    assert request.get("status") is None
    assert request["levelname"] == "ERROR"
    assert {line["message"] for line in lines} <= {
        "request",
        "the Runtime API refused a response",
        "the connection to the Runtime API broke",
    }


def test_a_stream_refused_by_the_api_is_stopped() -> None:
    sent = 0
    stopped = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(start())
        try:
            for _ in range(10_000):
                await send(body(bytes(50_000), more=True))
                sent += 1
        finally:
            stopped.set()

    async def work(fake: FakeRuntimeAPI) -> None:
        fake.early = True
        await fake.send(rest_event())
        await stopped.wait()

    with log_lines() as lines:
        with_runtime(app, work, status=413)
    assert sent < 10_000
    own = [
        line for line in lines if line["name"] == SERVICE
    ]  # asyncio logs that the fake closed the connection
    assert [line["status"] for line in own] == [413]


HEADERS = {"ordinary": "req_2", "endless": "r" * 70_000, "long": "r" * 257}


@pytest.mark.parametrize("request_id", HEADERS.values(), ids=HEADERS)
def test_a_long_upstream_request_id_does_not_overflow_the_headers(request_id: str) -> None:
    app = app_answering(sse(*text_events()), **{"request-id": request_id})
    received = with_runtime(app, lambda fake: fake.give(REQUESTS["a whole answer"]))
    assert received.prelude["statusCode"] == 200
    assert len(received.prelude["headers"]["x-request-id"]) <= 256
