"""EchoTransport: the echo as an httpx transport. EchoServer: a transport on a loopback port."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import TypedDict, cast

import httpx

from claudexia.models import SERVED
from claudexia_cli.echo.events import error_body, message_events, sse_frame
from claudexia_cli.echo.reply import Reply, count_input, reply_to
from claudexia_cli.echo.request import EchoRequest, InvalidRequestError, parse_request
from claudexia_cli.http_server import HttpServer, Request, Response

_OWN = "_echo_"
# What its request ids begin with.
ECHO_REQUEST_ID = f"req{_OWN}"
_FRAMING = {"content-length", "transfer-encoding"}


class Message(TypedDict):
    """The API's Message; the keys have the API's order."""

    model: str
    id: str
    type: str
    role: str
    content: list[Mapping[str, object]]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: None
    usage: Mapping[str, object]


class EchoTransport(httpx.AsyncBaseTransport):
    """Answers requests to the Messages API and for the list of models.

    `delay` is in seconds, before each piece of a stream.
    """

    def __init__(self, delay: float = 0.02) -> None:
        self._delay = delay

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request_id = _id("req")
        headers = {"request-id": request_id}
        if request.method == "GET" and request.url.path.endswith("/v1/models"):
            models = [{"type": "model", "id": name} for name in SERVED]
            return httpx.Response(200, headers=headers, json={"data": models, "has_more": False})
        is_count = request.url.path.endswith("/v1/messages/count_tokens")
        if request.method != "POST" or not (is_count or request.url.path.endswith("/v1/messages")):
            return httpx.Response(
                404, headers=headers, json=error_body("not_found_error", "Not found", request_id)
            )
        try:
            params = parse_request(await request.aread(), counted=is_count)
        except InvalidRequestError as error:
            body = error_body("invalid_request_error", str(error), request_id)
            return httpx.Response(400, headers=headers, json=body)
        if is_count:
            return httpx.Response(200, headers=headers, json={"input_tokens": count_input(params)})
        reply = reply_to(params)
        if not params.stream:
            return httpx.Response(200, headers=headers, json=_message(params, reply))
        headers["content-type"] = "text/event-stream; charset=utf-8"
        return httpx.Response(200, headers=headers, stream=_EventStream(_events(params, reply), self._delay))


class _EventStream(httpx.AsyncByteStream):
    def __init__(self, events: Iterator[Mapping[str, object]], delay: float) -> None:
        self._events = events
        self._delay = delay

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            if event["type"] == "content_block_delta":
                await asyncio.sleep(self._delay)
            yield sse_frame(event)


def _events(params: EchoRequest, reply: Reply) -> Iterator[Mapping[str, object]]:
    message = _message(params, reply)
    return message_events(message, {**message["usage"], "output_tokens": 1}, split=lambda _: reply.pieces)


def _message(params: EchoRequest, reply: Reply) -> Message:
    return {
        "model": params.model,
        "id": _id("msg"),
        "type": "message",
        "role": "assistant",
        "content": _content(reply),
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": None,
        "usage": {
            "input_tokens": count_input(params),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            # The empty first piece of a tool input counts as a token.
            "output_tokens": len(reply.pieces) + bool(reply.tool),
            "service_tier": "standard",
        },
    }


def _content(reply: Reply) -> list[Mapping[str, object]]:
    """One block, or none if the reply has no text."""
    content = "".join(reply.pieces)
    if reply.tool:
        # An input truncated by max_tokens is not JSON. The API returns the part that it could parse.
        arguments = json.loads(content) if content and reply.stop_reason == "tool_use" else {}
        return [{"type": "tool_use", "id": _id("toolu"), "name": reply.tool, "input": arguments}]
    return [{"type": "text", "text": content}] if content else []


def _id(prefix: str) -> str:
    return f"{prefix}{_OWN}{secrets.token_hex(12)}"


class EchoServer:
    """Serves `transport` on a port, for a gateway in another process."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._server = HttpServer(self._handle)

    async def start(self) -> str:
        """Listens on a free port; returns the base URL."""
        return f"http://{await self._server.start()}"

    def stop(self) -> None:
        self._server.stop()

    async def _handle(self, request: Request, response: Response) -> None:
        url = f"http://echo.invalid{request.target}"
        upstream = await self._transport.handle_async_request(
            httpx.Request(request.method, url, content=await request.read())
        )
        headers = {name: value for name, value in upstream.headers.items() if name not in _FRAMING}
        async with aclosing(upstream):
            await response.start(upstream.status_code, headers)
            async for piece in cast("httpx.AsyncByteStream", upstream.stream):
                await response.write(piece)
            await response.end()
