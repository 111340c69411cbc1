"""Waiting for the first event of an answer is linear in what comes before it, in reads of any size."""

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from datetime import UTC, datetime
from functools import partial
from types import coroutine

import httpx
import pytest

from claudexia.generation.relay import Relay
from claudexia.translate.sse import named_event
from claudexia.upstream import RawRequest
from claudexia.upstream.anthropic import HTTPMessageStream, HTTPRawResponse
from tests.helpers.steps import count_copied, count_steps

PING = named_event({"type": "ping"})
LONG_START = [b'event: message_start\ndata: {"type": "message_start", "future": "', *[b"a" * 20] * 1000]
BEFORE = {"pings": [PING] * 1000, "a large first event": LONG_START}
# The cost of a read may grow by this factor for nine times the reads; quadratic work tends to a factor of nine.
GROWTH = 1.5


@coroutine
def _one_read() -> Generator[None, None, None]:
    yield


class Reads(httpx.AsyncByteStream):
    def __init__(self, reads: list[bytes]) -> None:
        self._reads = reads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in self._reads:
            yield data
            await _one_read()


def steps(calls: list[Callable[[], object]]) -> int:
    return count_steps(lambda: [call() for call in calls])


def started_stream(response: httpx.Response) -> Coroutine[object, None, None]:
    return HTTPMessageStream(response, "claude", datetime(2026, 1, 1, tzinfo=UTC), "anthropic").start()


def started_relay(response: httpx.Response) -> Coroutine[object, None, None]:
    request = RawRequest("/messages", b"{}", {"stream": True}, "claude", {})
    return Relay(HTTPRawResponse(response, request, "anthropic")).start()


@pytest.mark.parametrize("start", [started_stream, started_relay])
@pytest.mark.parametrize("reads", BEFORE.values(), ids=BEFORE)
def test_the_work_for_a_read_does_not_grow(
    reads: list[bytes], start: Callable[[httpx.Response], Coroutine[object, None, None]]
) -> None:
    def cost(count: int, work: Callable[[list[Callable[[], object]]], int]) -> float:
        waiting = start(httpx.Response(200, stream=Reads(reads)))
        waiting.send(None)
        cost = work([partial(waiting.send, None)] * count) / count
        waiting.close()
        return cost

    assert cost(900, count_copied) < GROWTH * cost(100, count_copied)
    assert cost(900, steps) < GROWTH * cost(100, steps)
