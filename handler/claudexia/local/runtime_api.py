"""RuntimeApi: the Lambda Runtime API, version 2018-06-01, as a function's process sees it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, and for streamed responses
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable

from claudexia.local.http_server import Answer, HttpServer, ProtocolError, Request
from claudexia.local.invocation import FunctionError, Invocation

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:claudexia"
_ROUTE = re.compile(r"/2018-06-01/runtime/(invocation|init)/(?:([^/]+)/)?(\w+)")
# Lambda replaces the name of an error that is not of this form.
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_ERROR_TYPE_FIELD = "lambda-runtime-function-error-type"
_ERROR_BODY_FIELD = "lambda-runtime-function-error-body"
_JSON = {"Content-Type": "application/json"}


class RuntimeApi:
    """Gives each invocation to one poll; each has `timeout` seconds from then on, as on Lambda.

    `on_timeout` is called when one has used them up; its answer is refused with 410 from then on.
    """

    def __init__(self, timeout: float, on_timeout: Callable[[Invocation], None]) -> None:
        self._timeout = timeout
        self._on_timeout = on_timeout
        self._server = HttpServer(self._handle)
        self._waiting: asyncio.Queue[Invocation] = asyncio.Queue()
        self._arrived = asyncio.Event()
        self._running: dict[str, Invocation] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expired: set[str] = set()
        self.polled = asyncio.Event()
        self.init_error: FunctionError | None = None

    async def start(self) -> str:
        """Gives what AWS_LAMBDA_RUNTIME_API is to be."""
        return await self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def submit(self, invocation: Invocation) -> None:
        self._waiting.put_nowait(invocation)
        self._arrived.set()

    async def wait_for_work(self) -> None:
        """Returns when an invocation waits for a poll."""
        while self._waiting.empty():
            self._arrived.clear()
            await self._arrived.wait()

    def reset(self, error: FunctionError) -> None:
        """The process is gone: so are its connections, what it had, and the queue if it never polled."""
        self._server.disconnect()
        for invocation in [*self._running.values()]:
            self._end(invocation, error)
        while not self.polled.is_set() and not self._waiting.empty():
            self._waiting.get_nowait().fail(self.init_error or error)
        self._expired.clear()
        self.polled.clear()
        self.init_error = None

    async def _handle(self, request: Request, answer: Answer) -> None:
        route = _ROUTE.fullmatch(request.target)
        match (request.method, *(route.groups() if route else ())):
            case ("GET", "invocation", None, "next"):
                await self._next(answer)
            case ("POST", "init", None, "error"):
                self.init_error = _reported(request, await request.read())
                await answer.send(202, b'{"status":"OK"}', _JSON)
            case ("POST", "invocation", str(request_id), "response" | "error" as kind):
                await self._take(request, answer, request_id, kind)
            case _:
                await _refuse(answer, 404, "NotFound", f"no such path: {request.method} {request.target}")

    async def _next(self, answer: Answer) -> None:
        self.polled.set()
        invocation = await self._waiting.get()
        loop = asyncio.get_running_loop()
        self._running[invocation.request_id] = invocation
        self._timers[invocation.request_id] = loop.call_later(self._timeout, self._expire, invocation)
        await answer.send(
            200,
            invocation.event,
            {
                **_JSON,
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
                "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
            },
        )

    async def _take(self, request: Request, answer: Answer, request_id: str, kind: str) -> None:
        invocation = self._running.get(request_id)
        if request_id in self._expired:
            await _refuse_late(answer)
        elif not invocation:
            await _refuse(answer, 400, "InvalidRequestID", "Invalid request ID")
        elif request.headers.get("lambda-runtime-invocation-id", invocation.invocation_id) != (
            invocation.invocation_id
        ):
            await _refuse_late(answer)
        elif invocation.responding:
            await _refuse(answer, 403, "InvalidStateTransition", "The response has already begun")
        else:
            invocation.responding = True
            error = await (self._read_response if kind == "response" else _read_error)(request, invocation)
            if request_id in self._expired:
                await _refuse_late(answer)
            else:
                self._end(invocation, error)
                await answer.send(202, b'{"status":"OK"}', _JSON)

    async def _read_response(self, request: Request, invocation: Invocation) -> FunctionError | None:
        try:
            async for piece in request.body():
                await invocation.write(piece)
        except (ProtocolError, ConnectionError, asyncio.IncompleteReadError) as error:
            self._end(invocation, FunctionError("Runtime.TruncatedResponse", str(error)))
            raise
        if _ERROR_TYPE_FIELD not in request.trailers:
            return None
        return _reported_in_trailers(request)

    def _end(self, invocation: Invocation, error: FunctionError | None) -> None:
        if self._running.pop(invocation.request_id, None):
            self._timers.pop(invocation.request_id).cancel()
            if error:
                invocation.fail(error)
            else:
                invocation.finish()

    def _expire(self, invocation: Invocation) -> None:
        message = f"Task timed out after {self._timeout:.2f} seconds"
        self._end(invocation, FunctionError("Sandbox.Timedout", message))
        self._expired.add(invocation.request_id)
        self._on_timeout(invocation)


async def _read_error(request: Request, invocation: Invocation) -> FunctionError:
    return _reported(request, await request.read())


def _reported_in_trailers(request: Request) -> FunctionError:
    try:
        body = base64.b64decode(request.trailers.get(_ERROR_BODY_FIELD, ""))
    except ValueError:
        body = b""
    return _error(request.trailers[_ERROR_TYPE_FIELD], body)


def _reported(request: Request, body: bytes) -> FunctionError:
    return _error(request.headers.get(_ERROR_TYPE_FIELD, ""), body)


def _error(error_type: str, body: bytes) -> FunctionError:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    message = told.get("errorMessage", "") if isinstance(told, dict) else ""
    return FunctionError(error_type if _ERROR_TYPE.fullmatch(error_type) else "Runtime.Unknown", str(message))


async def _refuse_late(answer: Answer) -> None:
    await _refuse(answer, 410, "ErrorRuntimeInvokeTimeout", "The invocation is over: it timed out")


async def _refuse(answer: Answer, status: int, error_type: str, message: str) -> None:
    await answer.send(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode(), _JSON)
