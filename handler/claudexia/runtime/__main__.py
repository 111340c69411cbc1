"""The process that Lambda starts: loads the handler, starts the app and handles invocations."""

import gc

if __name__ == "__main__":
    gc.disable()  # for the imports below, and until load() has imported the app

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast
from urllib.parse import unquote

from mangum import Mangum
from mangum.types import LambdaContext
from starlette.types import ASGIApp, Message, Scope

from claudexia.errors import ResponseRefusedError
from claudexia.observability.log import log_as_json, log_bug, log_warning
from claudexia.runtime.api import InvalidInvocationError, Invocation, RuntimeAPI, RuntimeAPIError
from claudexia.runtime.response import IncompleteResponseError, StreamedResponse

# So many failures of invocation/next in a row end a poll. The pause after each doubles, in seconds.
_MAX_FAILURES = 6
_FIRST_PAUSE = 0.02


class StartupFailedError(Exception):
    """The app could not start."""


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[dict[str, object]]:
    """Starts `app`, and shuts it down on exit. Yields the lifespan state, which every request's scope gets.

    An app without lifespan support is run without it. Raises StartupFailedError if the startup fails.
    Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
    """
    state: dict[str, object] = {}
    to_app: asyncio.Queue[Message] = asyncio.Queue()
    from_app: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    task.add_done_callback(lambda _: from_app.put_nowait({"type": "app.returned"}))
    to_app.put_nowait({"type": "lifespan.startup"})
    started = await from_app.get()
    if started["type"] == "lifespan.startup.failed":
        raise StartupFailedError
    try:
        yield state
    finally:
        if started["type"] == "lifespan.startup.complete":
            to_app.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.gather(task, return_exceptions=True)


class UnsupportedEventError(Exception):
    """The event is not one of the HTTP requests that API Gateway or a function URL sends."""


class Runtime:
    """Runs the app of `handler` for each invocation from `api`. `state` is the app's lifespan state."""

    def __init__(self, api: RuntimeAPI, handler: Mangum, state: Mapping[str, object]) -> None:
        self._api = api
        self._handler = handler
        self._state = state

    async def serve(self, concurrency: int) -> None:
        """Polls with `concurrency` concurrent polls: 1, except on Lambda Managed Instances.

        Returns when each poll has failed 6 times in a row. The polls are independent: none ends another one's
        invocation.
        """
        async with asyncio.TaskGroup() as polls:
            for _ in range(concurrency):
                polls.create_task(self._poll(alone=concurrency == 1))

    async def _poll(self, alone: bool) -> None:
        failures = 0
        while failures < _MAX_FAILURES:
            if failures:
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (failures - 1))
            invocation = await self._next()
            failures = 0 if invocation else failures + 1
            if not isinstance(invocation, Invocation):
                continue
            if alone and invocation.context.trace_id:
                os.environ["_X_AMZN_TRACE_ID"] = invocation.context.trace_id  # read by X-Ray's clients
            try:
                await self.handle(invocation)
            except Exception as error:  # the connection broke; the next poll fails if the API is gone
                log_bug(error)
        log_warning("the Runtime API is gone", failures=failures)

    async def _next(self) -> Invocation | bool:
        """The next invocation; otherwise whether an unreadable invocation was reported as failed."""
        try:
            return await self._api.next()
        except InvalidInvocationError as error:
            invalid = error
        except Exception as error:
            status = {"status": error.status} if isinstance(error, RuntimeAPIError) and error.status else {}
            log_warning("the next invocation is not available", exception_type=type(error).__name__, **status)
            return False
        request_id = invalid.request_id or ""
        log_warning("an invocation is unreadable", problem=invalid.problem, aws_request_id=request_id)
        try:
            return bool(request_id) and await self._api.error(request_id, invalid)
        except OSError as error:
            log_warning("an error could not be reported", exception_type=type(error).__name__)
            return False

    async def handle(self, invocation: Invocation) -> None:
        """Handles one invocation and sends its response or its error."""
        try:
            scope, body = self._request(invocation)
        except Exception as error:  # Mangum raises different types for malformed events
            log_warning("the event is not an HTTP request", exception_type=type(error).__name__)
            await self._api.error(
                invocation.context.aws_request_id, UnsupportedEventError(), invocation.echo_headers
            )
            return
        response = StreamedResponse(self._api, invocation)
        receive = _Receive(body, response.acknowledged)
        try:
            await self._handler.app(scope, receive, response.send)
            if not response.complete:
                raise IncompleteResponseError
        except Exception as error:
            # The log line of the request names the reason of a refusal.
            if not isinstance(error, ResponseRefusedError):
                log_bug(error)
            if not response.complete:
                await response.fail(error)
        finally:
            response.close()

    def _request(self, invocation: Invocation) -> tuple[Scope, bytes]:
        """The ASGI scope and the body. Raises exceptions of any type if the event is not an HTTP request."""
        request = self._handler.infer(invocation.event, cast("LambdaContext", invocation.context))
        scope = request.scope
        # In version 2.4 `send` raises OSError after a disconnect, as under a server.
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["state"] = dict(self._state)
        scope["root_path"], scope["path"] = _paths(invocation.event, scope["path"])
        return scope, request.body


