"""Bodies above LARGE_BODY are read and translated in a thread: with the same result, and other streams go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from claudexia.app import create_app
from claudexia.generation.concurrency import LARGE_BODY
from claudexia.settings import Settings
from tests.helpers.serving import KEY, Upstream, gateway, sse, text_events

MODEL = "claude-haiku-4-5"
PARTS = [{"type": "text", "text": "a"}] * 36_000  # about 1 MB


def completion_request(content: object, **fields: object) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


# What each API sends for the same conversation.
def large_requests() -> dict[str, tuple[str, dict[str, Any]]]:
    native = completion_request(PARTS, max_tokens=100, stream=True)
    parts = [{"type": "input_text", "text": "a"}] * len(PARTS)
    return {
        "chat-completions": ("/v1/chat/completions", completion_request(PARTS)),
        "text-completions": ("/v1/completions", {"model": MODEL, "prompt": "a" * LARGE_BODY}),
        "responses": (
            "/v1/responses",
            {"model": MODEL, "input": [{"type": "message", "role": "user", "content": parts}]},
        ),
        "messages": ("/v1/messages", native),
        "tool-results": (
            "/v1/chat/completions",
            {
                "model": MODEL,
                "messages": [
                    {"role": "user", "content": "a"},
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}],
                    },
                    {"role": "tool", "tool_call_id": "c", "content": PARTS},
                ],
            },
        ),
    }


class CountingUpstream(httpx.AsyncBaseTransport):
    """Answers the first request with one event after the other until `ended` is set, and the second
    one at once. `at_second` is how many events the first answer had when the second request arrived.
    """

    def __init__(self) -> None:
        self.events = 0
        self.requests = 0
        self.at_second = 0
        self.ended = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests += 1
        answer = _Stream(self._endless() if self.requests == 1 else self._short())
        if self.requests == 2:
            self.at_second = self.events
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=answer)

    async def _endless(self) -> AsyncIterator[bytes]:
        events = text_events("word")
        first = next(index for index, event in enumerate(events) if event["type"] == "content_block_delta")
        yield sse(*events[:first])
        while not self.ended.is_set():
            self.events += 1
            yield sse(events[first])
            await asyncio.sleep(0.001)  # so that the gateway does not wait for more before it writes
        yield sse(*events[first + 1 :])

    async def _short(self) -> AsyncIterator[bytes]:
        yield sse(*text_events("word"))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


class Exchange:
    """One request to the ASGI app, whose body comes in one piece. `at_body` is the number of the other stream's
    events when the app read it, `received` how many pieces of a response came.
    """

    def __init__(self, path: str, body: dict[str, Any], upstream: CountingUpstream) -> None:
        self._body = json.dumps(body).encode()
        self._upstream = upstream
        self.scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "server": ("gateway", 80), "client": ("client", 1),
            "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")],
        }  # fmt: skip
        self.at_body = self.received = self.status = 0
        self._read = False

    async def receive(self) -> dict[str, Any]:
        if self._read:
            await asyncio.Event().wait()  # the client stays
        self._read = True
        self.at_body = self._upstream.events
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        self.received += 1
        self.status = message.get("status", self.status)


async def events_meanwhile(path: str, body: dict[str, Any]) -> int:
    """How many events another stream had between the arrival of `body` and the request to the upstream."""
    upstream = CountingUpstream()
    settings = Settings(anthropic_api_key="key", api_keys={"test": KEY})
    app: Any = create_app(settings, transport=upstream)
    other = Exchange("/v1/chat/completions", completion_request("hi", stream=True), upstream)
    streaming = asyncio.create_task(app(other.scope, other.receive, other.send))
    while other.received < 5:
        await asyncio.sleep(0.001)
    exchange = Exchange(path, body, upstream)
    await app(exchange.scope, exchange.receive, exchange.send)
    upstream.ended.set()
    await streaming
    assert (exchange.status, other.status) == (200, 200)
    return upstream.at_second - exchange.at_body


@pytest.mark.parametrize("name", ["chat-completions", "tool-results", "responses"])
def test_another_stream_goes_on_while_a_large_body_is_translated(name: str) -> None:
    path, body = large_requests()[name]
    assert asyncio.run(events_meanwhile("/v1/chat/completions", completion_request("hi"))) <= 2
    assert asyncio.run(events_meanwhile(path, body)) > 4


def post(url: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(url, json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60)


@pytest.mark.parametrize("name", large_requests())
def test_a_large_request_is_answered(name: str) -> None:
    path, body = large_requests()[name]
    upstream = Upstream()
    with gateway(upstream) as url:
        response = post(url.removesuffix("/v1") + path, body)
    assert response.status_code == 200, response.text
    content = upstream.bodies[0]["messages"][-1]["content"]
    texts = content[0].get("content", content)
    assert sum(len(part["text"]) for part in texts) >= len(PARTS)


@pytest.mark.parametrize(
    ("index", "wrong"), [(0, 5), (499, {"type": "text"}), (500, 5), (35_999, {"type": "x"})]
)
def test_the_error_in_a_large_body_names_its_place(index: int, wrong: object) -> None:
    parts: list[Any] = [*PARTS]
    parts[index] = wrong
    with gateway(Upstream()) as url:
        response = post(f"{url}/chat/completions", completion_request(parts))
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(f"messages[0].content[{index}]")
