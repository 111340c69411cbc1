"""ASGI's lifespan, once per process: https://asgi.readthedocs.io/en/latest/specs/lifespan.html."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Message


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
