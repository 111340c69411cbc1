"""Around every request: request id, access log, metrics, and all errors in the API's envelope."""

import os
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claudexia.api.http import JSONResponse
from claudexia.errors import INTERNAL_ERROR, APIError, ResponseRefusedError, shorten
from claudexia.observability.log import log_bug, log_request
from claudexia.observability.metrics import Metrics
from claudexia.observability.record import (
    FAILED_UPSTREAMS_HEADER,
    UPSTREAM_HEADER,
    RequestRecord,
    record_of,
)

# What to use instead of routes that OpenAI or Anthropic have and the gateway does not.
_CHAT = "use POST /v1/chat/completions"
_STATELESS = "The gateway keeps no conversations: use POST /v1/responses with previous_response_id."
_NO_FILES = f"The gateway stores no files: {_CHAT} with the file's data in a part of type 'file'."

# By the first two segments of the path after /v1, or the first.
_HINTS = {
    "assistants": _STATELESS,
    "audio": "Claude has no audio input or output: use a speech service before and after the gateway.",
    "batches": f"The gateway has no batches: {_CHAT} once for each request, or Anthropic's own batches.",
    "chat/completions": "Chat completions are created with POST /v1/chat/completions; the gateway stores none.",
    "complete": "Use POST /v1/messages.",
    "conversations": _STATELESS,
    "embeddings": "Claude has no embeddings: use another provider, such as Amazon Bedrock or Voyage AI.",
    "files": _NO_FILES,
    "fine_tuning": "The gateway has no fine-tuning.",
    "images": f"Claude does not generate images. For image input, {_CHAT} with a part of type 'image_url'.",
    "messages/batches": "The gateway has no batches: send each request to POST /v1/messages.",
    "moderations": f"Claude has no moderation endpoint: {_CHAT} with a prompt that asks for a classification.",
    "responses": "The Responses API is served at POST /v1/responses and at /v1/responses/{id}.",
    "responses/compact": "The gateway compacts no input: send a shorter 'input'.",
    "responses/input_tokens": "Count tokens with POST /v1/messages/count_tokens.",
    "threads": _STATELESS,
    "uploads": _NO_FILES,
    "vector_stores": "The gateway has no vector stores: search first, and send what you found as text.",
}


# APIs whose clients expect OpenAI's shapes, whatever headers they send.
_OPENAI_APIS = {"chat", "completions", "responses"}


def unsupported_route_hint(path: str) -> str:
    """A space and a sentence to append to the error for `path`; "" without a hint."""
    segments = _route(path).split("/")[:2]
    hint = _HINTS.get("/".join(segments)) or _HINTS.get(segments[0])
    return f" {hint}" if hint else ""


def _segment(path: str) -> str:
    """The first segment of `path` after /v1, which names the API."""
    return _route(path).partition("/")[0]


def _route(path: str) -> str:
    return path.rpartition("/v1/")[2].lstrip("/")


_CORRELATION_HEADERS = ("x-correlation-id", "x-request-id")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_TRACE_ROOT = re.compile(r"(?:^|;)Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)")


