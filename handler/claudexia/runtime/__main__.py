"""The process that Lambda starts: loads the handler, starts the app, answers invocation after invocation."""

import asyncio
import gc
import importlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

from mangum import Mangum
from mangum.types import LambdaContext
from starlette.types import ASGIApp, Message

from claudexia.observability.log import log_as_json, log_bug, log_fact
from claudexia.runtime.api import Invocation, RuntimeAPI
from claudexia.runtime.response import Answer, IncompleteResponseError

# --- claudexia.runtime.lifespan
# ASGI's lifespan, once per process: https://asgi.readthedocs.io/en/latest/specs/lifespan.html.


class StartupFailedError(Exception):
    """The app could not start."""


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[dict[str, object]]:
    """The app between its startup and its shutdown; yields the state it wants to see in every scope.

    An app that knows no lifespan is run without. Raises StartupFailedError where one says so.
    """
    state: dict[str, object] = {}
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(app(scope, told.get, said.put))
    task.add_done_callback(lambda _: said.put_nowait({"type": "over"}))
    told.put_nowait({"type": "lifespan.startup"})
    answer = await said.get()
    if answer["type"] == "lifespan.startup.failed":
        raise StartupFailedError
    try:
        yield state
    finally:
        if answer["type"] == "lifespan.startup.complete":
            told.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.gather(task, return_exceptions=True)


class UnsupportedEventError(Exception):
    """This function answers HTTP requests from API Gateway or a function URL; the event is none."""


class Runtime:
    """Runs `handler`'s app for each invocation that `api` hands out; `state` is what its lifespan left."""

    def __init__(self, api: RuntimeAPI, handler: Mangum, state: Mapping[str, object]) -> None:
        self._api = api
        self._handler = handler
        self._state = state

    async def serve(self, concurrency: int) -> None:
        """Polls for ever, with `concurrency` polls open at once: one, except on Managed Instances."""
        async with asyncio.TaskGroup() as polls:
            for _ in range(concurrency):
                polls.create_task(self._poll(alone=concurrency == 1))

    async def _poll(self, alone: bool) -> None:
        while True:
            invocation = await self._api.next()
            if alone and invocation.context.trace_id:
                os.environ["_X_AMZN_TRACE_ID"] = invocation.context.trace_id  # where X-Ray's clients look
            try:
                await self.handle(invocation)
            except Exception as error:  # the API went away in the middle; the next poll shows whether for good
                log_bug(error)

    async def handle(self, invocation: Invocation) -> None:
        """Answers one invocation, whatever becomes of it."""
        try:
            request = self._handler.infer(invocation.event, cast("LambdaContext", invocation.context))
            scope, body = request.scope, request.body
        except Exception as error:  # Mangum's own ways to fail on an event are many
            log_fact("the event is no HTTP request", exception_type=type(error).__name__)
            await self._api.error(invocation, UnsupportedEventError())
            return
        # 2.4: a client that leaves shows in `receive` and in a `send` that raises, as it does under a server.
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["state"] = dict(self._state)
        scope["root_path"] = _root_path(invocation.event, scope["path"])
        answer = Answer(self._api, invocation)
        receive = _Receive(body, answer.over)
        try:
            await self._handler.app(scope, receive, answer.send)
            if not answer.complete:
                raise IncompleteResponseError
        except Exception as error:
            log_bug(error)
            if not answer.complete:  # after that, nobody can be told any more
                await answer.fail(error)
        finally:
            answer.close()


class _Receive:
    """ASGI's `receive`: the whole body at once, then the end. Lambda does not tell that a client has left."""

    def __init__(self, body: bytes, over: asyncio.Event) -> None:
        self._body: bytes | None = body
        self._over = over

    async def __call__(self) -> Message:
        if self._body is None:
            await self._over.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _root_path(event: Mapping[str, object], path: str) -> str:
    """What a REST API has taken off the front of the path, a stage or a custom domain's mapping, for /docs."""
    context = event.get("requestContext")
    full = context.get("path") if isinstance(context, dict) else None
    return full.removesuffix(path) if isinstance(full, str) and full.endswith(path) else ""


def load(name: str) -> Mangum:
    """`package.module.attribute`, as in _HANDLER."""
    module, _, attribute = name.rpartition(".")
    gc.disable()  # an import makes next to no garbage, and looking for it takes a tenth of the time
    try:
        handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    finally:
        gc.enable()
    gc.freeze()  # nor is what stays for ever to be looked through in the middle of an answer
    if not isinstance(handler, Mangum):
        raise TypeError(f"{name} is no Mangum adapter")
    return handler


async def run(environ: Mapping[str, str]) -> int:
    """Returns the exit status of a process that could not start or was abandoned; Lambda ends any other."""
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
            await api.restored()  # no request has been made yet, so the snapshot holds no connection
        try:
            await Runtime(api, handler, state).serve(int(environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1")))
        except* OSError:
            log_fact("the Runtime API is gone")
    return 1


if __name__ == "__main__":
    log_as_json()
    sys.exit(asyncio.run(run(os.environ)))
