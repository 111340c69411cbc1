"""function_url_event(): the event that a Lambda function URL gives to its function, payload version 2.0.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import base64
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict
from urllib.parse import parse_qsl

from starlette.types import Scope

_ID = "claudexia0url"
_HOST = f"{_ID}.lambda-url.us-east-1.on.aws"
# Bodies of these types are text in the event, all others are base64.
_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_DROPPED = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "cookie"})


class HTTPContext(TypedDict):
    method: str
    path: str
    protocol: str
    sourceIp: str
    userAgent: str


class URLContext(TypedDict):
    accountId: str
    apiId: str
    domainName: str
    domainPrefix: str
    http: HTTPContext
    requestId: str
    routeKey: str
    stage: str
    time: str
    timeEpoch: int


class FunctionURLEvent(TypedDict, total=False):
    """`cookies`, `queryStringParameters` and `body` are absent if the request has none."""

    version: str
    routeKey: str
    rawPath: str
    rawQueryString: str
    cookies: list[str]
    headers: dict[str, str]
    queryStringParameters: dict[str, str]
    requestContext: URLContext
    body: str
    isBase64Encoded: bool


def function_url_event(scope: Scope, body: bytes, request_id: str, trace_id: str) -> FunctionURLEvent:
    """The event for an ASGI HTTP scope."""
    sent = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    headers = _joined(sent)
    query = scope["query_string"].decode("latin-1")
    event: FunctionURLEvent = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": scope["raw_path"].decode("latin-1"),
        "rawQueryString": query,
        "headers": headers | {"x-amzn-trace-id": trace_id.partition(";")[0], "x-forwarded-proto": "https"},
        "requestContext": _context(scope, headers, request_id),
        "isBase64Encoded": False,
    }
    if cookies := [cookie for name, value in sent if name == "cookie" for cookie in value.split("; ")]:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True))
    if body:
        is_text = headers.get("content-type", "").startswith(_TEXT_TYPES)
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
        event["isBase64Encoded"] = not is_text
    return event


def _context(scope: Scope, headers: dict[str, str], request_id: str) -> URLContext:
    now = time.time()
    client: tuple[str, int] | None = scope.get("client")
    return {
        "accountId": "anonymous",
        "apiId": _ID,
        "domainName": _HOST,
        "domainPrefix": _ID,
        "http": {
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "protocol": f"HTTP/{scope['http_version']}",
            "sourceIp": client[0] if client else "127.0.0.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Values of the same name are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        if name not in _DROPPED:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
