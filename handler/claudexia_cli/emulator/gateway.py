"""LambdaGateway: an API Gateway REST API with response streaming in front of one function, as an ASGI app.

With another kind of event, it is a function URL. It has the behaviour of API Gateway that a client can observe:
- The function is not notified when a client disconnects; it runs to its end.
- A failure before the first byte is a 502. This includes a timeout of the function, because the timeout of the
  integration, which would be a 504, is longer. A later failure closes the connection.
- A request is buffered until it is complete. A request that is too large for Lambda is a 413.
Not emulated: throttling to 2 MB/s beyond 10 MB, and the end of a stream that was idle for five minutes.

rest_event() builds the event that an API Gateway REST API gives to a Lambda proxy integration.
read_metadata() reads the head of the function's response: JSON, then eight NUL bytes, then the body.

https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html#response-transfer-mode-lambda-format
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-input-format
"""

import base64
import json
import logging
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from claudexia.api.middleware import speaks_anthropic
from claudexia.errors import APIError
from claudexia_cli.emulator.runtime_api import FunctionError, Invocation

ACCOUNT_ID = "123456789012"
_API_ID = "claudexia0"
_STAGE = "local"
# API Gateway drops these: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_DROPPED_REQUEST_HEADERS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Identity(TypedDict):
    sourceIp: str
    userAgent: str | None


class RequestContext(TypedDict):
    accountId: str
    apiId: str
    domainName: str
    extendedRequestId: str
    httpMethod: str
    identity: Identity
    path: str
    protocol: str
    requestId: str
    requestTime: str
    requestTimeEpoch: int
    resourceId: str
    resourcePath: str
    stage: str


class RestEvent(TypedDict):
    """The keys have AWS's order. An empty mapping is null, not {}."""

    resource: str
    path: str
    httpMethod: str
    headers: dict[str, str]
    multiValueHeaders: dict[str, list[str]]
    queryStringParameters: dict[str, str] | None
    multiValueQueryStringParameters: dict[str, list[str]] | None
    pathParameters: dict[str, str] | None
    stageVariables: None
    requestContext: RequestContext
    body: str | None
    isBase64Encoded: bool


