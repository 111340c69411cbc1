"""Reduces a failing case while it still fails: by parts of its JSON, bytes and frames."""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tests.campaign.gateway import AUTHORIZED, EVENT_STREAM, Request, UpstreamReply

Json = Any
T = TypeVar("T")
Fails = Callable[[T], Awaitable[bool]]


class Budget:
    """How many attempts one reduction may make."""

    def __init__(self, attempts: int = 400) -> None:
        self.left = attempts

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


async def reduce_request(request: Request, fails: Fails[Request], budget: Budget) -> Request:
    if request.headers != AUTHORIZED and await fails(plain := replace(request, headers=AUTHORIZED)):
        request = plain

    async def body_fails(body: bytes) -> bool:
        return await fails(replace(request, body=body))

    return replace(request, body=await reduce_data(request.body, body_fails, budget))


async def reduce_reply(reply: UpstreamReply, fails: Fails[UpstreamReply], budget: Budget) -> UpstreamReply:
    """The smallest failing reply: in one piece, without irrelevant headers and breaks, with the fewest frames."""
    simpler = (
        {"pieces": (reply.body,)},
        {"headers": EVENT_STREAM},
        {"headers": reply.headers[-1:]},
        {"headers": tuple((name, value[:20]) for name, value in reply.headers)},
        {"breaks": False},
        {"status": 200},
    )
    for change in simpler:
        if await fails(smaller := replace(reply, **change)):
            reply = smaller
    if len(reply.pieces) > 1:
        return reply

    async def frames_fail(frames: Sequence[bytes]) -> bool:
        return await fails(replace(reply, pieces=(b"".join(frames),)))

    frames = [frame + b"\n\n" for frame in reply.body.split(b"\n\n") if frame]
    if not await frames_fail(frames):
        return reply
    frames = list(await reduce_items(frames, frames_fail, budget))
    for index, frame in enumerate(frames):
        head, found, data = frame.partition(b"data: ")
        if not found:
            continue

        async def data_fails(smaller: bytes, index: int = index, head: bytes = head) -> bool:
            return await frames_fail(
                [*frames[:index], head + b"data: " + smaller + b"\n\n", *frames[index + 1 :]]
            )

        if len(data) > 20:
            data = await reduce_data(data.removesuffix(b"\n\n"), data_fails, budget)
            frames[index] = head + b"data: " + data + b"\n\n"
    return replace(reply, pieces=(b"".join(frames),))


async def reduce_data(data: bytes, fails: Fails[bytes], budget: Budget) -> bytes:
    try:
        value = json.loads(data)
        text = json.dumps(value).encode()
    except (ValueError, RecursionError):
        items: Sequence[bytes] = [data[at : at + 1] for at in range(len(data))]
        items = await reduce_items(items, _joined(fails), budget)
        return b"".join(items)
    if text != data and not await fails(text):
        return data  # it matters how it is written

    async def value_fails(smaller: Json) -> bool:
        return await fails(json.dumps(smaller).encode())

    return json.dumps(await _reduce_value(value, value_fails, budget)).encode()


def _joined(fails: Fails[bytes]) -> Fails[Sequence[bytes]]:
    async def joined_fails(parts: Sequence[bytes]) -> bool:
        return await fails(b"".join(parts))

    return joined_fails


async def reduce_items(items: Sequence[T], fails: Fails[Sequence[T]], budget: Budget) -> Sequence[T]:
    """Zeller's delta debugging, by complements only."""
    size = max(1, len(items) // 2)
    while items:
        at, removed = 0, False
        while at < len(items):
            if not budget.spend():
                return items
            smaller = [*items[:at], *items[at + size :]]
            if await fails(smaller):
                items, removed = smaller, True
            else:
                at += size
        if size == 1 and not removed:
            return items
        size = max(1, size // 2)
    return items


async def _reduce_value(value: Json, fails: Fails[Json], budget: Budget) -> Json:
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(value):
            if not budget.spend():
                return value
            if await fails(smaller):
                value, progress = smaller, True
                break
    return value


def _smaller(value: Json) -> Iterator[Json]:
    """Values with one part less, the largest parts first."""
    if isinstance(value, list) and len(value) > 3:
        yield value[: len(value) // 2]
        yield value[len(value) // 2 :]
    if isinstance(value, str) and len(value) > 8:
        yield value[: len(value) // 2]
        yield value[len(value) // 2 :]
    if isinstance(value, dict):
        for key in sorted(value, key=lambda key: -len(json.dumps(value[key]))):
            yield {name: inner for name, inner in value.items() if name != key}
        for key, inner in value.items():
            yield from ({**value, key: smaller} for smaller in _smaller(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield [*value[:index], *value[index + 1 :]]
            yield from ([*value[:index], smaller, *value[index + 1 :]] for smaller in _smaller(inner))
