"""Bytes after a response on an upstream connection do not reach the next request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.helpers.serving import KEY, sse, text_events

BODY = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello"}]}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST_STREAM = sse(*text_events("Hello there"))
COMPLETE = HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(FIRST_STREAM), FIRST_STREAM)
OTHER_STREAM = sse(*text_events("Another caller's answer"))

AFTER_THE_END = [
    ("nothing", b""),
    ("a line end", b"\r\n"),
    ("text", b"unexpected"),
    ("another response", HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(OTHER_STREAM), OTHER_STREAM)),
    ("half of another response", HEAD),
    ("an error response", b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
]


@asynccontextmanager
async def upstream(after: bytes) -> AsyncIterator[str]:
    """Answers every request of a connection with the same stream, and appends `after` to each response."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(COMPLETE + after)  # in one piece, so that it is read in one piece
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def send_three_requests(after: bytes, *, stream: bool) -> list[httpx.Response]:
    async with upstream(after) as url:
        settings = Settings(anthropic_base_url=url, anthropic_api_key="sk-ant", api_keys={"test": KEY})
        app: Any = create_app(settings)
        transport = httpx.ASGITransport(app)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            body = {**BODY, "stream": stream}
            async with app.router.lifespan_context(app):  # closes the connections at its end
                return [await client.post("/v1/chat/completions", json=body) for _ in range(3)]


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("after", [row[1] for row in AFTER_THE_END], ids=[row[0] for row in AFTER_THE_END])
def test_bytes_after_an_answer_do_not_reach_the_next_request(after: bytes, stream: bool) -> None:
    responses = asyncio.run(send_three_requests(after, stream=stream))
    assert [answer.status_code for answer in responses] == [200, 200, 200]
    assert all("there" in answer.text for answer in responses)
    assert not any("Another" in answer.text for answer in responses)