class RequestMiddleware:
    """Pure ASGI middleware around the whole app. `settled` waits for work that continues after a response."""

    def __init__(self, app: ASGIApp, metrics: Metrics, settled: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._metrics = metrics
        self._settled = settled
        # With provisioned concurrency, the process started before the request came.
        self._cold = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "provisioned-concurrency"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _without_last_slash(scope)
        record = self._record(scope)

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                _add_headers(MutableHeaders(scope=message), record)
            if scope["method"] == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                record.end()

        try:
            await self._app(scope, receive, send_and_record)
        except ClientDisconnect:
            return
        except ResponseRefusedError as error:
            record.refuse(error)
            raise
        except Exception as error:
            log_bug(error)
            record.fail(INTERNAL_ERROR)
            if (
                record.status
            ):  # the exception makes the server abort the connection, which clients see as a failure
                raise RuntimeError("the response failed after its start") from None
            await render(INTERNAL_ERROR, scope)(scope, receive, send_and_record)
        finally:
            self._log(record, scope)
            # The response is complete. Lambda freezes the process as soon as this returns.
            await self._settled()

    def _log(self, record: RequestRecord, scope: Scope) -> None:
        if route := scope.get("route"):
            record.endpoint = route.path.removeprefix("/v1")
            record.api = record.endpoint.split("/", 2)[1] or None
        record.duration_ms = record.elapsed_ms()
        log_request(record)
        self._metrics.request(record)

    def _record(self, scope: Scope) -> RequestRecord:
        """The record of a request, which is attached to it."""
        headers = Headers(scope=scope)
        candidates = (headers.get(name, "") for name in _CORRELATION_HEADERS)
        trace = _TRACE_ROOT.search(headers.get("x-amzn-trace-id", ""))
        cold, self._cold = self._cold, False
        record = RequestRecord(
            request_id=f"req_{secrets.token_hex(16)}",
            correlation_id=next(filter(_ID.fullmatch, candidates), None),
            trace_id=trace[1] if trace else None,
            cold_start=cold,
        )
        record.put_into(scope)
        return record


def _without_last_slash(scope: Scope) -> Scope:
    """`/v1/models/` is `/v1/models`. A redirect would do, but many clients follow none for a POST."""
    path: str = scope["path"]
    if not path.endswith("/") or path == f"{scope.get('root_path', '')}/":
        return scope
    return {**scope, "path": path.rstrip("/") or "/"}


def _add_headers(headers: MutableHeaders, record: RequestRecord) -> None:
    """Adds the request ids and the processing time. `x-request-id` is the upstream's, if it sent one."""
    request_id = headers.setdefault("x-request-id", record.request_id)
    if request_id != record.request_id and _ID.fullmatch(request_id):
        record.upstream_request_id = request_id
    if record.correlation_id:
        headers["x-correlation-id"] = record.correlation_id
    headers["openai-processing-ms"] = str(record.elapsed_ms())


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Allows web pages and apps of `origins` to call (CORS), also from a public page to a private network.

    https://wicg.github.io/private-network-access/
    Add it last, so that error responses have its headers too.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_private_network=True,
        allow_methods=["DELETE", "GET", "POST"],
        allow_headers=["*"],
        expose_headers=[
            "request-id",
            "retry-after",
            "x-claudexia-cost",
            FAILED_UPSTREAMS_HEADER,
            "x-claudexia-key",
            UPSTREAM_HEADER,
            "x-claudexia-warnings",
            "x-correlation-id",
            *(
                f"x-ratelimit-{figure}-{unit}"
                for unit in ("requests", "tokens")
                for figure in ("limit", "remaining", "reset")
            ),
            "x-request-id",
            "x-should-retry",
        ],
    )


def speaks_anthropic(scope: Scope) -> bool:
    """Whether the client of a request expects Anthropic's shapes: of models, and of errors."""
    api = _segment(scope["path"])
    return api == "messages" or (api not in _OPENAI_APIS and "anthropic-version" in Headers(scope=scope))


def render(error: APIError, scope: Scope) -> Response:
    """`error` in the envelope of the request's API."""
    if not speaks_anthropic(scope):
        return JSONResponse(error.body(), error.status, dict(error.headers))
    request_id = record_of(scope).request_id
    headers = {"request-id": request_id, **error.headers}
    if error.original:
        return Response(error.original.body, error.original.status, headers, "application/json")
    return JSONResponse(error.anthropic_body(request_id), error.anthropic_status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Renders what the routes and the router raise in the envelope of the request's API."""

    async def on_api_error(request: Request, error: APIError) -> Response:
        record_of(request.scope).fail(error)
        return render(error, request.scope)

    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        location = f"({shorten(request.method)} {shorten(request.url.path)})"
        route = request.url.path.removeprefix(request.scope.get("root_path", ""))
        headers = error.headers or {}
        if error.status_code == 405:
            problem, code = "Method not allowed", "method_not_allowed"
            headers = {"allow": ", ".join(_allowed_methods(request))}
        else:
            problem, code = "Invalid URL", None
        message = f"{problem} {location}.{unsupported_route_hint(route)}"
        api_error = APIError(error.status_code, message, code=code, headers=headers)
        return await on_api_error(request, api_error)

    app.exception_handlers[APIError] = on_api_error
    app.exception_handlers[HTTPException] = on_http_exception


def _allowed_methods(request: Request) -> list[str]:
    """Those of all routes with the request's path: each method has a route of its own."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is Match.PARTIAL]
    return sorted({method for route in routes for method in route.methods})
