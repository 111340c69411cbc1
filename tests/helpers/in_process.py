"""The whole gateway in this thread, without sockets: what a request costs, from its bytes to those of its answer."""

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import httpx

from claudexia.access.key_store import TableKeyStore
from claudexia.access.limits import Limits
from claudexia.app import create_app
from claudexia.observability.log import SERVICE
from claudexia.settings import Settings
from claudexia.storage.memory import MemoryTable
from tests.helpers.serving import message_body, sse, text_events
from tests.helpers.tables import Clock

_EVENTS = sse(*text_events("Hi"))
_MESSAGE = message_body("Hi")
_NO_LIMITS = Limits()
_COUNT = b'{"input_tokens": 3}'


class _Upstream(httpx.AsyncBaseTransport):
    """Answers each request with one word. `sent` are the bodies of the requests."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(await request.aread())
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_EVENTS)
        counts = request.url.path.endswith("count_tokens")
        headers = {"content-type": "application/json"}
        return httpx.Response(200, headers=headers, content=_COUNT if counts else _MESSAGE)


class InProcessGateway:
    """Open it with in_process_gateway(). Its client's key has `limits`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, **settings: Any) -> None:
        self._loop = loop
        self._upstream = _Upstream()
        clock = Clock()
        table = MemoryTable(clock)
        values = {"anthropic_api_key": "key", "shows_cost": True, **settings}
        self._app = create_app(Settings(**values), transport=self._upstream, table=table, now=clock)
        created = TableKeyStore(table, clock).create(
            "test", owner="", note="", expires=None, models=(), limits=limits
        )
        self._secret = loop.run_until_complete(created)[1]

    def send(self, path: str, body: bytes) -> int:
        """Returns the HTTP status. Bodies above LARGE_BODY are translated in threads."""
        self._upstream.sent.clear()
        return self._loop.run_until_complete(self._send(path, body))

    @property
    def sent(self) -> bytes:
        """What the last request sent to the upstream; b"" if it sent nothing."""
        return b"".join(self._upstream.sent)

    async def _send(self, path: str, body: bytes) -> int:
        statuses: list[int] = []
        received = iter([dict[str, Any]({"type": "http.request", "body": body, "more_body": False})])

        async def receive() -> MutableMapping[str, Any]:
            for message in received:
                return message
            await self._loop.create_future()  # the client stays connected
            raise AssertionError

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [
            (b"authorization", f"Bearer {self._secret}".encode()),
            (b"content-type", b"application/json"),
        ]
        await self._app(
            {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
                "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
                "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            },
            receive,
            send,
        )  # fmt: skip
        return statuses[0]


@contextmanager
def in_process_gateway(limits: Limits = _NO_LIMITS, **settings: Any) -> Iterator[InProcessGateway]:
    """A gateway whose upstream answers every request with one word. It logs nothing."""
    logger, loop = logging.getLogger(SERVICE), asyncio.new_event_loop()
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield InProcessGateway(loop, limits, **settings)
    finally:
        logger.setLevel(level)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
