"""Real sockets for tests: an ASGI app under uvicorn in a thread, and an upstream with scripted replies."""

import asyncio
import json
import re
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
from claudexia_cli.echo.events import message_events, sse_frame
from tests.fakes.strict_json import strict_json
from tests.helpers.waiting import PATIENCE, turns

KEY, OTHER_KEY = "sk_cdx_test", "sk_cdx_other"
UPSTREAM_KEY = "sk-ant-of-the-gateway"

Message = MutableMapping[str, Any]


@dataclass
class Reply:
    """The upstream's response to one request.

    `pieces` are sent in order. A number is a pause of that many turns of the event loop; an event is waited for.
    `then` is what follows the last piece: "end" completes the response, "break" closes the connection, "hang"
    sends nothing more until the gateway disconnects.
    """

    pieces: Sequence[bytes | int | threading.Event] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    then: str = "end"


def sse(*events: dict[str, Any]) -> bytes:
    """Events as server-sent events."""
    return b"".join(map(sse_frame, events))


def error_body(kind: str, message: str, **details: str) -> bytes:
    error: dict[str, Any] = {"type": kind, "message": message, "details": details or None}
    return json.dumps({"type": "error", "error": error, "request_id": "req_up"}).encode()


def message_body(text: str = "Hello there") -> bytes:
    """A whole text reply."""
    message = _message([{"type": "text", "text": text}], "end_turn", output_tokens=len(text.split()))
    return json.dumps({**message, "usage": {**start()["usage"], **message["usage"]}}).encode()


WHOLE_JSON = {"content-type": "application/json"}


def text_events(text: str = "Hello there", stop_reason: str = "end_turn") -> list[dict[str, Any]]:
    """The events of a text reply, one delta per word."""
    words = re.findall(r"^[^ ]*| [^ ]*", text)
    message = _message([{"type": "text", "text": text}], stop_reason, output_tokens=len(words))
    return list(message_events(message, start()["usage"], lambda _: words))


def tool_events(*calls: tuple[str, str]) -> list[dict[str, Any]]:
    """The events of a reply with tool calls, each given as its name and the JSON of its input."""
    inputs = {f"toolu_{index}": arguments for index, (_, arguments) in enumerate(calls)}
    content = [
        {"type": "tool_use", "id": id_, "name": name, "input": {}}
        for id_, (name, _) in zip(inputs, calls, strict=True)
    ]
    events = message_events(
        _message(content, "tool_use", output_tokens=9),
        start()["usage"],
        lambda block: (inputs[block["id"]][:3], inputs[block["id"]][3:]),
    )
    return [event for event in events if event["type"] != "ping"]


def start() -> dict[str, Any]:
    """The message in message_start."""
    return {
        "id": "msg_test", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    }  # fmt: skip


def _message(content: list[dict[str, Any]], stop_reason: str, output_tokens: int) -> dict[str, Any]:
    ending = {"stop_reason": stop_reason, "stop_details": None, "usage": {"output_tokens": output_tokens}}
    return {**start(), "content": content, **ending}


class Upstream:
    """An ASGI app in place of Anthropic's API. Sends its replies in order and repeats the last; records requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = deque(replies or [Reply([sse(*text_events())])])
        self.bodies: list[dict[str, Any]] = []
        self.contents: list[bytes] = []  # the bodies as they were received
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.peers: list[tuple[str, int]] = []
        self.requested = threading.Event()
        self.disconnected = threading.Event()
        # The response to GET /v1/models, and the URLs of the requests for it.
        self.models = Reply([error_body("not_found_error", "No such page")], 404)
        self.model_requests: list[str] = []

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            self.model_requests.append(f"{scope['path']}?{scope['query_string'].decode()}")
            self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await self._send(self.models, receive, send)
            return
        body = b""
        while (message := await receive()).get("body"):
            body += message["body"]
            if not message.get("more_body"):
                break
        self.bodies.append(strict_json(body))
        self.contents.append(body)
        self.paths.append(scope["path"])
        self.peers.append(tuple(scope["client"]))
        self.requested.set()
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
        await self._send(reply, receive, send)

    async def _send(
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
            self.disconnected.set()
        if reply.then == "break":
            raise ConnectionAbortedError
        await send({"type": "http.response.body", "body": b""})


class _Server(uvicorn.Server):
    """uvicorn without its main loop, whose pauses add 0.4 s to each test."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_level=60, ws="none"))
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)

    async def start(self) -> str:
        """Returns the URL of the server."""
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
    """Returns when the servers of this process have read everything sent to them so far."""
    asyncio.run_coroutine_threadsafe(turns(), _loop()).result(PATIENCE)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of all servers in this process, in its own thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves `app` on a free port of this machine. Yields its URL."""
    server = _Server(app)
    url = asyncio.run_coroutine_threadsafe(server.start(), _loop()).result(PATIENCE)
    try:
        yield url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), _loop()).result(PATIENCE)


@contextmanager
def gateway(upstream: Any, **settings: Any) -> Iterator[str]:
    """The whole gateway, with real sockets on both sides. Yields its base URL with /v1.

    `upstream` is an ASGI app. `wrap` takes the gateway's app and returns the one that is served. `now` and `table`
    are passed to create_app(), all other arguments are settings.
    """
    wrap = settings.pop("wrap", lambda app: app)
    app_arguments = {name: settings.pop(name) for name in ("now", "table") if name in settings}
    with serving(upstream) as upstream_url:
        keys = {"api_keys": {"test": KEY, "other": OTHER_KEY}}
        values = {"anthropic_base_url": upstream_url, "anthropic_api_key": UPSTREAM_KEY, **keys, **settings}
        with serving(wrap(create_app(Settings(**values), **app_arguments))) as url:
            yield f"{url}/v1"
