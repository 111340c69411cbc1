"""Server-sent events to a client who may leave at any moment."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from claudexia.translate.sse import comment

_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # or nginx would collect the stream
}


class Closable(Protocol):
    async def aclose(self) -> None: ...


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancels its body the moment the client is gone, and raises ClientDisconnect then.

    To be entered once the request's body has been read.
    """
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelling, gone = task.cancelling(), False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and task.uncancel() <= cancelling:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()


class EventStreamResponse(Response):
    """Sends each piece of `frames` at once, and a comment after `keepalive` seconds of silence."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        source: Closable,
        headers: Mapping[str, str],
        keepalive: float,
    ) -> None:
        """`source` is what `frames` reads from. It is closed in any case, unlike a generator never begun."""
        super().__init__(headers={**_HEADERS, **headers})
        del self.headers["content-length"]
        self._frames = frames
        self._source = source
        self._keepalive = keepalive
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        self._last = clock()
        keeping_alive = asyncio.create_task(self._keep_alive(send))
        try:
            async with aclosing(self._source), aclosing(self._frames), while_connected(receive):
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                async for data in self._frames:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                    self._last = clock()
        finally:
            keeping_alive.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_alive(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._last + self._keepalive - clock())
            if clock() - self._last >= self._keepalive:
                self._last = clock()
                await send({"type": "http.response.body", "body": comment("keep-alive"), "more_body": True})
