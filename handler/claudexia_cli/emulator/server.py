"""serve_lambda(): the function as it is deployed, in a process of its own, behind a stand-in for AWS.

client -> uvicorn -> LambdaGateway -> RuntimeApi -> claudexia.runtime -> upstream, or the echo on a port
          |----------- this process -----------|    |- its process -|
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

# --- claudexia.local.execution_environment
# ExecutionEnvironment: the process that runs the function, started again when it is gone and work waits.

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
# A terminal is told what goes wrong and not each request, unless somebody asks for it.
_QUIET = {"CLAUDEXIA_METRICS": "off", "POWERTOOLS_LOG_LEVEL": "WARNING"}


class InitError(Exception):
    """The function's process ended before it could take an invocation; the message says what it told."""


class ExecutionEnvironment:
    """`timeout` is in seconds, `concurrency` how many invocations the one process has in hand at once.

    With more than one this is a Managed Instance, which lets a timed-out invocation run on and refuses its
    answer; else the whole environment is ended with it, and made anew for the next.
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
        """Until it is cancelled. Raises InitError where the process does not come up the first time."""
        env = {**_environ(environ, self._concurrency), "AWS_LAMBDA_RUNTIME_API": await self._api.start()}
        try:
            process = await self._start(env)
            await self._init(process)
            on_ready()
            while True:
                status = await process.wait()
                self._over(status)
                await self._api.wait_for_work()
                process = await self._start(env)
        finally:
            self._api.stop()
            await self._kill()

    async def _start(self, env: Mapping[str, str]) -> asyncio.subprocess.Process:
        # What it says comes straight to the terminal. In a session of its own, since Ctrl-C is for the parent,
        # which ends it as Lambda does.
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
            raise InitError(f"The Lambda runtime ended before it took a request; it said above why ({reason}).")

    def _over(self, status: int) -> None:
        ending = _ending(status)
        if status != -signal.SIGKILL:
            sys.stderr.write(f"claudexia: The Lambda runtime ended ({ending}); a request starts it anew.\n")
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
    several = {"AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)} if concurrency > 1 else {}
    own = {**_RESERVED, "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **several}
    return {**_QUIET, **environ, **own}


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


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