class _Receive:
    """ASGI's `receive`: the whole body, then a disconnect after `ended`. Lambda reports none before."""

    def __init__(self, body: bytes, ended: asyncio.Event) -> None:
        self._body: bytes | None = body
        self._ended = ended

    async def __call__(self) -> Message:
        if self._body is None:
            await self._ended.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _paths(event: Mapping[str, object], path: str) -> tuple[str, str]:
    """ASGI's root_path and path. The root is the part of the URL that belongs to the API, not to the app.

    That is the stage, which a REST API removes from the event's `path`, or the base path that a custom domain
    maps to the API, which stays in it. /docs needs the root.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mappings.html
    """
    context = event.get("requestContext")
    full = context.get("path") if isinstance(context, dict) else None
    full = unquote(full) if isinstance(full, str) else path
    route = _route(event, path)
    for whole in (full, path):
        if whole.endswith(route):
            root = whole.removesuffix(route)
            return root, root + route
    root = full.rstrip("/")
    return root, f"{root}/"  # the base path itself, without a slash: the app's root


def _route(event: Mapping[str, object], path: str) -> str:
    """The part of `path` that matched the REST API's resource, `/` or `/{proxy+}`; other APIs have neither."""
    if event.get("resource") == "/":
        return "/"
    parameters = event.get("pathParameters")
    proxy = parameters.get("proxy") if isinstance(parameters, dict) else None
    if not isinstance(proxy, str):
        return path
    routes = [f"/{text}{slash}" for text in (proxy, unquote(proxy)) for slash in ("", "/")]
    return next((route for route in routes if path.endswith(route)), path)


def load(name: str) -> Mangum:
    """Imports the handler `name`, which has the form `package.module.attribute` as in _HANDLER."""
    module, _, attribute = name.rpartition(".")
    gc.disable()  # imports create little garbage; collection would take a tenth of their time
    try:
        handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    finally:
        gc.enable()
    gc.freeze()  # objects that live forever are not scanned during requests
    if not isinstance(handler, Mangum):
        raise TypeError(f"{name} is not a Mangum adapter")
    return handler


async def run(environ: Mapping[str, str]) -> int:
    """Serves invocations until Lambda ends the process. Returns the exit status 1 if it cannot start or
    the Runtime API is gone.
    """
    api = RuntimeAPI(environ["AWS_LAMBDA_RUNTIME_API"])
    async with AsyncExitStack() as exits:
        try:
            handler = load(environ["_HANDLER"])
            state = await exits.enter_async_context(lifespan(handler.app))
        except Exception as error:
            log_bug(error)
            await api.init_error(error)
            return 1
        if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            await api.restored()  # before any request, so that the snapshot has no open connection
        await Runtime(api, handler, state).serve(int(environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1")))
    return 1


def main() -> int:
    """The exit status of the process. Whatever fails is one line of JSON in the log."""
    log_as_json()
    try:
        return asyncio.run(run(os.environ))
    except Exception as error:
        log_bug(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