def rest_event(scope: Scope, body: bytes, request_id: str, trace_id: str, base_path: str = "") -> RestEvent:
    """The event for an ASGI HTTP scope. The API has the resources `/` and `/{proxy+}`, and a custom domain.

    `base_path`, like `/claude`, is the domain's mapping to the API: it stays in `path`, but not in `proxy`.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mappings.html
    """
    path = scope["raw_path"].decode("latin-1")
    route = path.removeprefix(base_path) or "/"
    headers = _headers(scope, trace_id)
    query = _grouped(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    text, is_base64 = _text(body)
    resource = "/" if route == "/" else "/{proxy+}"
    return {
        "resource": resource,
        "path": path,
        "httpMethod": scope["method"],
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None if route == "/" else {"proxy": unquote(route.removeprefix("/"))},
        "stageVariables": None,
        "requestContext": _context(scope, headers, resource, request_id),
        "body": text or None,
        "isBase64Encoded": is_base64,
    }


def _headers(scope: Scope, trace_id: str) -> dict[str, list[str]]:
    sent = _grouped((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    passed = {name: values for name, values in sent.items() if name.lower() not in _DROPPED_REQUEST_HEADERS}
    forwarded_for = ", ".join([*sent.get("x-forwarded-for", []), _source_ip(scope)])
    return passed | {
        "x-amzn-trace-id": [trace_id.partition(";")[0]],
        "x-forwarded-for": [forwarded_for],
        "x-forwarded-port": [str((scope.get("server") or ("", 80))[1])],
        "x-forwarded-proto": [scope["scheme"]],
    }


def _context(scope: Scope, headers: dict[str, list[str]], resource: str, request_id: str) -> RequestContext:
    now = time.time()
    return {
        "accountId": ACCOUNT_ID,
        "apiId": _API_ID,
        "domainName": headers.get("host", ["localhost"])[-1].rpartition(":")[0] or "localhost",
        "extendedRequestId": f"{request_id[:8]}=",
        "httpMethod": scope["method"],
        "identity": {"sourceIp": _source_ip(scope), "userAgent": headers.get("user-agent", [None])[-1]},
        "path": scope["raw_path"].decode("latin-1"),
        "protocol": f"HTTP/{scope['http_version']}",
        "requestId": request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": "claude",
        "resourcePath": resource,
        "stage": _STAGE,
    }


def _source_ip(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else "127.0.0.1"


def _text(body: bytes) -> tuple[str, bool]:
    """The body in the event, and whether it is base64. Without binary media types, text is not encoded."""
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _last(grouped: dict[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in grouped.items()}


_DELIMITER = b"\0" * 8
_METADATA_LIMIT = 16 * 1024  # with the delimiter
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_REMAPPED = frozenset({"connection", "content-length", "content-md5", "date", "server", "www-authenticate"})
_DROPPED_RESPONSE_HEADERS = frozenset(
    {"expect", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
)


class MalformedResponseError(Exception):
    """The function's response is invalid for a streaming proxy integration; the message says why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Status and headers of the response to the client."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]


async def read_metadata(pieces: AsyncIterator[bytes]) -> tuple[Metadata, bytes]:
    """The metadata, and the start of the body that was read with it. Raises MalformedResponseError."""
    buffer = b""
    async for piece in pieces:
        buffer += piece
        head, found, body = buffer.partition(_DELIMITER)
        if found and len(head) + len(_DELIMITER) <= _METADATA_LIMIT:
            return _metadata(head), body
        if len(buffer) > _METADATA_LIMIT:
            raise MalformedResponseError("no metadata and delimiter within the first 16 KB")
    raise MalformedResponseError("it ended before the metadata and the delimiter")


def _metadata(head: bytes) -> Metadata:
    try:
        metadata = json.loads(head)
    except ValueError:
        raise MalformedResponseError("its metadata is not JSON") from None
    if not isinstance(metadata, dict):
        raise MalformedResponseError("its metadata is not an object")
    status = metadata.get("statusCode", 200)
    if not (isinstance(status, int) and 100 <= status <= 599):
        raise MalformedResponseError(f"its statusCode is {status!r}")
    return Metadata(status, _response_headers(metadata))


def _response_headers(metadata: Mapping[str, object]) -> list[tuple[bytes, bytes]]:
    multiple = {
        name.lower(): _items(values, f"multiValueHeaders.{name}")
        for name, values in _pairs(metadata, "multiValueHeaders")
    }
    # "If the same key-value pair is specified in both, only the values from multiValueHeaders will appear."
    single = [
        (name, value)
        for name, value in _pairs(metadata, "headers")
        if str(value) not in multiple.get(name.lower(), [])
    ]
    cookies = _items(metadata.get("cookies") or [], "cookies")
    headers = [
        *single,
        *((name, value) for name, values in multiple.items() for value in values),
        *(("set-cookie", cookie) for cookie in cookies),
    ]
    return [
        _client_header(name, str(value))
        for name, value in headers
        if name.lower() not in _DROPPED_RESPONSE_HEADERS
    ]


def _client_header(name: str, value: str) -> tuple[bytes, bytes]:
    sent_name = f"x-amzn-remapped-{name}" if name.lower() in _REMAPPED else name
    try:
        return sent_name.lower().encode("ascii"), value.encode("latin-1")
    except UnicodeEncodeError:
        raise MalformedResponseError(f"its header {name!r} cannot be sent") from None


def _pairs(metadata: Mapping[str, object], key: str) -> list[tuple[str, object]]:
    value = metadata.get(key) or {}
    if not isinstance(value, dict):
        raise MalformedResponseError(f"its {key} is not an object")
    return list(value.items())


def _items(value: object, where: str) -> list[str]:
    if not isinstance(value, list):
        raise MalformedResponseError(f"its {where} is not a list")
    return [str(item) for item in value]


# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#function-configuration-deployment-and-execution
_EVENT_LIMIT = 6 * 1024 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
_BODY_LIMIT = 10 * 1024 * 1024

_TOO_LARGE = APIError(
    413,
    "The request is larger than 6 MB, Lambda's limit. Send images as URLs.",
    code="request_too_large",
)
_NO_MAPPING = APIError(403, "Forbidden: the custom domain has no mapping for this path.")
_FAILED = APIError(502, "Internal server error", type="server_error")


# Makes the event of an ASGI HTTP scope, a body, a request id and a trace id.
MakeEvent = Callable[[Scope, bytes, str, str], Mapping[str, object]]


class LambdaGateway:
    """`invoke` starts an invocation of the function with the event of `make_event`.

    `base_path` is the mapping of the custom domain, or "".
    """

    def __init__(
        self,
        invoke: Callable[[Invocation], None],
        make_event: MakeEvent = rest_event,
        base_path: str = "",
    ) -> None:
        self._invoke = invoke
        self._make_event = make_event
        self._base_path = base_path
        # A failed stream ends without its last message on purpose, which uvicorn logs as an error of the app.
        logging.getLogger("uvicorn.error").addFilter(_is_not_incomplete_response)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = str(uuid.uuid4())
        body = await _read_body(receive)
        if body is None:
            return
        invocation = Invocation(request_id)
        if not _is_below(scope["path"], self._base_path):
            await _send_error(send, _NO_MAPPING, invocation, scope)
            return
        event = self._make_event(scope, body, request_id, invocation.trace_id)
        invocation.event = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > _BODY_LIMIT or len(invocation.event) > _EVENT_LIMIT:
            await _send_error(send, _TOO_LARGE, invocation, scope)
            return
        self._invoke(invocation)
        await _relay(invocation, send, scope)


def _is_below(path: str, base_path: str) -> bool:
    return path == base_path or path.startswith(f"{base_path}/")


async def _read_body(receive: Receive) -> bytes | None:
    """None if the client left before the request was complete. Bytes beyond the limit are read and dropped."""
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


async def _relay(invocation: Invocation, send: Send, scope: Scope) -> None:
    # After the client has left, uvicorn's send() does nothing: the rest of the response is read and dropped.
    async with aclosing(invocation.response()) as pieces:
        try:
            metadata, opening = await read_metadata(pieces)
        except (FunctionError, MalformedResponseError) as error:
            _report(invocation, error)
            await _send_error(send, _FAILED, invocation, scope)
            return
        try:
            await _send_response(send, metadata, opening, pieces, invocation)
        except FunctionError as error:
            _report(invocation, error)  # the body has no end, so the client sees that it is incomplete


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


async def _send_error(send: Send, error: APIError, invocation: Invocation, scope: Scope) -> None:
    """In the envelope of the API that the client speaks, as the function's own errors."""
    body: object = error.body()
    if speaks_anthropic(scope):
        body = error.anthropic_body(invocation.request_id)
    headers = [(b"content-type", b"application/json"), *_own_headers(invocation)]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _own_headers(invocation: Invocation) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-amzn-requestid", invocation.request_id.encode()),
        (b"x-amzn-trace-id", invocation.trace_id.partition(";")[0].encode()),
    ]


def _report(invocation: Invocation, error: Exception) -> None:
    sys.stderr.write(f"claudexia: invocation {invocation.request_id} failed: {error}\n")


def _is_not_incomplete_response(record: logging.LogRecord) -> bool:
    return record.getMessage() != "ASGI callable returned without completing response."
