"""What every request gets: an id, a line in the log, and OpenAI's shape even where the gateway has a bug."""

import os
import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claudexia.errors import BUG, APIError
from claudexia.observability.log import log_bug, log_request
from claudexia.observability.metrics import Metrics
from claudexia.observability.record import RequestRecord, record_of

# --- claudexia.elsewhere
# Addresses that OpenAI and Anthropic have and the gateway has not: what to use instead.

_CHAT = "use POST /v1/chat/completions"
_STATELESS = f"The gateway stores nothing: {_CHAT} with the whole conversation in 'messages'."

# By the first step of the path after /v1.
_INSTEAD = {
    "assistants": _STATELESS,
    "audio": "Claude takes and makes no audio: use a service for speech before and after the gateway.",
    "batches": f"The gateway has no batches: {_CHAT} once for each request, or Anthropic's own batches.",
    "embeddings": "Claude has no embeddings: use a provider that has, such as Amazon Bedrock or Voyage AI.",
    "files": f"The gateway stores no files: {_CHAT} with the file's data in a part of type 'file'.",
    "images": f"Claude makes no images. To have one read, {_CHAT} with a part of type 'image_url'.",
    "messages": f"This gateway takes OpenAI's requests: {_CHAT}, or send this one to Anthropic's API.",
    "moderations": f"Claude has no moderation endpoint: {_CHAT} with a prompt that asks for a verdict.",
    "responses": f"The gateway does not serve the Responses API: {_CHAT}; most clients have a setting for it.",
    "threads": _STATELESS,
}


def elsewhere(path: str) -> str:
    """A space and a sentence to put behind "Invalid URL", or nothing where there is no advice."""
    step = path.rpartition("/v1/")[2].lstrip("/").partition("/")[0]
    return f" {_INSTEAD[step]}" if step in _INSTEAD else ""


_CORRELATION_HEADERS = ("x-correlation-id", "x-request-id")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
_TRACE_ROOT = re.compile(r"(?:^|;)Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)")


class RequestMiddleware:
    """Pure ASGI middleware around the whole app. `settled` waits for the counting that outlives a request."""

    def __init__(self, app: ASGIApp, metrics: Metrics, settled: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._metrics = metrics
        self._settled = settled
        # Provisioned concurrency has started the process long before anybody waits for it.
        self._cold = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "provisioned-concurrency"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self._record(Headers(scope=scope))
        record.put_into(scope)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                _mark(MutableHeaders(scope=message), record)
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                record.end()

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            return
        except Exception as error:
            log_bug(error)
            record.fail(BUG)
            if record.status:  # the server then breaks the connection off, which no client takes for success
                raise RuntimeError("the response broke off") from None
            await render(BUG)(scope, receive, send_marked)
        finally:
            record.endpoint = getattr(scope.get("route"), "path", None)
            record.duration_ms = record.elapsed_ms()
            log_request(record)
            self._metrics.request(record)
            # The client has its answer. Lambda stops the process once this has returned.
            await self._settled()

    def _record(self, headers: Headers) -> RequestRecord:
        asked = (headers.get(name, "") for name in _CORRELATION_HEADERS)
        trace = _TRACE_ROOT.search(headers.get("x-amzn-trace-id", ""))
        cold, self._cold = self._cold, False
        return RequestRecord(
            request_id=f"req_{uuid4().hex}",
            correlation_id=next(filter(_ID.fullmatch, asked), None),
            trace_id=trace[1] if trace else None,
            cold_start=cold,
        )


def _mark(headers: MutableHeaders, record: RequestRecord) -> None:
    """The upstream's own request id is the one that clients are given, where there is one."""
    shown = headers.setdefault("x-request-id", record.request_id)
    if shown != record.request_id and _ID.fullmatch(shown):
        record.upstream_request_id = shown
    if record.correlation_id:
        headers["x-correlation-id"] = record.correlation_id
    headers["openai-processing-ms"] = str(record.elapsed_ms())


def allow_origin(app: FastAPI, origin: str) -> None:
    """Lets a web page of `origin` call; to be added last, so that failures are told to the page as well."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin],
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=[
            "retry-after",
            "x-claudexia-cost",
            "x-claudexia-key",
            "x-claudexia-warnings",
            "x-correlation-id",
            *(
                f"x-ratelimit-{fact}-{unit}"
                for unit in ("requests", "tokens")
                for fact in ("limit", "remaining", "reset")
            ),
            "x-request-id",
            "x-should-retry",
        ],
    )


def render(error: APIError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, dict(error.headers))


def add_error_handlers(app: FastAPI) -> None:
    """What the routes and the router raise, in OpenAI's envelope."""

    async def on_api_error(request: Request, error: APIError) -> JSONResponse:
        record_of(request.scope).fail(error)
        return render(error)

    async def on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
        where = f"({request.method} {request.url.path})"
        if error.status_code == 405:
            message, code = f"Method not allowed {where}.", "method_not_allowed"
        else:
            message, code = f"Invalid URL {where}.{elsewhere(request.url.path)}", None
        told = APIError(error.status_code, message, code=code, headers=error.headers or {})
        return await on_api_error(request, told)

    app.exception_handlers[APIError] = on_api_error
    app.exception_handlers[HTTPException] = on_http_exception
