"""Runs the Lambda runtime with a scripted app against the fake Runtime API."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from mangum import Mangum

from claudexia.observability.log import SERVICE
from claudexia.runtime.__main__ import Runtime
from claudexia.runtime.api import RuntimeAPI
from tests.fakes.runtime_api import FakeRuntimeAPI, Received, rest_event

T = TypeVar("T")
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


def start(status: int = 200, *headers: tuple[str, str]) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def app_sending(*steps: Any) -> App:
    """An app that sends the given messages; a number is a pause in seconds, an exception is raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                await send(step)

    return app


async def cancel_task(serving: asyncio.Task[Any]) -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def with_runtime(
    app: App, work: Callable[[FakeRuntimeAPI], Coroutine[Any, Any, T]], concurrency: int = 1, **api: Any
) -> T:
    """Runs `work` while the runtime serves `app` from a fake Runtime API. Returns its result."""

    async def main() -> T:
        async with FakeRuntimeAPI(**api) as fake:
            runtime = Runtime(
                RuntimeAPI(fake.address), Mangum(cast("Any", app), lifespan="off"), {"started": True}
            )
            serving = asyncio.create_task(runtime.serve(concurrency))
            try:
                return await work(fake)
            finally:
                await cancel_task(serving)

    return asyncio.run(main())


def post_of_one_invocation(app: App, event: object = None, **api: Any) -> Received:
    """The POST of the runtime for one invocation of `app`."""
    return with_runtime(app, lambda fake: fake.give(rest_event() if event is None else event), **api)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append({**vars(record), "message": record.getMessage()})


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Collects the fields of each warning and error logged by the gateway and by asyncio."""
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in (SERVICE, "asyncio")]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield collector.lines
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
