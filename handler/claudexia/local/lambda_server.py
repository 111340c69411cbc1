"""serve_lambda(): the function as it is deployed, in a process of its own, behind a stand-in for AWS.

client -> uvicorn -> LambdaGateway -> RuntimeApi -> claudexia.runtime -> upstream, or the echo on a port
          |----------- this process -----------|    |- its process -|
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
from starlette.types import Receive, Scope, Send

from claudexia.local.echo_server import EchoServer
from claudexia.local.execution_environment import ExecutionEnvironment
from claudexia.local.lambda_gateway import LambdaGateway
from claudexia.local.server import serve

# Shorter than API Gateway's longest integration timeout of 900 s, so that the function knows of its end first.
TIMEOUT = 890


@dataclass(frozen=True, slots=True)
class FunctionConfiguration:
    """`timeout` is in seconds; `upstream`, where there is one, stands in for the Messages API."""

    environ: Mapping[str, str]
    timeout: int = TIMEOUT
    concurrency: int = 1
    upstream: httpx.AsyncBaseTransport | None = None


def serve_lambda(
    configuration: FunctionConfiguration, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Returns when SIGINT or SIGTERM has come; `on_ready` is called when requests are taken.

    Raises InitError where the function's process does not come up.
    """
    app = _LocalLambda(configuration, on_ready)
    serve(app, listener)
    if app.failure:
        raise app.failure


class _LocalLambda:
    def __init__(self, configuration: FunctionConfiguration, on_ready: Callable[[], None]) -> None:
        self._configuration = configuration
        self._on_ready = on_ready
        self._environment = ExecutionEnvironment(configuration.timeout, configuration.concurrency)
        self._gateway = LambdaGateway(self._environment.invoke)
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        # The init phase does not belong to this startup, in which uvicorn is deaf to Ctrl-C.
        running = asyncio.ensure_future(self._run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        await asyncio.wait({running})
        await send({"type": "lifespan.shutdown.complete"})

    async def _run(self) -> None:
        upstream = self._configuration.upstream
        echo = EchoServer(upstream) if upstream else None
        environ = dict(self._configuration.environ)
        try:
            if echo:
                environ["ANTHROPIC_BASE_URL"] = await echo.start()
            await self._environment.run(environ, self._on_ready)
        except Exception as error:
            self.failure = error
            signal.raise_signal(signal.SIGTERM)  # which is how uvicorn is told to end
        finally:
            if echo:
                echo.stop()
