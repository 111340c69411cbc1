"""LambdaGateway: an API Gateway REST API with response streaming in front of one function, as an ASGI app.

It does what API Gateway does, where a client can see it:
- a client who leaves is not told to the function, which runs on to its end and is paid for;
- what fails before the first byte is a 502, also a timeout of the function, since the integration's own, the
  one that answers 504, is longer; what fails later breaks the connection off;
- a request is held until it is whole, and refused with 413 where Lambda would not take it.
Not done: throttling to 2 MB/s beyond 10 MB, and the end of a stream that was idle for five minutes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
"""

import json
import logging
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from claudexia.local.integration_response import MalformedResponseError, Metadata, read_metadata
from claudexia.local.invocation import FunctionError, Invocation
from claudexia.local.rest_event import rest_event
from claudexia.translate import APIError

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution
_EVENT_LIMIT = 6 * 1024 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
_BODY_LIMIT = 10 * 1024 * 1024

_TOO_LARGE = APIError(
    413,
    "The request is larger than 6 MB, which is as much as Lambda takes from API Gateway.",
    code="request_too_large",
)
_FAILED = APIError(502, "Internal server error", type="server_error")


class LambdaGateway:
    """`invoke` hands an invocation to the function."""

    def __init__(self, invoke: Callable[[Invocation], None]) -> None:
        self._invoke = invoke
        # Breaking off is the right answer to a stream that failed; uvicorn takes it for a bug of the app.
        logging.getLogger("uvicorn.error").addFilter(_is_no_break)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        body = await _read_body(receive)
        if body is None:
            return
        invocation = Invocation(request_id)
        event = rest_event(scope, body, request_id, invocation.trace_id)
        invocation.event = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > _BODY_LIMIT or len(invocation.event) > _EVENT_LIMIT:
            await _send_error(send, _TOO_LARGE, invocation)
            return
        self._invoke(invocation)
        await _relay(invocation, send)


async def _read_body(receive: Receive) -> bytes | None:
    """None where the client left before the request was whole. What is far too large is read and not kept."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        if size <= _BODY_LIMIT:
            parts.append(part)
            size += len(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _relay(invocation: Invocation, send: Send) -> None:
    # After a client has left, uvicorn's send() does nothing: the rest is read and dropped, as it should be.
    async with aclosing(invocation.response()) as pieces:
        try:
            metadata, opening = await read_metadata(pieces)
        except (FunctionError, MalformedResponseError) as error:
            _report(invocation, error)
            await _send_error(send, _FAILED, invocation)
            return
        try:
            await _send_response(send, metadata, opening, pieces, invocation)
        except FunctionError as error:
            _report(invocation, error)  # and no end of the body: the client sees that it is cut short


async def _send_response(
    send: Send, metadata: Metadata, opening: bytes, pieces: AsyncIterator[bytes], invocation: Invocation
) -> None:
    headers = [*metadata.headers, *_own_headers(invocation)]
    await send({"type": "http.response.start", "status": metadata.status, "headers": headers})
    if opening:
        await send({"type": "http.response.body", "body": opening, "more_body": True})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_error(send: Send, error: APIError, invocation: Invocation) -> None:
    headers = [(b"content-type", b"application/json"), *_own_headers(invocation)]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error.body()).encode()})


def _own_headers(invocation: Invocation) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-amzn-requestid", invocation.request_id.encode()),
        (b"x-amzn-trace-id", invocation.trace_id.partition(";")[0].encode()),
    ]


def _report(invocation: Invocation, error: Exception) -> None:
    sys.stderr.write(f"claudexia: invocation {invocation.request_id} failed: {error}\n")


def _is_no_break(record: logging.LogRecord) -> bool:
    return record.getMessage() != "ASGI callable returned without completing response."
