"""Runs the gateway in process over ASGI and records all effects of a request."""

import asyncio
import io
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from claudexia.app import create_app
from claudexia.observability.log import SERVICE, log_as_json, stack_frames
from claudexia.settings import Settings
from claudexia.storage.memory import MemoryTable
from claudexia.storage.table import ALWAYS, Change, Condition, ItemKey
from tests.helpers.serving import KEY, UPSTREAM_KEY
from tests.helpers.tables import Clock

HeaderPairs = tuple[tuple[bytes, bytes], ...]
EVENT_STREAM: HeaderPairs = ((b"content-type", b"text/event-stream"), (b"request-id", b"req_campaign"))
AUTHORIZED: HeaderPairs = ((b"authorization", f"Bearer {KEY}".encode()),)
# Seconds after which a request counts as hanging. Not a measure of speed.
_PATIENCE = 60
_LOOP_TURNS = 5  # turns of the event loop before an unfinished task counts as left over


@dataclass(frozen=True)
class Request:
    """A client's POST request."""

    body: bytes
    path: str = "/v1/chat/completions"
    headers: HeaderPairs = AUTHORIZED


@dataclass(frozen=True)
class UpstreamReply:
    """An upstream response. With `breaks`, the connection breaks after the last piece."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: HeaderPairs = EVENT_STREAM
    breaks: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@dataclass
class Observation:
    """The response to one request, and its side effects.

    `status` is 0 without a response, `complete` whether the last part of the body was sent, `usage` holds one
    dict per line of the ledger, `seconds` is CPU time.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False
    sent: list[bytes] = field(default_factory=list)
    usage: list[dict[str, int]] = field(default_factory=list)
    raised: BaseException | None = None
    stdout: str = ""
    stderr: str = ""
    loop_errors: list[str] = field(default_factory=list)
    tasks_left: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Stream(httpx.AsyncByteStream):
    def __init__(self, reply: UpstreamReply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._reply.pieces:
            yield piece
        if self._reply.breaks:
            raise httpx.ReadError("connection reset")


Replies = Callable[[bytes, int], UpstreamReply]


class ReplyingTransport(httpx.AsyncBaseTransport):
    """The transport to the upstream. `reply` returns the response for a request body and its number."""

    def __init__(self, reply: Replies | None = None) -> None:
        self.bodies: list[bytes] = []
        self.reply = reply

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.reply
        body = await request.aread()
        self.bodies.append(body)
        reply = self.reply(body, len(self.bodies) - 1)
        return httpx.Response(reply.status, headers=list(reply.headers), stream=_Stream(reply))


class _Table(MemoryTable):
    """Records every update of the ledger; reset() deletes everything that was not there at the last keep()."""

    def __init__(self, now: Clock) -> None:
        super().__init__(now)
        self._kept: dict[ItemKey, Any] = {}
        self.usage: list[dict[str, int]] = []

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        if key.partition.startswith("USAGE#"):
            self.usage.append(dict(change.add))
        return await super().update(key, change, condition)

    def keep(self) -> None:
        """Keeps the stored responses."""
        self._kept = {key: item for key, item in self._items.items() if key.partition.startswith("RESPONSE#")}

    def reset(self) -> None:
        self.usage = []
        self._items = {key: dict(item) for key, item in self._kept.items()}


class Gateway:
    """Sends requests to one gateway. Create it within `captured_output()` and a running event loop."""

    def __init__(self, output: "Output") -> None:
        self._output = output
        self._transport = ReplyingTransport()
        clock = Clock()
        self._table = _Table(clock)
        settings = Settings(
            anthropic_api_key=UPSTREAM_KEY, api_keys={"campaign": KEY}, metrics=True, shows_cost=True
        )
        self._app = create_app(settings, transport=self._transport, table=self._table, now=clock)
        self._tasks: list[asyncio.Task[Any]] = []
        self._loop = asyncio.get_running_loop()
        self._loop.set_task_factory(cast("Any", self._task))
        self._loop.set_exception_handler(self._on_loop_error)
        self._loop_errors: list[str] = []

    async def send(self, request: Request, reply: Replies) -> Observation:
        self._transport.reply, self._transport.bodies = reply, []
        self._table.reset()
        self._tasks.clear()
        self._loop_errors.clear()
        self._output.take()
        seen = Observation()
        started = time.process_time()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._call(request, seen)
        except Exception as error:
            seen.raised = error
        seen.seconds = time.process_time() - started
        seen.sent, seen.usage = self._transport.bodies, self._table.usage
        await self._record_tasks(seen)
        seen.stdout, seen.stderr = self._output.take()
        return seen

    def keep_responses(self) -> None:
        """The responses that the last request has stored are there for all requests that follow."""
        self._table.keep()

    async def _call(self, request: Request, seen: Observation) -> None:
        messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await self._loop.create_future()  # the client stays connected
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.status, seen.headers = message["status"], list(message["headers"])
            else:
                seen.body += message.get("body", b"")
                seen.complete = not message.get("more_body")

        headers = [(b"content-type", b"application/json"), *request.headers]
        await self._app(
            {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
                "path": request.path, "raw_path": request.path.encode(), "query_string": b"", "root_path": "",
                "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            },
            receive,
            send,
        )  # fmt: skip

    async def _record_tasks(self, seen: Observation) -> None:
        for _ in range(_LOOP_TURNS):
            if all(task.done() for task in self._tasks):
                break
            await asyncio.sleep(0)
        for task in self._tasks:
            if not task.done():
                seen.tasks_left.append(_task_name(task))
                task.cancel()
            elif getattr(task, "_log_traceback", False):  # its exception was never retrieved
                seen.loop_errors.append(f"never retrieved: {describe(task.exception())}")
        seen.loop_errors += self._loop_errors

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        self._tasks.append(task)
        return task

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._loop_errors.append(f"{context.get('message')}: {describe(error)}")


class Output:
    """Collects standard output and standard error. take() returns and clears them."""

    def __init__(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def take(self) -> tuple[str, str]:
        taken = self.stdout.getvalue(), self.stderr.getvalue()
        for stream in (self.stdout, self.stderr):
            stream.seek(0)
            stream.truncate()
        return taken


@contextmanager
def captured_output() -> Iterator[Output]:
    """Captures both standard streams and the gateway's log at level INFO, as on Lambda."""
    output, logger = Output(), logging.getLogger(SERVICE)
    streams = sys.stdout, sys.stderr
    handlers = [each for each in logger.handlers if isinstance(each, logging.StreamHandler)]
    before = [(each, each.stream) for each in handlers], logger.level, logging.root.handlers
    sys.stdout, sys.stderr = output.stdout, output.stderr
    for handler in handlers:
        handler.stream = output.stdout
    logger.setLevel(logging.INFO)
    logging.root.handlers = []
    log_as_json()
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = streams
        for handler, stream in before[0]:
            handler.stream = stream
        logger.setLevel(before[1])
        logging.root.handlers = before[2]


def describe(error: BaseException | None) -> str:
    """The exception's type, and the innermost function of the gateway in its traceback."""
    if error is None:
        return "no exception"
    return f"{type(error).__name__} in {innermost_frame(stack_frames(error))}"


def innermost_frame(frames: Sequence[str]) -> str:
    """`module.py function` of the innermost frame in the gateway's code."""
    gateway_frames = [frame for frame in frames if "/claudexia/" in frame]
    if not gateway_frames:
        return "no frame of the gateway"
    place, _, function = gateway_frames[-1].partition(" ")
    return f"{place.rpartition('/claudexia/')[2].partition(':')[0]} {function}"


def json_lines(text: str) -> Iterator[Any]:
    """Each line as JSON, or the line itself if it is not JSON."""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield line


def _task_name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "a task")
