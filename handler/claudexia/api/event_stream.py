"""EventStreamResponse: server-sent events to a client that may disconnect at any moment."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_MAX_BATCH = 64  # frames; a full batch is sent at once, so that back pressure reaches the source
_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # otherwise nginx buffers the stream
}


class FrameSource(Protocol):
    """What the frames of a response are read from."""

    def deadline_frame(self) -> bytes:
        """The last frame of a response that is incomplete at its deadline."""

    def keep_alive_frame(self) -> bytes:
        """A frame without content; b"" if there can be none any more."""

    async def aclose(self) -> None: ...


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancels its body as soon as the client disconnects, and then raises ClientDisconnect.

    Enter it after the request's body has been read.
    """
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelling, disconnected = task.cancelling(), False

    async def watch() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if disconnected and task.uncancel() <= cancelling:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()


class _BatchingSender:
    """Joins the frames of one turn of the event loop into at most two sends, without delaying any of them.

    The caller of put() does not suspend while it has more to read, so a turn of the loop means that there is no
    more. The first frame of a turn is sent immediately: it may be the only one, and it may be the first token.
    The others are sent when the loop turns, by a task. A task also sends a frame of `keep_alive` after
    `keepalive` seconds without a send. Most short responses need neither.
    """

    def __init__(self, send: Send, keepalive: float, keep_alive: Callable[[], bytes]) -> None:
        self._send = send
        self._keepalive = keepalive
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._last_send = self._loop.time()
        self._batch: list[bytes] = []
        self._is_first = True  # no frame has been sent in this turn of the loop
        self._send_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None  # the latest
        self._silence = self._loop.call_later(keepalive, self._on_silence)

    async def put(self, frame: bytes) -> None:
        """Raises what a send of a task has raised."""
        if self._task and self._task.done():
            self._task.result()
        self._batch.append(frame)
        if self._is_first:
            self._is_first = False
            self._loop.call_soon(self._on_turn)
            await self.flush()
        elif len(self._batch) >= _MAX_BATCH:
            await self.flush()

    async def flush(self) -> None:
        async with self._send_lock:
            while self._batch:  # also what comes during a send
                data = b"".join(self._batch)
                self._batch.clear()
                self._last_send = self._loop.time()
                await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def stop(self) -> None:
        self._silence.cancel()
        self._batch.clear()
        if self._task:
            self._task.cancel()

    def _on_turn(self) -> None:
        self._is_first = True
        self._start_flush()

    def _on_silence(self) -> None:
        silence = self._loop.time() - self._last_send
        if silence >= self._keepalive:
            silence = 0.0  # also if there is nothing to send
            if frame := self._keep_alive():
                self._batch.append(frame)
                self._start_flush()
        self._silence = self._loop.call_later(self._keepalive - silence, self._on_silence)

    def _start_flush(self) -> None:
        """Starts a task unless one is running, which sends these frames too, or has failed, see put()."""
        if self._batch and (not self._task or (self._task.done() and not self._task.exception())):
            self._task = self._loop.create_task(self.flush())


class EventStreamResponse(Response):
    """Sends each item of `frames` at once, and the source's keep_alive_frame() after `keepalive` seconds
    without one.

    `source` is closed in any case. `frames` alone would not do: closing a generator that was never started does
    not run its cleanup. At `deadline`, in the event loop's time, the stream ends with the source's
    deadline_frame().
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        source: FrameSource,
        headers: Mapping[str, str],
        *,
        keepalive: float,
        deadline: float | None = None,
    ) -> None:
        super().__init__(headers={**_HEADERS, **headers})
        del self.headers["content-length"]
        self._frames = frames
        self._source = source
        self._keepalive = keepalive
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._source), aclosing(self._frames), while_connected(receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            sender = _BatchingSender(send, self._keepalive, self._source.keep_alive_frame)
            try:
                try:
                    async with asyncio.timeout_at(self._deadline):
                        async for frame in self._frames:
                            await sender.put(frame)
                except TimeoutError:
                    await sender.put(self._source.deadline_frame())
                await sender.flush()
            finally:
                sender.stop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
