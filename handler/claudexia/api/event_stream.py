"""Server-sent events to a client who may leave at any moment."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from claudexia.translate.sse import comment

_KEEP_ALIVE = comment("keep-alive")
_FULL = 64  # pieces; more than these do not wait for the loop to turn, so that back pressure is felt
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


class _Outbox:
    """Joins what comes in one turn of the event loop into one send; two at most, and none of them late.

    Whoever puts pieces in does not suspend as long as there is more to read, so once the loop turns there is
    no more. The first piece of a turn leaves at once: alone it is all there is, and it may be the first token.
    What follows in the same turn is sent when the loop turns, by a task that also fills the silence: after
    `keepalive` seconds of it, a comment goes out.
    """

    def __init__(self, send: Send, keepalive: float) -> None:
        self._send = send
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._pieces: list[bytes] = []
        self._first = True
        self._turned = asyncio.Event()
        self._sending = asyncio.Lock()
        self._sender = asyncio.create_task(self._run())

    async def put(self, piece: bytes) -> None:
        if self._sender.done():
            self._sender.result()  # its send failed
        self._pieces.append(piece)
        if self._first and not piece.startswith(b":"):  # a comment can wait for what follows it
            self._first = False
            self._loop.call_soon(self._turn)
            await self.flush()
        elif len(self._pieces) >= _FULL:
            await self.flush()
        elif self._first:
            self._turned.set()

    async def flush(self) -> None:
        async with self._sending:
            if self._pieces:
                data = b"".join(self._pieces)
                self._pieces.clear()
                self._last = self._loop.time()
                await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def stop(self) -> None:
        self._sender.cancel()

    def _turn(self) -> None:
        self._first = True
        if self._pieces:
            self._turned.set()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout_at(self._last + self._keepalive):
                    await self._turned.wait()
            except TimeoutError:
                if self._loop.time() - self._last >= self._keepalive:
                    self._pieces.append(_KEEP_ALIVE)
            self._turned.clear()
            await self.flush()


class EventStreamResponse(Response):
    """Sends each piece of `frames` at once, and a comment after `keepalive` seconds of silence."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        source: Closable,
        headers: Mapping[str, str],
        *,
        keepalive: float,
        deadline: float | None = None,
        last_words: Callable[[], bytes] = bytes,
    ) -> None:
        """`source` is what `frames` reads from. It is closed in any case, unlike a generator never begun.

        At `deadline`, in the loop's time, the stream ends with what `last_words` gives.
        """
        super().__init__(headers={**_HEADERS, **headers})
        del self.headers["content-length"]
        self._frames = frames
        self._source = source
        self._keepalive = keepalive
        self._deadline = deadline
        self._last_words = last_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._source), aclosing(self._frames), while_connected(receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            outbox = _Outbox(send, self._keepalive)
            try:
                try:
                    async with asyncio.timeout_at(self._deadline):
                        async for piece in self._frames:
                            await outbox.put(piece)
                except TimeoutError:
                    await outbox.put(self._last_words())
                await outbox.flush()
            finally:
                outbox.stop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
