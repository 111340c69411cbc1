"""serve_lambda(): the deployed function in a subprocess, behind a local API Gateway and Runtime API.

client -> uvicorn -> LambdaGateway -> RuntimeApi -> claudexia.runtime -> upstream, or the echo on a port
          |----------- this process -----------|    |-- subprocess --|
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.types import Receive, Scope, Send

import claudexia
from claudexia_cli.echo import EchoServer
from claudexia_cli.emulator.gateway import LambdaGateway
from claudexia_cli.emulator.runtime_api import FunctionError, Invocation, RuntimeApi
from claudexia_cli.serve import serve

COMMAND = (sys.executable, "-m", "claudexia.runtime")
_TASK_ROOT = str(Path(claudexia.__file__).parents[1])
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
_RESERVED = {
    "_HANDLER": "claudexia.main.handler",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_FUNCTION_NAME": "claudexia",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/claudexia",
    "AWS_LAMBDA_LOG_STREAM_NAME": "local",
    "LAMBDA_TASK_ROOT": _TASK_ROOT,
}
_REGION = "us-east-1"
# Only warnings and errors go to the terminal, unless these variables are set.
_QUIET = {"CLAUDEXIA_METRICS": "off", "POWERTOOLS_LOG_LEVEL": "WARNING"}


class InitError(Exception):
    """The function's process ended before its first poll; the message says why."""


class ExecutionEnvironment:
    """Runs the function's process, and restarts it when it has ended and an invocation waits.

    `timeout` is in seconds. `concurrency` is the number of concurrent invocations in the one process. If it is
    more than one, this is a Managed Instance: an invocation that times out runs on, and its response is
    rejected. Otherwise a timeout kills the process.
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """

    def __init__(self, timeout: float, concurrency: int, command: Sequence[str] = COMMAND) -> None:
        self._concurrency = concurrency
        self._api = RuntimeApi(timeout, self._on_timeout)
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    def invoke(self, invocation: Invocation) -> None:
        self._api.submit(invocation)

    async def run(self, environ: Mapping[str, str], on_ready: Callable[[], None]) -> None:
        """Runs until it is cancelled. Calls `on_ready` after the first poll.

        Raises InitError if the first process ends before it polls.
        """
        env = {**_environ(environ, self._concurrency), "AWS_LAMBDA_RUNTIME_API": await self._api.start()}
        try:
            process = await self._start(env)
            await self._init(process)
            on_ready()
            while True:
                status = await process.wait()
                self._reset(status)
                await self._api.wait_for_work()
                process = await self._start(env)
        finally:
            self._api.stop()
            await self._kill()

    async def _start(self, env: Mapping[str, str]) -> asyncio.subprocess.Process:
        # Its output goes to the terminal. It has its own session, so that Ctrl-C reaches only the parent
        # process, which kills it.
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=env,
            cwd=_TASK_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )
        return self._process

    async def _init(self, process: asyncio.subprocess.Process) -> None:
        polled = asyncio.ensure_future(self._api.polled.wait())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({polled, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            polled.cancel()
            ended.cancel()
        if not self._api.polled.is_set():
            reason = self._api.init_error or _ending(await process.wait())
            raise InitError(f"The Lambda runtime ended before it was ready ({reason}); see its output above.")

    def _reset(self, status: int) -> None:
        ending = _ending(status)
        if status != -signal.SIGKILL:
            sys.stderr.write(
                f"claudexia: The Lambda runtime ended ({ending}); the next request starts it again.\n"
            )
        self._api.reset(FunctionError("Runtime.ExitError", f"Runtime exited: {ending}"))

    def _on_timeout(self, invocation: Invocation) -> None:
        if self._concurrency == 1 and self._process and self._process.returncode is None:
            self._process.kill()

    async def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _environ(environ: Mapping[str, str], concurrency: int) -> dict[str, str]:
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or _REGION
    concurrent = {"AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)} if concurrency > 1 else {}
    lambda_variables = {**_RESERVED, "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **concurrent}
    return {**_QUIET, **environ, **lambda_variables}


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


@dataclass(frozen=True, slots=True)
class FunctionConfiguration:
    """`timeout` is in seconds. `upstream` replaces the Messages API if it is not None.

    `base_path` is the custom domain's mapping to the API, like `/claude`, or "".
    """

    environ: Mapping[str, str]
    timeout: int
    concurrency: int
    upstream: httpx.AsyncBaseTransport | None
    base_path: str = ""


def serve_lambda(
    configuration: FunctionConfiguration, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Serves until SIGINT or SIGTERM. Calls `on_ready` when the function can take requests.

    Raises InitError if the function's process does not start.
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
        self._gateway = LambdaGateway(self._environment.invoke, configuration.base_path)
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        # The function starts after this startup phase, during which uvicorn ignores Ctrl-C.
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
            signal.raise_signal(signal.SIGTERM)  # stops uvicorn
        finally:
            if echo:
                echo.stop()
