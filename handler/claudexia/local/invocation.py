"""Invocation: one event on its way to the function, and what the function answers on its way back."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncGenerator


class FunctionError(Exception):
    """The function failed; `type` is in Lambda's terms, as `Runtime.ExitError` or `Function.KeyError`."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.type = error_type


class Invocation:
    """`write`, `finish` and `fail` are the Runtime API's side, `response` and `abandon` the caller's.

    There is one piece in flight: `write` returns when the caller has let go of it, so that a slow client slows
    the function down.
    """

    def __init__(self, request_id: str, event: bytes = b"") -> None:
        self.event = event
        self.request_id = request_id
        # A request id may come twice; this tells the answers apart. aws/aws-lambda-rust-runtime#1155
        self.invocation_id = str(uuid.uuid4())
        # https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
        root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        self.trace_id = f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"
        self.responding = False
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._taken = asyncio.Event()
        self._abandoned = False
        self._error: FunctionError | None = None

    async def write(self, piece: bytes) -> None:
        if self._abandoned:
            return
        self._taken.clear()
        self._queue.put_nowait(piece)
        await self._taken.wait()

    def finish(self) -> None:
        self._queue.put_nowait(None)

    def fail(self, error: FunctionError) -> None:
        """What was written before still arrives."""
        self._error = self._error or error
        self.finish()

    async def response(self) -> AsyncGenerator[bytes, None]:
        """Raises FunctionError where the function broke off. To be closed, which abandons the invocation."""
        try:
            while (piece := await self._queue.get()) is not None:
                yield piece
                self._taken.set()
        finally:
            self._abandon()
        if self._error:
            raise self._error

    def _abandon(self) -> None:
        """Nobody listens any more; the function is not told and runs on to its end."""
        self._abandoned = True
        self._taken.set()
