"""rest_event(): an HTTP request as the event that an API Gateway REST API gives to a Lambda proxy integration.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html#api-gateway-simple-proxy-for-lambda-input-format
"""

import base64
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypedDict
from urllib.parse import parse_qsl, unquote

from starlette.types import Scope

ACCOUNT_ID = "123456789012"
_API_ID = "claudexia0"
_STAGE = "local"
# Not passed on: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_NOT_PASSED = frozenset(
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
    """The keys stand in AWS's own order. What is empty is null, not {}."""

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


def rest_event(scope: Scope, body: bytes, request_id: str, trace_id: str) -> RestEvent:
    """`scope` is an ASGI HTTP scope. The API has the resources `/` and `/{proxy+}`, and a domain of its own."""
    path = scope["raw_path"].decode("latin-1")
    headers = _headers(scope, trace_id)
    query = _grouped(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    text, is_base64 = _text(body)
    resource = "/" if path == "/" else "/{proxy+}"
    return {
        "resource": resource,
        "path": path,
        "httpMethod": scope["method"],
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None if path == "/" else {"proxy": unquote(path.removeprefix("/"))},
        "stageVariables": None,
        "requestContext": _context(scope, headers, resource, request_id),
        "body": text or None,
        "isBase64Encoded": is_base64,
    }


def _headers(scope: Scope, trace_id: str) -> dict[str, list[str]]:
    sent = _grouped((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    passed = {name: values for name, values in sent.items() if name.lower() not in _NOT_PASSED}
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
    """The body as the event carries it; without binary media types, API Gateway hands text over as it is."""
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
