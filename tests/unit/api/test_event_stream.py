"""The response class against the bare ASGI contract, where a server would not show the difference."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from claudexia.api.event_stream import EventStreamResponse


class Source:
    """`keep_alives` are the frames for silence, one after the other."""

    closed = False

    def __init__(self, *keep_alives: bytes) -> None:
        self.keep_alives = list(keep_alives)

    def deadline_frame(self) -> bytes:
        return b""

    def keep_alive_frame(self) -> bytes:
        return self.keep_alives.pop(0) if self.keep_alives else b""

    async def aclose(self) -> None:
        self.closed = True


async def frames(pieces: Sequence[bytes | float]) -> AsyncGenerator[bytes, None]:
    """A number is a pause of that many turns of the event loop."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            await asyncio.sleep(piece)


async def respond(receive: Any, send: Any, pieces: Sequence[bytes | float] = (b"data: 1\n\n",)) -> Source:
    source = Source()
    response = EventStreamResponse(frames(pieces), source, {}, keepalive=60)
    try:
        await response({"type": "http"}, receive, send)
    except ClientDisconnect:
        assert source.closed
        raise
    return source


async def forever() -> Any:
    await asyncio.Event().wait()


def test_a_disconnect_before_the_first_frame_closes_the_source() -> None:
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


def test_a_cancellation_is_passed_on() -> None:
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


@pytest.mark.parametrize(
    ("pieces", "sends"),
    [
        pytest.param([b"1", b"2", b"3"], [b"1", b"23"], id="one-turn"),
        pytest.param([b"1", 0.01, b"2", 0.01, b"3"], [b"1", b"2", b"3"], id="a-turn-each"),
        pytest.param([b"1", *[b"2"] * 150], [b"1", b"2" * 64, b"2" * 64, b"2" * 22], id="bounded"),
    ],
)
def test_frames_of_one_loop_turn_are_joined_and_none_is_delayed(
    pieces: list[bytes | float], sends: list[bytes]
) -> None:
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        if body := message.get("body"):
            sent.append(body)

    asyncio.run(respond(forever, send, pieces))
    assert sent == sends


def test_silence_is_filled_as_long_as_the_source_has_something_to_say() -> None:
    sent: list[bytes] = []
    source = Source(b"a", b"b")

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"1"
        while source.keep_alives:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005)  # the source has nothing to send in this pause, so nothing is sent
        yield b"2"

    async def send(message: Any) -> None:
        sent.append(message.get("body"))

    response = EventStreamResponse(pieces(), source, {}, keepalive=0.001)
    asyncio.run(response({"type": "http"}, forever, send))
    assert sent == [None, b"1", b"a", b"b", b"2", b""]


def test_backpressure_stops_reading_from_the_source() -> None:
    """While the client reads nothing, at most one bounded batch is read ahead."""
    read = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal read
        while True:
            read += 1
            yield b"data"

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            await forever()

    async def run() -> None:
        response = EventStreamResponse(endless(), Source(), {}, keepalive=60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await response({"type": "http"}, forever, stuck)

    asyncio.run(run())
    assert read <= 65


def test_a_failed_send_ends_the_response() -> None:
    calls = 0

    async def failing(message: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError("broken pipe")

    with pytest.raises(OSError, match="broken pipe"):
        asyncio.run(respond(forever, failing, [b"1", b"2", 0.01, b"3", 0.01, b"4"]))
