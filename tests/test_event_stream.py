"""The response class against the bare ASGI contract, where a server would not show the difference."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from claudexia.event_stream import EventStreamResponse


class Source:
    closed = False

    async def aclose(self) -> None:
        self.closed = True


async def frames() -> AsyncGenerator[bytes, None]:
    yield b"data: 1\n\n"


async def respond(receive: Any, send: Any) -> Source:
    source = Source()
    response = EventStreamResponse(frames(), source, {}, keepalive=60)
    try:
        await response({"type": "http"}, receive, send)
    except ClientDisconnect:
        assert source.closed
        raise
    return source


async def forever() -> Any:
    await asyncio.Event().wait()


def test_a_client_who_is_gone_before_the_first_frame_still_closes_the_source() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def blocked(message: Any) -> None:
        await forever()

    with pytest.raises(ClientDisconnect):
        asyncio.run(respond(gone, blocked))


def test_messages() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    assert asyncio.run(respond(forever, send)).closed
    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]
    assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]
    assert not any(name == b"content-length" for name, _ in sent[0]["headers"])
    assert [message["body"] for message in sent[1:]] == [b"data: 1\n\n", b""]


def test_a_cancellation_from_outside_stays_one() -> None:
    async def run() -> None:
        async def blocked(message: Any) -> None:
            await forever()

        task = asyncio.create_task(respond(forever, blocked))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
