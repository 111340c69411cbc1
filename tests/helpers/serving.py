"""Real sockets for tests: an ASGI app under uvicorn in a thread, and an upstream that answers as it is told."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import uvicorn

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.helpers.waiting import PATIENCE, turns

KEY, OTHER_KEY = "sk_cdx_test", "sk_cdx_other"
UPSTREAM_KEY = "sk-ant-of-the-gateway"

Message = MutableMapping[str, Any]


@dataclass
class Reply:
    """What the upstream says to one request.

    A number among `pieces` is a pause of that many turns of the event loop, an event is waited for. `then` is
    what follows the last piece: "end" closes the answer as it should be, "break" cuts the connection, "hang"
    keeps silent until the gateway is gone.
    """

    pieces: Sequence[bytes | int | threading.Event] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    then: str = "end"


def sse(*events: dict[str, Any]) -> bytes:
    """Events as the upstream frames them."""
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def error_body(kind: str, message: str, **details: str) -> bytes:
    error: dict[str, Any] = {"type": kind, "message": message, "details": details or None}
    return json.dumps({"type": "error", "error": error, "request_id": "req_up"}).encode()


def text_events(text: str = "Hello there", stop_reason: str = "end_turn") -> list[dict[str, Any]]:
    """A short answer, one delta a word."""
    words = [word if index == 0 else f" {word}" for index, word in enumerate(text.split(" "))]
    return [
        {"type": "message_start", "message": start()},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in words
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason},
            "usage": {"output_tokens": len(words)},
        },
        {"type": "message_stop"},
    ]


def start() -> dict[str, Any]:
    return {
        "id": "msg_test", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    }  # fmt: skip


def tool_events(*calls: tuple[str, str]) -> list[dict[str, Any]]:
    """An answer that calls tools, each given as its name and the JSON of its input."""
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start()}]
    for index, (name, arguments) in enumerate(calls):
        block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        for text in ("", arguments[:3], arguments[3:]):
            delta = {"type": "input_json_delta", "partial_json": text}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ending = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}
    return [*events, ending, {"type": "message_stop"}]


class Upstream:
    """An ASGI app in Anthropic's place: gives its replies in order, the last one for ever, and remembers."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = deque(replies or [Reply([sse(*text_events())])])
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.peers: list[tuple[str, int]] = []
        self.asked = threading.Event()
        self.abandoned = threading.Event()
        # What GET /v1/models answers, and the URLs under which it was asked for.
        self.models = Reply([error_body("not_found_error", "No such page")], 404)
        self.looks: list[str] = []

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            self.looks.append(f"{scope['path']}?{scope['query_string'].decode()}")
            self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await self._say(self.models, receive, send)
            return
        body = b""
        while (message := await receive()).get("body"):
            body += message["body"]
            if not message.get("more_body"):
                break
        self.bodies.append(json.loads(body))
        self.peers.append(tuple(scope["client"]))
        self.asked.set()
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        await self._say(reply, receive, send)

    async def _say(
        self,
        reply: Reply,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        headers = {"content-type": "text/event-stream", "request-id": "req_upstream", **reply.headers}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        for piece in reply.pieces:
            if isinstance(piece, bytes):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif isinstance(piece, int):
                await turns(piece)
            else:
                assert await asyncio.to_thread(piece.wait, PATIENCE)
        if reply.then == "hang":
            await receive()
            self.abandoned.set()
        if reply.then == "break":
            raise ConnectionAbortedError
        await send({"type": "http.response.body", "body": b""})


class _Server(uvicorn.Server):
    """uvicorn, started and stopped without the pauses of its own main loop: those add 0.4 s to each test."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_level=60, ws="none"))
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)

    async def start(self) -> str:
        """Returns the URL it listens on."""
        await self.startup()
        await self.on_tick(0)  # sets the default response headers
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Closes all connections. Requests still running after a second are cancelled."""
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if running := set(self.server_state.tasks):
            _, unfinished = await asyncio.wait(running, timeout=1)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self.lifespan.shutdown()


def let_servers_go_on() -> None:
    """Returns when what was sent to the servers of this process so far has been read by them."""
    asyncio.run_coroutine_threadsafe(turns(), _loop()).result(PATIENCE)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop, in a thread of its own, that all servers of this process run in."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """`app` on a free port of this machine; yields its URL."""
    server = _Server(app)
    url = asyncio.run_coroutine_threadsafe(server.start(), _loop()).result(PATIENCE)
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), _loop()).result(PATIENCE)


@contextmanager
def gateway(upstream: Any, **settings: Any) -> Iterator[str]:
    """The whole gateway over real sockets on both sides; yields its base URL with /v1.

    `upstream` is an ASGI app. What create_app() takes beside settings is passed on to it.
    """
    edges = {name: settings.pop(name) for name in ("now", "table") if name in settings}
    with serving(upstream) as upstream_url:
        keys = {"api_keys": {"test": KEY, "other": OTHER_KEY}}
        chosen = {"anthropic_base_url": upstream_url, "anthropic_api_key": UPSTREAM_KEY, **keys, **settings}
        with serving(create_app(Settings(**chosen), **edges)) as url:
            yield f"{url}/v1"
