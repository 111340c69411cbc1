"""What every response gets: an id, a duration, and OpenAI's shape even where the gateway has a bug."""

import time
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from claudexia.elsewhere import elsewhere
from claudexia.telemetry import log_bug
from claudexia.translate import APIError

BUG = APIError(500, "The gateway failed to handle this request.", type="server_error")


class Edge:
    """Pure ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = time.perf_counter()
        begun = False

        async def send_marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers.setdefault("x-request-id", f"req_{uuid4().hex}")
                headers["openai-processing-ms"] = str(round((time.perf_counter() - arrived) * 1000))
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            return
        except Exception as error:
            log_bug(error)
            if begun:  # the server then breaks the connection off, which no client takes for success
                raise RuntimeError("the response broke off") from None
            await render(BUG)(scope, receive, send_marked)


def allow_origin(app: FastAPI, origin: str) -> None:
    """Lets a web page of `origin` call; to be added last, so that failures are told to the page as well."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin],
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["retry-after", "x-claudexia-warnings", "x-request-id", "x-should-retry"],
    )


def render(error: APIError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, dict(error.headers))


def add_error_handlers(app: FastAPI) -> None:
    """What the routes and the router raise, in OpenAI's envelope."""

    async def on_api_error(request: Request, error: APIError) -> JSONResponse:
        return render(error)

    async def on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
        where = f"({request.method} {request.url.path})"
        if error.status_code == 405:
            message, code = f"Method not allowed {where}.", "method_not_allowed"
        else:
            message, code = f"Invalid URL {where}.{elsewhere(request.url.path)}", None
        return render(APIError(error.status_code, message, code=code, headers=error.headers or {}))

    app.exception_handlers[APIError] = on_api_error
    app.exception_handlers[HTTPException] = on_http_exception
