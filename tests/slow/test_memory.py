"""A process that serves many requests keeps nothing of them."""

import asyncio
import gc
import json
import logging
import sys
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from claudexia.app import create_app
from claudexia.observability.log import SERVICE
from claudexia.settings import Settings
from tests.helpers.serving import KEY, text_events

WARM_UP, REQUESTS = 2_000, 20_000
# Memory blocks of Python's allocator per request. One object that is kept of each request is at least 1.
MAX_KEPT = 0.1

CHAT = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
STREAMED = {**CHAT, "stream": True}
RESPONSE = {"model": "claude-sonnet-4-5", "input": "hi", "store": False, "stream": True}
MESSAGE = {**STREAMED, "max_tokens": 9}
# In turns, with the status of each.
MIXED: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/chat/completions", STREAMED, 200),
    ("/v1/chat/completions", CHAT, 200),
    ("/v1/responses", RESPONSE, 200),
    ("/v1/messages", MESSAGE, 200),
    ("/v1/chat/completions", {**CHAT, "logprobs": True}, 400),
    ("/v1/chat/completions", {**CHAT, "model": "gpt-0"}, 404),
]


def app() -> FastAPI:
    answer = b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in text_events("Hi")
    )
    headers = {"content-type": "text/event-stream", "request-id": "req_1"}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=answer))
    return create_app(Settings(anthropic_api_key="x", api_keys={"test": KEY}), transport=transport)


async def call(gateway: FastAPI, path: str, body: dict[str, Any]) -> int:
    """One request by the ASGI protocol itself, since a client would be most of the test's time."""
    statuses: list[int] = []
    unread = [json.dumps(body).encode()]
    disconnected = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not unread:
            await disconnected.wait()
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")],
    }
    await gateway(scope, receive, send)
    return statuses[0]


async def serve(gateway: FastAPI, count: int) -> None:
    for number in range(count):
        path, body, status = MIXED[number % len(MIXED)]
        assert await call(gateway, path, body) == status


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.skipif(not hasattr(sys, "getallocatedblocks"), reason="counts the blocks of CPython's allocator")
def test_twenty_thousand_requests_leave_no_memory_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger=SERVICE)  # pytest keeps each line

    async def kept_per_request() -> float:
        gateway = app()
        await serve(gateway, WARM_UP)
        before = blocks()
        await serve(gateway, REQUESTS - WARM_UP)
        return (blocks() - before) / (REQUESTS - WARM_UP)

    assert asyncio.run(kept_per_request()) < MAX_KEPT
